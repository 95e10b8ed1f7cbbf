//! Redis as second layer.
//!
//! Entries are strings named `<prefix>:<group>:<key>`. A site's generations are one hash,
//! `<prefix>!generations`: field `v` is the version, the others are slots. Whatever must look before
//! it writes is a script on one key, so all of it works in a cluster.
//!
//! KEYS, SCAN and FLUSHDB are never used: they stop the server for everybody, or empty it.
//!
//! Needs Redis 6.2 (`GETDEL`, `SET … KEEPTTL`).

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::{Backing, Changes, Fetched, Generations, Guard, Item, Put, Taken, breaker};
use crate::cache::entry;
use crate::clock::Clock;
use crate::error::Result as CrateResult;
use crate::remote::breaker::State;
use crate::remote::redis::{RedisLink, Replay, Script, SharedLink, shared};
use crate::remote::settings::{RedisSettings, Topology};
use crate::remote::{Fault, FaultKind};
use crate::shm::Segment;

static STORE_IF: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/store_if.lua")));
static ADD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/add.lua")));
static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/begin.lua")));
static UNLOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/unlock.lua")));

/// `proto-max-bulk-len` is 512 MB; nobody wants such a value in a page's way.
const LARGEST_ENTRY: usize = 64 << 20;

/// The hash's field with the version.
const VERSION: &[u8] = b"v";

/// A site's entries in Redis.
pub struct RedisBacking {
    link: SharedLink,
    settings: RedisSettings,
    prefix: String,
    guard: Option<Guard>,
}

impl RedisBacking {
    /// The entries of the site whose keys begin with `prefix`, behind the host's breaker.
    ///
    /// # Errors
    /// A shared-memory error when there is no room for the breaker.
    pub fn new(
        settings: &RedisSettings,
        prefix: &str,
        segment: &'static Segment,
        clock: Arc<dyn Clock>,
    ) -> CrateResult<Self> {
        let name = format!("redis {:?} {}", settings.topology, settings.database);
        let guard = Guard { breaker: breaker(segment, &name)?, clock };
        let (settings, prefix) = (settings.clone(), prefix.to_owned());
        Ok(Self { link: shared(&settings), settings, prefix, guard: Some(guard) })
    }

    /// The same on a connection of its own and without a breaker, for a thread beside PHP's.
    pub(in crate::cache) fn unguarded(settings: &RedisSettings, prefix: &str) -> Self {
        let link = Arc::new(Mutex::new(RedisLink::new(settings.clone())));
        Self { link, settings: settings.clone(), prefix: prefix.to_owned(), guard: None }
    }

    /// The hash with the generations.
    pub(in crate::cache) fn generations_key(prefix: &str) -> Vec<u8> {
        [prefix.as_bytes(), b"!generations"].concat()
    }

    /// What the entries' names begin with.
    pub(in crate::cache) fn entry_prefix(prefix: &str) -> Vec<u8> {
        [prefix.as_bytes(), b":"].concat()
    }

    fn name(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b":", key].concat()
    }

    fn call<T>(&self, call: impl FnOnce(&mut RedisLink) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.guard {
            Some(guard) => guard.breaker.call(&*guard.clock, || call(&mut link)),
            None => call(&mut link),
        }
    }

    /// One command for all keys; in a cluster one for each, sent together.
    fn gets(&self, keys: &[&[u8]]) -> Vec<Cmd> {
        let get = |name: &str, keys: &[&[u8]]| {
            let mut command = cmd(name);
            keys.iter().for_each(|key| {
                command.arg(self.name(key));
            });
            command
        };
        match keys {
            [] => Vec::new(),
            [_] => vec![get("GET", keys)],
            _ if matches!(self.settings.topology, Topology::Cluster(_)) => {
                keys.iter().map(|key| get("GET", &[key])).collect()
            }
            _ => vec![get("MGET", keys)],
        }
    }

    fn eval(&self, script: &Script, key: &[u8], arguments: &[&[u8]], replay: Replay) -> Result<Value, Fault> {
        self.call(|link| link.eval(script, &[key], arguments, replay))
    }
}

impl Backing for RedisBacking {
    fn fetch(&self, keys: &[&[u8]], with_changes: bool) -> Result<Fetched, Fault> {
        let mut commands = self.gets(keys);
        if with_changes {
            let mut version = cmd("HGET");
            version.arg(Self::generations_key(&self.prefix)).arg(VERSION);
            commands.push(version);
        }
        let mut replies = self.call(|link| link.batch(&commands, Replay::Safe))?;
        let changes = match with_changes {
            true => Some(Changes { version: number(replies.pop())?, key_slots: Vec::new() }),
            false => None,
        };
        let mut entries = Vec::with_capacity(keys.len());
        for reply in replies {
            match reply {
                Value::Array(list) => entries.extend(list.into_iter().map(bytes)),
                single => entries.push(bytes(single)),
            }
        }
        if entries.len() != keys.len() {
            return Err(unexpected());
        }
        Ok(Fetched { entries, changes })
    }

