//! The first layer: values in shared memory, read by every worker of the host without a lock.
//!
//! Owns: the division of the cache region into site blocks and shards, and the calls on it.
//! Refuses to do: know what a body holds; reach for another layer.
//!
//! The region is cut into as many shards as it has locks. One in sixteen is large and holds what
//! does not fit the others; a quarter of the bytes is theirs. A reader looks into the large ones
//! only after it missed.
//!
//! A shard whose lock cannot be had in time (its holder is stopped, not dead) could not forget what
//! it should. Then the host stops trusting what it has of the key and of one in 64 others, those on the
//! same slot: nothing stale is ever served.

mod entry;
mod eviction;
mod index;
mod journal;
mod ring;
mod shard;
mod sites;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use journal::{Pending, Record};
pub use sites::{GENERATIONS, SITE_SLOT, Site, group_slot, tag_slot};

use super::codec;
use super::meta::{Age, Facts, KEY_SLOTS, Meta, flags};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::shm::{Guard, Hasher, Locks, Region, RegionKind, Segment};
use entry::{Draft, Header, SKIP};
use eviction::Ledger;
use shard::{Found, Shard};
use sites::{SiteBlock, Trust};

/// How long a writer waits for a shard. Holders need microseconds; one that is stopped is not
/// waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// One site block for so many bytes of region.
const BYTES_PER_SITE: usize = 512 << 10;

const MAX_SITES: usize = 64;

/// Words of log per index slot: an entry of a 30-byte key and a 64-byte value takes 18.
const WORDS_PER_SLOT: usize = 10;

/// The same where only large values are.
const WORDS_PER_LARGE_SLOT: usize = 512;

const CACHE_LINE: usize = 64;

/// Handle to the layer.
pub struct L1<'a> {
    blocks: &'a [SiteBlock],
    shards: Vec<Shard<'a>>,
    large: Vec<Shard<'a>>,
    locks: Locks<'a>,
    hasher: Hasher,
    quota_words: u64,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What is known of the value.
    pub facts: Facts,
    /// Bytes of the encoded value, at the start of the buffer.
    pub len: usize,
    /// Whether its time is over and it is served under its grace.
    pub stale: bool,
}

/// When a value is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    Always,
    /// When no valid value is there.
    Absent,
    /// When a valid value is there.
    Present,
    /// When nothing was written or removed here since the ticket was had: for what was read elsewhere.
    Unchanged(Ticket),
    /// When the stamp is still that of what is there.
    Same(Stamp),
}

/// Proof of when something was read elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    changes: u64,
    trust: Trust,
}

/// What identifies the entry at a key, or the reservation there: another one has another stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Yes,
    /// The condition does not hold; nothing changed.
    Refused,
    /// It is too large for this layer, or the shard is not to be had. Nothing valid is stored under
    /// the key any more.
    Failed,
}

/// Numbers of the whole layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub items: u64,
    /// Bytes in use, those of forgotten entries not yet reclaimed included.
    pub bytes: u64,
    /// Bytes in all.
    pub capacity: u64,
    /// Entries forgotten to make room.
    pub evictions: u64,
    /// Entries found expired when room was made.
    pub expirations: u64,
}

impl<'a> L1<'a> {
    /// The layer in the cache region of `segment`. A site may use `share` of it (0 to 1).
    ///
    /// # Errors
    /// A shared-memory error when the region is too small to be divided.
    pub fn open(segment: &'a Segment, share: f64) -> Result<Self> {
        Self::in_region(segment.region(RegionKind::Cache), segment.hasher(), share)
    }

    fn in_region(region: Region<'a>, hasher: Hasher, share: f64) -> Result<Self> {
        let locks = region.locks();
        let mut carver = region.carve();
        let sites = (region.len() / BYTES_PER_SITE).clamp(1, MAX_SITES);
        let blocks = carver.slice::<SiteBlock>(sites)?;
        // Few, because a shard takes values up to a quarter of itself: an autoloaded options array of a
        // megabyte is to fit into the default segment.
        let large_count = (locks.len() / 32).max(1);
        let small_count = locks.len().saturating_sub(large_count).max(1);
        let bytes = carver.room_for::<AtomicU8>();
        let mut carve = |count: usize, bytes: usize, words_per_slot| -> Result<Vec<_>> {
            let each = bytes / count / CACHE_LINE * CACHE_LINE;
            (0..count).map(|_| Shard::carve(&mut carver, each, words_per_slot)).collect()
        };
        let shards = carve(small_count, bytes / 4 * 3, WORDS_PER_SLOT)?;
        let large = carve(large_count, bytes / 4, WORDS_PER_LARGE_SLOT)?;
        let words: usize = shards.iter().chain(&large).map(Shard::capacity_words).sum();
        let quota_words = (words as f64 * share.clamp(0.0, 1.0)) as u64;
        Ok(Self { blocks, shards, large, locks, hasher, quota_words })
    }

