//! Memcached as second layer.
//!
//! Entries are items named `<prefix>:<group>:<key>`, or `<prefix>~<hash>` where that is no plain key.
//! The generations are one item, `<prefix>!generations`, replaced by compare-and-swap, so that they
//! are evicted all together or not at all. Every server has a copy, so that any of them may be away;
//! of each slot the newest generation counts, and a copy that is behind is brought up. When no
//! server has one, a new generation of the whole site begins. The unique numbers are the version.
//!
//! Memcached pushes nothing. So each server counts the writes to its keys in 64 slots; a write and
//! its count go to the server in one go, in this order, and a request reads the counts in its first
//! round trip. What it then finds in shared memory is not older than the request.
//!
//! Needs memcached 1.6 (meta commands).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Backing, Changes, Fetched, Generations, Item, Put, Taken, breaker};
use crate::cache::entry;
use crate::cache::l1::{SITE_SLOT, key_slot};
use crate::cache::meta::KEY_SLOTS;
use crate::clock::Clock;
use crate::error::Result as CrateResult;
use crate::remote::breaker::State;
use crate::remote::memcached::protocol::{self, Mode, Reply, Request, expiry, expiry_in_ticks};
use crate::remote::memcached::{MemcachedLink, Routed, SharedLink};
use crate::remote::settings::MemcachedSettings;
use crate::remote::{Fault, FaultKind};
use crate::shm::Segment;

/// The server's default limit, `-I 1m`, less what it needs itself.
const LARGEST_ENTRY: usize = (1 << 20) - 512;

/// How often a compare-and-swap starts again because somebody else was quicker.
const ATTEMPTS: usize = 256;

/// A site's entries in Memcached.
pub struct MemcachedBacking {
    link: SharedLink,
    prefix: String,
    clock: Arc<dyn Clock>,
}

impl MemcachedBacking {
    /// The entries of the site whose keys begin with `prefix`, each server behind the host's breaker.
    ///
    /// # Errors
    /// A shared-memory error when there is no room for the breakers.
    pub fn new(
        settings: &MemcachedSettings,
        prefix: &str,
        segment: &'static Segment,
        clock: Arc<dyn Clock>,
    ) -> CrateResult<Self> {
        let names = settings.servers.iter().map(|address| format!("memcached {address}"));
        let breakers = names.map(|name| breaker(segment, &name)).collect::<CrateResult<Vec<_>>>()?;
        let open = || MemcachedLink::new(settings.clone(), breakers, Arc::clone(&clock));
        Ok(Self { link: MemcachedLink::shared(settings, open), prefix: prefix.to_owned(), clock })
    }

    /// What the item of `name` is called.
    fn item(&self, mark: &str, name: &[u8]) -> Vec<u8> {
        let plain = [self.prefix.as_bytes(), mark.as_bytes(), name].concat();
        if protocol::is_plain(&plain) {
            return plain;
        }
        // A prefix may be as long or as odd as a key, so it is hashed with it.
        format!("~{}", blake3::hash(&plain).to_hex()).into_bytes()
    }

    fn entry(&self, name: &[u8]) -> Vec<u8> {
        self.item(":", name)
    }

    fn generations_item(&self) -> Vec<u8> {
        self.item("!", b"generations")
    }

    fn count_item(&self, slot: usize) -> Vec<u8> {
        self.item("!", format!("writes{slot}").as_bytes())
    }

    /// Replies to `requests`, in order; an error when any of them has none.
    fn ask(&self, requests: &[Routed]) -> Result<Vec<Reply>, Fault> {
        self.try_ask(requests).into_iter().collect()
    }