    fn store(&self, items: &[Item<'_>]) -> Result<Vec<Put>, Fault> {
        let sets: Vec<Cmd> = items
            .iter()
            .map(|item| {
                let mut set = cmd("SET");
                set.arg(self.name(item.key)).arg(item.entry);
                if let Some(ttl) = item.ttl {
                    set.arg("PX").arg(ttl_millis(ttl));
                }
                set
            })
            .collect();
        let replies = self.call(|link| link.batch(&sets, Replay::Safe))?;
        Ok(replies
            .iter()
            .map(|reply| if *reply == Value::Okay { Put::Stored } else { Put::Refused })
            .collect())
    }

    fn store_if(&self, item: &Item<'_>, seen: Option<&[u8]>) -> Result<bool, Fault> {
        let ttl = item.ttl.map_or(0, ttl_millis).to_string();
        let arguments = [item.entry, ttl.as_bytes(), seen.unwrap_or(b"")];
        let reply = self.eval(&STORE_IF, &self.name(item.key), &arguments, Replay::Never)?;
        Ok(reply == Value::Int(1))
    }

    fn take(&self, keys: &[&[u8]]) -> Result<Vec<Taken>, Fault> {
        let commands: Vec<Cmd> = keys.iter().map(|key| cmd("GETDEL").arg(self.name(key)).clone()).collect();
        let replies = self.call(|link| link.batch(&commands, Replay::Safe))?;
        let foreign: Vec<Cmd> = keys
            .iter()
            .zip(&replies)
            .filter(|(_, reply)| matches!(reply, Value::ServerError(_)))
            .map(|(key, _)| cmd("DEL").arg(self.name(key)).clone())
            .collect();
        // GETDEL refuses a key that somebody gave another type.
        self.call(|link| link.batch(&foreign, Replay::Safe))?;
        Ok(replies.into_iter().map(|reply| bytes(reply).map_or(Taken::Nothing, Taken::Entry)).collect())
    }

    fn add(&self, key: &[u8], seen: &[u8], offset: i64) -> Result<Option<i64>, Fault> {
        let Some(head) = entry::counter_head(seen) else { return Ok(None) };
        let offset = offset.to_string();
        let reply = self.eval(&ADD, &self.name(key), &[head, offset.as_bytes()], Replay::Never)?;
        // The sum comes as text: Lua's numbers are floats.
        let Value::BulkString(digits) = reply else { return Ok(None) };
        String::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or_else(unexpected)
    }

    fn generations(&self) -> Result<Generations, Fault> {
        let mut all = cmd("HGETALL");
        all.arg(Self::generations_key(&self.prefix));
        let reply = self.call(|link| link.run(&all, Replay::Safe))?;
        match generations(reply)? {
            Generations { version: 0, .. } => self.begin(&[], 0),
            known => Ok(known),
        }
    }

    fn begin(&self, slots: &[u16], after: u64) -> Result<Generations, Fault> {
        let slots = slots.iter().map(u16::to_string);
        let texts: Vec<String> = std::iter::once(after.to_string()).chain(slots).collect();
        let arguments: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let key = Self::generations_key(&self.prefix);
        generations(self.eval(&BEGIN, &key, &arguments, Replay::Safe)?)
    }

    fn lock(&self, key: &[u8], token: u64, ttl: Duration) -> Result<bool, Fault> {
        let mut set = cmd("SET");
        set.arg(self.lock_name(key)).arg(token).arg("NX").arg("PX").arg(ttl_millis(ttl));
        Ok(self.call(|link| link.run(&set, Replay::Safe))? == Value::Okay)
    }

    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Fault> {
        let token = token.to_string();
        self.eval(&UNLOCK, &self.lock_name(key), &[token.as_bytes()], Replay::Safe).map(|_| ())
    }

    fn largest_entry(&self) -> usize {
        LARGEST_ENTRY
    }

    fn state(&self) -> State {
        self.guard.as_ref().map_or(State::Closed { failures: 0 }, |guard| guard.breaker.state())
    }
}

impl RedisBacking {
    fn lock_name(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"!lock:", key].concat()
    }
}

/// The generations in the reply to HGETALL.
pub(in crate::cache) fn generations(reply: Value) -> Result<Generations, Fault> {
    let pairs: Vec<(Vec<u8>, u64)> = redis::from_redis_value(reply).map_err(|_| unexpected())?;
    let mut known = Generations::default();
    for (field, generation) in pairs {
        if field == VERSION {
            known.version = generation;
        } else if let Some(slot) = std::str::from_utf8(&field).ok().and_then(|field| field.parse().ok()) {
            known.slots.push((slot, generation));
        }
    }
    Ok(known)
}

fn bytes(reply: Value) -> Option<Vec<u8>> {
    match reply {
        Value::BulkString(bytes) => Some(bytes),
        // A key that somebody gave another type is foreign, like any bytes that are not ours.
        _ => None,
    }
}

fn number(reply: Option<Value>) -> Result<u64, Fault> {
    let number: Option<u64> =
        redis::from_redis_value(reply.unwrap_or(Value::Nil)).map_err(|_| unexpected())?;
    Ok(number.unwrap_or(0))
}

/// Redis refuses an expiry of 0.
fn ttl_millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX >> 1).max(1)
}

fn unexpected() -> Fault {
    Fault::new(FaultKind::Protocol, "the reply is not what the command returns")
}