    /// The block of the site `name`; `None` when all are taken by sites that are in use.
    pub fn site(&self, name: &[u8], now: Timestamp) -> Option<Site<'a>> {
        let _guard = self.locks.lock(0, Locks::PATIENCE, || self.repair(0))?;
        Site::claim(self.blocks, self.hasher.key(name), now)
    }

    /// Copies the value of `key` to the start of `out`. `None`: not here, expired beyond its grace,
    /// or of a generation that is gone.
    pub fn get(&self, site: &Site<'_>, key: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<Hit> {
        self.read(site, hash_of(site, key), key, now, out)
            .filter(|hit| hit.facts.flags & flags::RESERVED == 0)
    }

    /// The same for somebody who is about to replace the value, or to read it elsewhere because
    /// there is none: then `id` reserves its place, as `meta` says, and a later one replaces an
    /// earlier one only for those who come after it. The stamp is for [`Condition::Same`]; `None`
    /// when the shard is not to be had.
    pub fn reserve(
        &self,
        site: &Site<'_>,
        key: &[u8],
        meta: &Meta,
        id: u64,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> (Option<Hit>, Option<Stamp>) {
        let hash = hash_of(site, key);
        let seen = self.locked(self.small_index(hash), |shard| {
            if let Some(hit) = self.read(site, hash, key, now, out) {
                let stamp = stamp(&hit, out);
                return ((hit.facts.flags & flags::RESERVED == 0).then_some(hit), Some(stamp));
            }
            let slot = key_slot(key);
            let fingerprint = site.trust(slot).mark(meta.fingerprint);
            let meta = Meta { fingerprint, flags: flags::RESERVED, ..*meta };
            let draft = Draft { hash, slot, site: site.index(), key, meta: &meta, body: &id.to_ne_bytes() };
            if self.put_small(shard, site, &draft, now) != Stored::Yes {
                return (None, None);
            }
            (None, self.read(site, hash, key, now, out).map(|hit| stamp(&hit, out)))
        });
        seen.unwrap_or((None, None))
    }

    /// What is there and current, reservations included.
    fn read(&self, site: &Site<'_>, hash: u64, key: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<Hit> {
        let age = |header: &Header| header.times.age(now);
        let admit =
            |header: &Header, words: &[_]| age(header) != Age::Over && is_current(header, words, site);
        let found = self.small(hash)?.read(hash, site.index(), key, admit, out);
        let Found { facts, len } =
            found.or_else(|| self.large(hash)?.read(hash, site.index(), key, admit, out))?;
        Some(Hit { facts, len, stale: facts.times.age(now) == Age::Stale })
    }

    /// To be had before a value is computed or read elsewhere, and given back with it.
    pub fn ticket(&self, site: &Site<'_>, key: &[u8]) -> Ticket {
        let changes = self.small(hash_of(site, key)).map_or(0, Shard::changes);
        Ticket { changes, trust: site.trust(key_slot(key)) }
    }

    /// Stores the encoded value `body` under `key` if `condition` holds. An integer becomes a
    /// counter.
    ///
    /// `meta.fingerprint` is [`Site::fingerprint`] as it was when the value came to be.
    pub fn put(
        &self,
        site: &Site<'_>,
        key: &[u8],
        meta: &Meta,
        body: &[u8],
        condition: Condition,
        now: Timestamp,
    ) -> Stored {
        let (hash, slot) = (hash_of(site, key), key_slot(key));
        let counter = codec::as_int(body).map(i64::to_ne_bytes);
        let flags = meta.flags | if counter.is_some() { flags::COUNTER } else { 0 };
        let trust = match condition {
            Condition::Unchanged(ticket) => ticket.trust,
            _ => site.trust(slot),
        };
        let meta = Meta { fingerprint: trust.mark(meta.fingerprint), flags, ..*meta };
        let body = counter.as_ref().map_or(body, |bytes| bytes.as_slice());
        let draft = Draft { hash, slot, site: site.index(), key, meta: &meta, body };
        let put = |shard: &Shard<'a>| {
            if !self.admits(condition, shard, site, hash, key, now) {
                return Stored::Refused;
            }
            if !matches!(condition, Condition::Unchanged(_)) {
                shard.note_change();
            }
            match draft.words() <= shard.largest() {
                true => self.put_small(shard, site, &draft, now),
                false => self.put_large(shard, site, &draft, now),
            }
        };
        let stored = match condition {
            Condition::Always => self.forgetting(self.small_index(hash), site, key, put),
            // Where nothing had to be replaced, nothing is wrong with what is there.
            _ => self.locked(self.small_index(hash), put),
        };
        stored.unwrap_or(Stored::Failed)
    }

    /// Forgets `key`; whether a valid value was there.
    pub fn remove(&self, site: &Site<'_>, key: &[u8], now: Timestamp) -> bool {
        let hash = hash_of(site, key);
        let removed = self.forgetting(self.small_index(hash), site, key, |shard| {
            shard.note_change();
            let was_valid = self.holds_valid(shard, site, hash, key, now);
            shard.remove(hash, site.index(), key, self);
            self.remove_large(site, hash, key);
            was_valid
        });
        removed == Some(true)
    }

    /// Adds to the integer at `key` and returns the sum; `None` when there is none that is valid.
    /// Its expiry stays.
    pub fn add(
        &self,
        site: &Site<'_>,
        key: &[u8],
        now: Timestamp,
        add: impl FnOnce(i64) -> i64,
    ) -> Option<i64> {
        let hash = hash_of(site, key);
        self.locked(self.small_index(hash), |shard| {
            shard.add(hash, site.index(), key, |header, words| is_valid(header, words, site, now), add)
        })?
    }

    /// Whether the second layer has still to be told something.
    pub fn has_pending(&self, site: &Site<'_>) -> bool {
        !site.block().journal.is_empty()
    }

    /// Notes what the second layer has to be told when it is back.
    pub fn note_pending(&self, site: &Site<'_>, record: &Record) {
        match self.lock(0) {
            Some(_guard) => site.block().journal.push(record),
            None => site.block().journal.overflow(),
        }
    }

    /// What the second layer has to be told.
    pub fn pending(&self, site: &Site<'_>) -> Option<Pending> {
        let _guard = self.lock(0)?;
        Some(site.block().journal.read())
    }

    /// Drops what it was told of `pending`: all but `left`.
    pub fn forget_pending(&self, site: &Site<'_>, pending: &Pending, left: &[Record]) {
        if let Some(_guard) = self.lock(0) {
            site.block().journal.forget(pending, left);
        }
    }

    /// How full the layer is.
    pub fn usage(&self) -> Usage {
        self.shards.iter().chain(&self.large).fold(Usage::default(), |sum, shard| {
            let (evictions, expirations) = shard.evictions();
            Usage {
                items: sum.items + shard.items(),
                bytes: sum.bytes + shard.used_words() as u64 * 8,
                capacity: sum.capacity + shard.capacity_words() as u64 * 8,
                evictions: sum.evictions + evictions,
                expirations: sum.expirations + expirations,
            }
        })
    }

    /// The largest value it takes, in bytes, about.
    pub fn largest_value(&self) -> usize {
        self.large.first().map_or(0, |shard| shard.largest() * 8).saturating_sub(512)
    }

    fn admits(
        &self,
        condition: Condition,
        shard: &Shard<'a>,
        site: &Site<'_>,
        hash: u64,
        key: &[u8],
        now: Timestamp,
    ) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Absent => !self.holds_valid(shard, site, hash, key, now),
            Condition::Present => self.holds_valid(shard, site, hash, key, now),
            Condition::Unchanged(ticket) => shard.changes() == ticket.changes,
            Condition::Same(seen) => {
                let mut out = Vec::new();
                self.read(site, hash, key, now, &mut out).is_some_and(|hit| stamp(&hit, &out) == seen)
            }
        }
    }

    /// What it replaces goes first, so that an old value never outlives the new one.
    fn put_small(&self, shard: &Shard<'a>, site: &Site<'_>, draft: &Draft<'_>, now: Timestamp) -> Stored {
        if !self.remove_large(site, draft.hash, draft.key) {
            return Stored::Failed;
        }
        self.insert(shard, site, draft, now)
    }

    fn put_large(&self, shard: &Shard<'a>, site: &Site<'_>, draft: &Draft<'_>, now: Timestamp) -> Stored {
        shard.remove(draft.hash, site.index(), draft.key, self);
        let index = self.shards.len() + self.large_index(draft.hash);
        let insert = |large: &Shard<'a>| self.insert(large, site, draft, now);
        self.forgetting(index, site, draft.key, insert).unwrap_or(Stored::Failed)
    }

    fn insert(&self, shard: &Shard<'a>, site: &Site<'_>, draft: &Draft<'_>, now: Timestamp) -> Stored {
        match shard.insert(draft, now, self) {
            Ok(()) => {
                site.block().words.fetch_add(draft.words() as u64, Relaxed);
                Stored::Yes
            }
            Err(_) => {
                shard.remove(draft.hash, site.index(), draft.key, self);
                Stored::Failed
            }
        }
    }

    /// Called under the lock of the key's small shard, which keeps other calls on the key out.
    fn holds_valid(&self, shard: &Shard<'a>, site: &Site<'_>, hash: u64, key: &[u8], now: Timestamp) -> bool {
        let judge = |header: &Header, words: &[_]| is_valid(header, words, site, now);
        let here = shard.judge(hash, site.index(), key, judge);
        here.or_else(|| self.large(hash)?.judge(hash, site.index(), key, judge)) == Some(true)
    }

    /// Called under the lock of the key's small shard; false when the large one is not to be had.
    fn remove_large(&self, site: &Site<'_>, hash: u64, key: &[u8]) -> bool {
        if !self.large(hash).is_some_and(|large| large.holds(hash, site.index(), key)) {
            return true;
        }
        let index = self.shards.len() + self.large_index(hash);
        self.forgetting(index, site, key, |large| large.remove(hash, site.index(), key, self)).is_some()
    }

    /// Runs `work`, which takes away what is at `key`, under the lock of shard `index`. When the lock
    /// is not to be had, what this host holds of the keys of that slot is not trusted any more.
    fn forgetting<T>(
        &self,
        index: usize,
        site: &Site<'_>,
        key: &[u8],
        work: impl FnOnce(&Shard<'a>) -> T,
    ) -> Option<T> {
        let result = self.locked(index, work);
        if result.is_none() {
            site.distrust_slot(key_slot(key));
        }
        result
    }

    /// Runs `work` under the lock of shard `index`; `None` when the lock is not to be had.
    fn locked<T>(&self, index: usize, work: impl FnOnce(&Shard<'a>) -> T) -> Option<T> {
        let guard = self.lock(index)?;
        let result = self.shard(index).map(work);
        drop(guard);
        result
    }

    fn lock(&self, index: usize) -> Option<Guard<'a>> {
        self.locks.lock(index, PATIENCE, || self.repair(index))
    }

    fn repair(&self, index: usize) {
        if let Some(shard) = self.shard(index) {
            shard.repair();
        }
    }

    fn shard(&self, index: usize) -> Option<&Shard<'a>> {
        match index.checked_sub(self.shards.len()) {
            None => self.shards.get(index),
            Some(index) => self.large.get(index),
        }
    }

    fn small(&self, hash: u64) -> Option<&Shard<'a>> {
        self.shards.get(self.small_index(hash))
    }

    fn large(&self, hash: u64) -> Option<&Shard<'a>> {
        self.large.get(self.large_index(hash))
    }

    fn small_index(&self, hash: u64) -> usize {
        spread(hash, self.shards.len())
    }

    fn large_index(&self, hash: u64) -> usize {
        spread(hash, self.large.len())
    }
}