    fn try_ask(&self, requests: &[Routed]) -> Vec<Result<Reply, Fault>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).batch(requests)
    }

    fn ask_one(&self, request: Request) -> Result<Reply, Fault> {
        let routed = self.routed(request);
        self.ask(&[routed])?.pop().ok_or_else(|| Fault::new(FaultKind::Protocol, "no reply"))
    }

    fn routed(&self, request: Request) -> Routed {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).route(request)
    }

    fn servers(&self) -> usize {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A write, followed by its count on the same server.
    fn counted(&self, name: &[u8], writes: Vec<Request>) -> Vec<Routed> {
        let server = self.link.lock().unwrap_or_else(PoisonError::into_inner).server_of(&self.entry(name));
        let count = Request::count(&self.count_item(usize::from(key_slot(name))), self.now_micros());
        writes.into_iter().chain([count]).map(|request| Routed { server, request }).collect()
    }

    fn counts_of(&self, server: usize) -> impl Iterator<Item = Routed> + '_ {
        (0..KEY_SLOTS).map(move |slot| Routed { server, request: Request::get(&self.count_item(slot)) })
    }

    fn now_micros(&self) -> u64 {
        self.clock.now().nanos() / 1000
    }

    fn write(&self, item: &Item<'_>, mode: Mode) -> Vec<Routed> {
        let expires = expiry(item.ttl, self.clock.now());
        self.counted(item.key, vec![Request::store(&self.entry(item.key), item.entry, expires, 0, mode)])
    }

    /// Every server's copy of the generations, as far as they answer, and what they amount to, under the
    /// version that these very copies have.
    fn read_copies(&self) -> Result<(Vec<(usize, Generations)>, Generations), Fault> {
        let item = self.generations_item();
        let requests: Vec<Routed> =
            (0..self.servers()).map(|server| Routed { server, request: Request::get(&item) }).collect();
        let replies = answered(self.try_ask(&requests))?;
        let version = version_in(&replies);
        let copies = replies.into_iter().enumerate().filter_map(|(server, reply)| match reply.ok()? {
            Reply::Found(found) => Some((server, decode(&found.value))),
            _ => Some((server, Generations::default())),
        });
        let copies: Vec<_> = copies.collect();
        let known = Generations { version, ..merge(copies.iter().map(|(_, copy)| copy)) };
        Ok((copies, known))
    }

    /// The same. Where there was no copy, the site's first generation begins; of hosts that do this at
    /// the same time the first one wins.
    fn copies(&self) -> Result<(Vec<(usize, Generations)>, Generations), Fault> {
        let (copies, known) = self.read_copies()?;
        if !known.slots.is_empty() {
            return Ok((copies, known));
        }
        let first = Generations { version: 0, slots: vec![(SITE_SLOT, self.now_micros())] };
        let add =
            Request::store(&self.generations_item(), &encode(&first), 0, newest(&first) as u32, Mode::Add);
        let adds: Vec<Routed> =
            copies.iter().map(|(server, _)| Routed { server: *server, request: add.clone() }).collect();
        answered(self.try_ask(&adds))?;
        self.read_copies()
    }

    /// Sees to it that the copy of `server` is nowhere behind `known`, whoever else changes it too.
    fn bring_up(&self, server: usize, known: &Generations) -> Result<(), Fault> {
        let item = self.generations_item();
        for _ in 0..ATTEMPTS {
            let (copy, mode) = match self.ask_server(server, Request::get(&item))? {
                Reply::Found(found) => (decode(&found.value), Mode::Unchanged(found.unique)),
                _ => (Generations::default(), Mode::Add),
            };
            let merged = merge([&copy, known]);
            if mode != Mode::Add && merged == copy {
                return Ok(());
            }
            let store = Request::store(&item, &encode(&merged), 0, newest(&merged) as u32, mode);
            match self.ask_server(server, store)? {
                Reply::Done | Reply::Found(_) => return Ok(()),
                Reply::Failed(why) => return Err(Fault::new(FaultKind::Command, why)),
                Reply::Refused | Reply::Missing => {}
            }
        }
        Err(Fault::new(FaultKind::Command, "the generations change all the time"))
    }

    /// Brings up every copy that is behind `known`. A server that fails is brought up when it is back;
    /// it is an error only when no server knows it all.
    fn bring_all_up(&self, copies: &[(usize, Generations)], known: &Generations) -> Result<(), Fault> {
        let results = copies.iter().map(|(server, copy)| match copy.slots == known.slots {
            true => Ok(()),
            false => self.bring_up(*server, known),
        });
        let results: Vec<_> = results.collect();
        match results.iter().any(Result::is_ok) {
            true => Ok(()),
            false => results.into_iter().collect(),
        }
    }

    fn ask_server(&self, server: usize, request: Request) -> Result<Reply, Fault> {
        let replies = self.ask(&[Routed { server, request }])?;
        replies.into_iter().next().ok_or_else(|| Fault::new(FaultKind::Protocol, "no reply"))
    }
}

