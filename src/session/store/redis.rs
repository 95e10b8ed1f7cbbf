//! Sessions in Redis: one hash each, `<prefix><name>`, and a script for every call.
//!
//! Fields: `v` version, `d` data, `t` token of the lock (empty: free), `l` its end by the server's clock in
//! milliseconds, `s` state (`d`, `m`; empty: live), `w` token of the last writer, so that a write
//! whose answer was lost may be sent again. All of a session lies under one key, so data and lock go
//! together, and it works in a cluster.
//!
//! A server that evicts (`maxmemory-policy` other than `noeviction` or `volatile-*`) ends sessions
//! silently; give sessions an instance of their own.

use std::cell::Cell;
use std::sync::{LazyLock, PoisonError};
use std::time::Duration;

use redis::{Value, cmd};

use super::{Change, Close, Closed, Found, Kind, Open, Opened, Store, Tombstone};
use crate::clock::{Clock, SystemClock};
use crate::remote::redis::{RedisLink, Replay, Script, SharedLink, shared};
use crate::remote::settings::{RedisSettings, Topology};
use crate::remote::{Fault, FaultKind};
use crate::session::name::Name;

static OPEN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/open.lua")));
static CLOSE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/close.lua")));
static MIRROR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/mirror.lua")));
static DESTROY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/destroy.lua")));

/// Steps of a count; each looks at about a thousand keys.
const MOST_STEPS: usize = 10_000;

/// The sessions whose keys begin with a prefix.
pub struct RedisStore {
    link: SharedLink,
    prefix: String,
    name: String,
    is_single: bool,
    /// How long somebody waits for an answer.
    patience: Duration,
    /// By how many milliseconds the server's clock is ahead of ours, once that is known.
    ahead: Cell<Option<i64>>,
}

impl RedisStore {
    /// The sessions in the Redis that `settings` name.
    pub fn new(settings: &RedisSettings) -> Self {
        let (name, is_single) = match &settings.topology {
            Topology::Single(address) => (format!("redis {address}"), true),
            Topology::Cluster(_) => ("redis cluster".to_owned(), false),
            Topology::Sentinel { service, .. } => (format!("redis {service}"), true),
        };
        let (link, prefix, patience) = (shared(settings), settings.prefix.clone(), settings.read_timeout);
        Self { link, prefix, name, is_single, patience, ahead: Cell::new(None) }
    }