/// Times count milliseconds, and a reservation's body is its own: entries that are alike in all of this
/// are the same value.
fn stamp(hit: &Hit, body: &[u8]) -> Stamp {
    let Facts { fingerprint, times, flags, .. } = hit.facts;
    let seed = fingerprint ^ times.pack().rotate_left(32) ^ u64::from(flags);
    Stamp(hash(body.get(..hit.len).unwrap_or(body), seed))
}

fn is_valid(header: &Header, words: &[AtomicU64], site: &Site<'_>, now: Timestamp) -> bool {
    header.flags & flags::RESERVED == 0
        && header.times.age(now) == Age::Fresh
        && is_current(header, words, site)
}

/// Whether everything that the entry in `words` depends on is as it was.
fn is_current(header: &Header, words: &[AtomicU64], site: &Site<'_>) -> bool {
    site.block().is_current(header.fingerprint, header.refs(words), header.slot)
}

impl Ledger for L1<'_> {
    fn left(&self, site: u16, words: usize) {
        if let Some(block) = self.blocks.get(usize::from(site)) {
            let old = block.words.load(Relaxed);
            block.words.fetch_sub((words as u64).min(old), Relaxed);
        }
    }

    fn is_over_quota(&self, site: u16) -> bool {
        let block = self.blocks.get(usize::from(site));
        block.is_some_and(|block| block.words.load(Relaxed) > self.quota_words)
    }

    fn is_outdated(&self, header: &Header, words: &[AtomicU64]) -> bool {
        let block = self.blocks.get(usize::from(header.site));
        block.is_none_or(|block| !block.is_current(header.fingerprint, header.refs(words), header.slot))
    }
}

/// The slot on which `key` falls, alike on all hosts.
pub fn key_slot(key: &[u8]) -> u8 {
    (hash(key, 0) % KEY_SLOTS as u64) as u8
}

/// The hash of a group's, tag's or key's name.
pub(super) fn hash(name: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(name, seed)
}

fn hash_of(site: &Site<'_>, key: &[u8]) -> u64 {
    // The one value that marks a gap in a log.
    hash(key, site.seed()).min(SKIP - 1)
}

/// Which of `count` shards. Of the lower half of the hash the upper bits choose the shard and the
/// lower ones are the tag; the upper half chooses the bucket. None does two of these.
fn spread(hash: u64, count: usize) -> usize {
    (hash as u32 as usize * count) >> 32
}

#[cfg(test)]
mod tests;