impl Backing for MemcachedBacking {
    fn fetch(&self, keys: &[&[u8]], with_changes: bool) -> Result<Fetched, Fault> {
        let mut requests: Vec<Routed> =
            keys.iter().map(|key| self.routed(Request::get(&self.entry(key)))).collect();
        let item = self.generations_item();
        if with_changes {
            for server in 0..self.servers() {
                requests.push(Routed { server, request: Request::look(&item) });
                requests.extend(self.counts_of(server));
            }
        }
        let mut replies = answered(self.try_ask(&requests))?;
        let changes = replies.split_off(keys.len().min(replies.len()));
        // A server that is down has none of its keys; the others have theirs.
        let entries = replies.into_iter().map(|reply| value(reply.ok().as_ref())).collect();
        Ok(Fetched { entries, changes: with_changes.then(|| changes_in(&changes)) })
    }

    fn store(&self, items: &[Item<'_>]) -> Result<Vec<Put>, Fault> {
        let requests: Vec<Routed> = items.iter().flat_map(|item| self.write(item, Mode::Set)).collect();
        let replies = answered(self.try_ask(&requests))?;
        Ok(replies
            .chunks(2)
            .map(|pair| match pair {
                [Ok(Reply::Done), Ok(_)] => Put::Stored,
                [Ok(_), Ok(_)] => Put::Refused,
                _ => Put::Unanswered,
            })
            .collect())
    }

    fn store_if(&self, item: &Item<'_>, seen: Option<&[u8]>) -> Result<bool, Fault> {
        let mode = match seen {
            None => Mode::Add,
            Some(seen) => match self.ask_one(Request::get(&self.entry(item.key)))? {
                Reply::Found(found) if found.value == seen => Mode::Unchanged(found.unique),
                _ => return Ok(false),
            },
        };
        let replies = self.ask(&self.write(item, mode))?;
        Ok(matches!(replies.first(), Some(Reply::Done)))
    }

    fn take(&self, keys: &[&[u8]]) -> Result<Vec<Taken>, Fault> {
        let requests: Vec<Routed> = keys
            .iter()
            .flat_map(|key| {
                let item = self.entry(key);
                self.counted(key, vec![Request::get(&item), Request::delete(&item)])
            })
            .collect();
        let replies = answered(self.try_ask(&requests))?;
        Ok(replies
            .chunks(3)
            .map(|three| match three {
                [Ok(Reply::Found(found)), Ok(_), Ok(_)] => Taken::Entry(found.value.clone()),
                [Ok(_), Ok(_), Ok(_)] => Taken::Nothing,
                _ => Taken::Unanswered,
            })
            .collect())
    }

    fn add(&self, key: &[u8], seen: &[u8], offset: i64) -> Result<Option<i64>, Fault> {
        let Some(head) = entry::counter_head(seen) else { return Ok(None) };
        let item = self.entry(key);
        for _ in 0..ATTEMPTS {
            let Reply::Found(found) = self.ask_one(Request::get(&item))? else { return Ok(None) };
            let Some(digits) = found.value.strip_prefix(head) else { return Ok(None) };
            let Some(value) = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok())
            else {
                return Ok(None);
            };
            let sum = value.saturating_add(offset).max(0);
            let changed = [head, sum.to_string().as_bytes()].concat();
            let expires = expiry_in_ticks(found.ttl, self.clock.now());
            let store = Request::store(&item, &changed, expires, 0, Mode::Unchanged(found.unique));
            let replies = self.ask(&self.counted(key, vec![store]))?;
            match replies.first() {
                Some(Reply::Done) => return Ok(Some(sum)),
                Some(Reply::Refused) => {}
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn generations(&self) -> Result<Generations, Fault> {
        let (copies, known) = self.copies()?;
        self.bring_all_up(&copies, &known)?;
        Ok(known)
    }

    fn begin(&self, slots: &[u16], after: u64) -> Result<Generations, Fault> {
        let (copies, known) = self.copies()?;
        let next = self.now_micros().max(newest(&known) + 1).max(after + 1);
        let begun = Generations { version: 0, slots: slots.iter().map(|slot| (*slot, next)).collect() };
        // The copies change with this, so the next request finds another version and asks again: others
        // may have begun something too.
        let known = Generations { version: known.version, ..merge([&known, &begun]) };
        self.bring_all_up(&copies, &known)?;
        Ok(known)
    }

    fn lock(&self, key: &[u8], token: u64, ttl: Duration) -> Result<bool, Fault> {
        let item = self.item("!lock:", key);
        let expires = expiry(Some(ttl), self.clock.now());
        let add = Request::store(&item, token.to_string().as_bytes(), expires, 0, Mode::Add);
        Ok(self.ask_one(add)? == Reply::Done)
    }

    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Fault> {
        let item = self.item("!lock:", key);
        if let Reply::Found(found) = self.ask_one(Request::get(&item))?
            && found.value == token.to_string().as_bytes()
        {
            self.ask_one(Request::delete_unchanged(&item, found.unique))?;
        }
        Ok(())
    }

    fn largest_entry(&self) -> usize {
        LARGEST_ENTRY
    }

    fn state(&self) -> State {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).state()
    }
}

/// The replies, unless no server answered at all.
fn answered(replies: Vec<Result<Reply, Fault>>) -> Result<Vec<Result<Reply, Fault>>, Fault> {
    match replies.first() {
        Some(Err(fault)) if replies.iter().all(Result::is_err) => Err(fault.clone()),
        _ => Ok(replies),
    }
}

/// What has changed, from each server's reply about its generations and those about its counts.
fn changes_in(replies: &[Result<Reply, Fault>]) -> Changes {
    let mut looks = Vec::new();
    let mut key_slots = vec![0u64; KEY_SLOTS];
    for (look, counts) in replies.chunks(1 + KEY_SLOTS).filter_map(<[_]>::split_first) {
        looks.push(look.clone());
        for (sum, reply) in key_slots.iter_mut().zip(counts) {
            let count =
                value(reply.as_ref().ok()).and_then(|digits| String::from_utf8(digits).ok()?.parse().ok());
            *sum = fold(*sum, count.unwrap_or(0));
        }
    }
    Changes { version: version_in(&looks), key_slots }
}

/// One number that changes when any server's copy of the generations does; 0 when none has one.
fn version_in(looks: &[Result<Reply, Fault>]) -> u64 {
    let versions = looks.iter().map(|look| match look {
        Ok(Reply::Found(found)) => version(found),
        Ok(_) => 0,
        // As long as a server is away its copy changes nothing.
        Err(_) => 1,
    });
    if looks.iter().any(|look| matches!(look, Ok(Reply::Found(_)))) {
        versions.fold(1, fold).max(1)
    } else {
        0
    }
}

/// Any change of any part must show; a plain sum could stay the same.
fn fold(sum: u64, part: u64) -> u64 {
    sum.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(part)
}

/// Slot by slot the newest generation; sorted, so that equal generations compare equal.
fn merge<'g>(copies: impl IntoIterator<Item = &'g Generations>) -> Generations {
    let mut slots: BTreeMap<u16, u64> = BTreeMap::new();
    for (slot, generation) in copies.into_iter().flat_map(|copy| &copy.slots) {
        let newest = slots.entry(*slot).or_default();
        *newest = (*newest).max(*generation);
    }
    Generations { version: 0, slots: slots.into_iter().collect() }
}

/// The item's unique number starts anew with the server, so the newest generation goes with it.
fn version(found: &protocol::Item) -> u64 {
    u64::from(found.flags) << 32 | (found.unique & 0xFFFF_FFFF)
}

fn newest(known: &Generations) -> u64 {
    known.slots.iter().map(|(_, generation)| *generation).max().unwrap_or(0)
}

fn encode(known: &Generations) -> Vec<u8> {
    let pairs = known.slots.iter().map(|(slot, generation)| (slot.to_le_bytes(), generation.to_le_bytes()));
    pairs.flat_map(|(slot, generation)| slot.into_iter().chain(generation)).collect()
}

fn decode(bytes: &[u8]) -> Generations {
    let slots =
        bytes.as_chunks::<10>().0.iter().map(|[s0, s1, generation @ ..]| {
            (u16::from_le_bytes([*s0, *s1]), u64::from_le_bytes(*generation))
        });
    Generations { version: 0, slots: slots.collect() }
}

fn value(reply: Option<&Reply>) -> Option<Vec<u8>> {
    match reply {
        Some(Reply::Found(found)) => Some(found.value.clone()),
        _ => None,
    }
}