    fn with<T>(&self, call: impl FnOnce(&mut RedisLink) -> Result<T, Fault>) -> Result<T, Fault> {
        call(&mut self.link.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every script may be sent again: it finds what it did.
    fn eval(&self, script: &Script, name: &Name, arguments: &[&[u8]]) -> Result<Value, Fault> {
        let key = [self.prefix.as_bytes(), name.as_bytes()].concat();
        self.with(|link| link.eval(script, &[&key], arguments, Replay::Safe))
    }
}

impl RedisStore {
    /// `None`: the server says that nobody waits any more.
    fn ask(&self, request: &Open<'_>) -> Result<Option<Opened>, Fault> {
        let lock = request.lock.map_or(0, |ttl| ttl.as_millis()).to_string();
        let lifetime = request.lifetime.as_millis().to_string();
        let create: &[u8] = if request.create { b"1" } else { b"0" };
        let token = request.token.to_hex();
        let until = self.ahead.get().map_or(0, |ahead| millis() + ahead + self.patience.as_millis() as i64);
        let until = until.to_string();
        let arguments = [token.as_bytes(), lock.as_bytes(), create, lifetime.as_bytes(), until.as_bytes()];
        let Value::Array(reply) = self.eval(&OPEN, request.name, &arguments)? else {
            return Err(unexpected());
        };
        let mut reply = reply.into_iter();
        let (Some(Value::BulkString(what)), Some(number)) = (reply.next(), reply.next()) else {
            return Err(unexpected());
        };
        let number = whole(&number)?;
        Ok(Some(match what.as_slice() {
            b"missing" => Opened::Missing(number),
            b"moved" => Opened::Moved(number),
            b"busy" => Opened::Busy(Duration::from_millis(number)),
            b"open" => {
                let sealed = match reply.next() {
                    Some(Value::BulkString(sealed)) => Some(sealed),
                    _ => None,
                };
                if let Some(Value::Int(now)) = reply.next() {
                    self.ahead.set(Some(now - millis()));
                }
                Opened::Found(Found { version: number, sealed, receipt: None })
            }
            b"late" => return Ok(None),
            _ => return Err(unexpected()),
        }))
    }
}

impl Store for RedisStore {
    fn open(&self, request: &Open<'_>) -> Result<Opened, Fault> {
        if let Some(opened) = self.ask(request)? {
            return Ok(opened);
        }
        // Somebody did wait, so one of the clocks was set.
        self.ahead.set(None);
        self.ask(request)?.ok_or_else(unexpected)
    }

    fn close(&self, request: &Close<'_>) -> Result<Closed, Fault> {
        let (what, version, sealed): (&[u8], u64, &[u8]) = match request.change {
            Change::Write { version, sealed } => (b"write", version, sealed),
            Change::Refresh => (b"refresh", 0, b""),
            Change::Release => (b"release", 0, b""),
        };
        let numbers =
            [request.seen, request.lifetime.as_millis() as u64, version].map(|number| number.to_string());
        let [seen, lifetime, version] = numbers.each_ref().map(String::as_bytes);
        let token = request.token.to_hex();
        let arguments = [token.as_bytes(), seen, lifetime, what, version, sealed];
        match whole(&self.eval(&CLOSE, request.name, &arguments)?)? {
            0 => Ok(Closed::Lost),
            _ => Ok(Closed::Done),
        }
    }

    fn mirror(&self, name: &Name, version: u64, sealed: &[u8], lifetime: Duration) -> Result<bool, Fault> {
        let (version, lifetime) = (version.to_string(), lifetime.as_millis().to_string());
        let reply = self.eval(&MIRROR, name, &[version.as_bytes(), sealed, lifetime.as_bytes()])?;
        Ok(whole(&reply)? != 0)
    }

    fn destroy(&self, name: &Name, tombstone: &Tombstone) -> Result<(), Fault> {
        let (version, ttl) = (tombstone.version.to_string(), tombstone.ttl.as_millis().to_string());
        let state: &[u8] = match tombstone.kind {
            Kind::Destroyed => b"d",
            Kind::Moved => b"m",
        };
        self.eval(&DESTROY, name, &[version.as_bytes(), state, ttl.as_bytes()]).map(drop)
    }

    /// Redis removes what has expired itself.
    fn collect(&self) -> Result<u64, Fault> {
        Ok(0)
    }

    /// Looks at every key of the database, a thousand at a time, tombstones included.
    fn count(&self) -> Result<Option<u64>, Fault> {
        if !self.is_single {
            return Ok(None);
        }
        let literal = |c: char| if "*?[]\\^-".contains(c) { vec!['\\', c] } else { vec![c] };
        let pattern: String = self.prefix.chars().flat_map(literal).chain("?".repeat(40).chars()).collect();
        let (mut cursor, mut found) = (b"0".to_vec(), 0);
        for _ in 0..MOST_STEPS {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let Value::Array(reply) = self.with(|link| link.run(&scan, Replay::Safe))? else { break };
            let [Value::BulkString(next), Value::Array(keys)] = reply.as_slice() else { break };
            found += keys.len() as u64;
            if next == b"0" {
                return Ok(Some(found));
            }
            cursor.clone_from(next);
        }
        Ok(None)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn millis() -> i64 {
    (SystemClock.now().nanos() / 1_000_000) as i64
}

fn whole(reply: &Value) -> Result<u64, Fault> {
    let number = match reply {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    number.ok_or_else(unexpected)
}

fn unexpected() -> Fault {
    Fault::new(FaultKind::Command, "redis has something else where a session should be")
}
