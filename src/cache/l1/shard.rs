//! One shard: an index and two logs.
//!
//! Owns: finding and storing entries; who has to leave for them is [`super::eviction`]'s.
//!
//! Readers take no lock. A reader notes the shard's epoch, follows the index, copies, and believes
//! the copy only if the epoch has not moved. The epoch moves before any word is written over that a
//! reader may have reached. Writers hold the shard's robust lock.
//!
//! Invariant, at every instruction: both logs are whole ([`super::ring`]) and each index slot is
//! free or names an entry inside them. So a writer may be killed anywhere and nothing needs repair;
//! [`Shard::repair`] checks that all the same, because a crashing process may have scribbled first.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::*, fence};

use super::super::codec;
use super::super::meta::{Facts, flags};
use super::entry::{Draft, Header, SKIP};
use super::eviction::Ledger;
use super::index::{Bucket, Index, Slot, WAYS};
use super::ring::Ring;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::shm::Carver;
use crate::shm::region::shared_struct;

/// How often a reader starts again when writers get in its way.
const ATTEMPTS: usize = 8;

shared_struct! {
    /// Alone on its cache line: readers watch it, and the positions change with every insertion.
    #[repr(align(64))]
    pub(super) struct Epoch {
        pub(super) count: AtomicU64,
    }
}

shared_struct! {
    #[repr(align(64))]
    pub(super) struct Head {
        small_head: AtomicU64,
        small_tail: AtomicU64,
        main_head: AtomicU64,
        main_tail: AtomicU64,
        items: AtomicU64,
        pub(super) evictions: AtomicU64,
        pub(super) expirations: AtomicU64,
        /// Counts removals and writes, so that what was read elsewhere before one is not stored after it.
        changes: AtomicU64,
    }
}

/// Handle to one shard.
pub(super) struct Shard<'a> {
    pub(super) epoch: &'a Epoch,
    pub(super) head: &'a Head,
    pub(super) index: Index<'a>,
    /// Marks of entries that were forgotten from the small log, at the remainder of their hash.
    pub(super) ghosts: &'a [AtomicU16],
    pub(super) words: &'a [AtomicU64],
    small_len: usize,
}

/// What a reader found.
pub(super) struct Found {
    pub facts: Facts,
    /// Bytes of the body, at the start of the buffer.
    pub len: usize,
}

/// Why an entry was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotStored {
    /// It is larger than a quarter of the main log.
    TooLarge,
    /// The shard is broken beyond the policy's means; it was emptied.
    Broken,
}

pub(super) type Outcome = std::result::Result<(), NotStored>;

impl<'a> Shard<'a> {
    /// Lays a shard of at most `bytes` bytes out, with an index slot for so many words of log.
    pub(super) fn carve(carver: &mut Carver<'a>, bytes: usize, words_per_slot: usize) -> Result<Self> {
        let fixed = size_of::<Epoch>() + size_of::<Head>() + 3 * align_of::<Bucket>();
        let per_bucket = size_of::<Bucket>() + WAYS * (size_of::<AtomicU16>() + words_per_slot * 8);
        let buckets = (bytes.saturating_sub(fixed) / per_bucket).max(1);
        let used = fixed + buckets * (size_of::<Bucket>() + WAYS * size_of::<AtomicU16>());
        let words = bytes.saturating_sub(used) / 8;
        Ok(Self {
            epoch: carver.one()?,
            head: carver.one()?,
            index: Index(carver.slice(buckets)?),
            ghosts: carver.slice(buckets * WAYS)?,
            words: carver.slice(words)?,
            small_len: words / 10,
        })
    }

    /// The largest entry, in words.
    pub(super) fn largest(&self) -> usize {
        self.main().capacity / 4
    }

    /// Entries in the shard.
    pub(super) fn items(&self) -> u64 {
        self.head.items.load(Relaxed)
    }

    /// Words in the logs, those of forgotten entries included.
    pub(super) fn used_words(&self) -> usize {
        self.small().used() + self.main().used()
    }

    /// Words that the logs can hold.
    pub(super) fn capacity_words(&self) -> usize {
        self.words.len()
    }

    /// Entries forgotten to make room, and those found expired then.
    pub(super) fn evictions(&self) -> (u64, u64) {
        (self.head.evictions.load(Relaxed), self.head.expirations.load(Relaxed))
    }

    /// Finds `key` and copies its body to the start of `out`, without a lock.
    ///
    /// `None`: it is not there, or `admit` says of the entry that nobody is to be served with it. Writers that keep getting in the way also end in `None` after
    /// a few attempts: a miss is always an honest answer of a cache.
    pub(super) fn read(
        &self,
        hash: u64,
        site: u16,
        key: &[u8],
        admit: impl Fn(&Header, &[AtomicU64]) -> bool,
        out: &mut Vec<u8>,
    ) -> Option<Found> {
        for _ in 0..ATTEMPTS {
            let epoch = self.epoch.count.load(Acquire);
            let found = self.try_read(hash, site, key, &admit, out);
            fence(Acquire);
            if self.epoch.count.load(Relaxed) == epoch {
                return found.map(|(slot, found)| {
                    slot.touch();
                    found
                });
            }
            std::hint::spin_loop();
        }
        None
    }

    fn try_read(
        &self,
        hash: u64,
        site: u16,
        key: &[u8],
        admit: impl Fn(&Header, &[AtomicU64]) -> bool,
        out: &mut Vec<u8>,
    ) -> Option<(Slot<'a>, Found)> {
        let (slot, words, header) = self.find(hash, site, key)?;
        if !admit(&header, words) {
            return None;
        }
        let facts = header.facts();
        if header.flags & flags::COUNTER != 0 {
            let value = words.get(header.body_at())?.load(Relaxed);
            let len = codec::encode_int(i64::from_ne_bytes(value.to_ne_bytes()), out);
            return Some((slot, Found { facts, len }));
        } else if !header.copy_body(words, out) {
            return None;
        }
        Some((slot, Found { facts, len: header.body_len }))
    }

    /// How many removals and writes there were.
    pub(super) fn changes(&self) -> u64 {
        self.head.changes.load(Acquire)
    }

    /// Whatever is being read elsewhere about a key of this shard is not to be stored here.
    pub(super) fn note_change(&self) {
        self.head.changes.fetch_add(1, AcqRel);
    }

    /// What `judge` says of the entry of `key`, valid or not; `None`: it is not here.
    pub(super) fn judge(
        &self,
        hash: u64,
        site: u16,
        key: &[u8],
        judge: impl FnOnce(&Header, &[AtomicU64]) -> bool,
    ) -> Option<bool> {
        self.find(hash, site, key).map(|(_, words, header)| judge(&header, words))
    }

    /// Whether `key` is here, valid or not.
    pub(super) fn holds(&self, hash: u64, site: u16, key: &[u8]) -> bool {
        self.find(hash, site, key).is_some()
    }

    /// Stores an entry, in place of the one its key has. Under the shard's lock.
    pub(super) fn insert(&self, draft: &Draft<'_>, now: Timestamp, ledger: &impl Ledger) -> Outcome {
        let size = draft.words();
        if size > self.largest() {
            return Err(NotStored::TooLarge);
        }
        let ring = self.choose_ring(draft, size, ledger);
        self.make_room(ring, size, now, ledger)?;
        let (at, words) = ring.place(size).ok_or_else(|| self.drop_all())?;
        if !draft.write(words) {
            return Err(self.drop_all());
        }
        ring.publish(size);
        let slot = self.slot_for(draft, ledger).ok_or_else(|| self.drop_all())?;
        slot.point_to(draft.hash, at);
        Ok(())
    }

    /// Forgets `key`; whether it was there. Under the shard's lock.
    pub(super) fn remove(&self, hash: u64, site: u16, key: &[u8], ledger: &impl Ledger) -> bool {
        let Some((slot, _, header)) = self.find(hash, site, key) else { return false };
        self.unlink(slot, &header, ledger);
        true
    }

    /// Adds to the counter at `key`, where `admit` accepts its entry. Under the shard's lock, in
    /// one store: a counter that was added to survives whatever happens to the adder.
    pub(super) fn add(
        &self,
        hash: u64,
        site: u16,
        key: &[u8],
        admit: impl FnOnce(&Header, &[AtomicU64]) -> bool,
        add: impl FnOnce(i64) -> i64,
    ) -> Option<i64> {
        let (slot, words, header) = self.find(hash, site, key)?;
        if header.flags & flags::COUNTER == 0 || !admit(&header, words) {
            return None;
        }
        let word = words.get(header.body_at())?;
        let sum = add(i64::from_ne_bytes(word.load(Relaxed).to_ne_bytes()));
        word.store(u64::from_ne_bytes(sum.to_ne_bytes()), Release);
        slot.touch();
        Some(sum)
    }

    /// Makes the shard whole after its lock's owner died: normally there is nothing to do.
    pub(super) fn repair(&self) {
        let slots_point_inside =
            self.index.all().filter_map(Slot::position).all(|at| self.entry_at(at).is_some());
        if !(self.small().is_whole() && self.main().is_whole() && slots_point_inside) {
            self.drop_all();
        }
    }

    /// Forgets everything, because it makes no sense.
    pub(super) fn drop_all(&self) -> NotStored {
        self.index.all().for_each(Slot::free);
        self.will_overwrite();
        self.small().reset();
        self.main().reset();
        self.head.items.store(0, Relaxed);
        NotStored::Broken
    }

    pub(super) fn unlink(&self, slot: Slot<'a>, header: &Header, ledger: &impl Ledger) {
        slot.free();
        self.head.items.store(self.head.items.load(Relaxed).saturating_sub(1), Relaxed);
        ledger.left(header.site, header.words());
    }

    /// The slot of an entry that was just written: its old one, a free one, or that of the least
    /// read entry near it.
    fn slot_for(&self, draft: &Draft<'_>, ledger: &impl Ledger) -> Option<Slot<'a>> {
        if let Some((slot, _, header)) = self.find(draft.hash, draft.site, draft.key) {
            ledger.left(header.site, header.words());
            return Some(slot);
        }
        let free = self.index.near(draft.hash).find(|slot| slot.position().is_none());
        let slot = free.or_else(|| {
            let victim = self.index.near(draft.hash).min_by_key(|slot| slot.frequency())?;
            if let Some((_, header)) = victim.position().and_then(|at| self.entry_at(at)) {
                self.unlink(victim, &header, ledger);
                self.head.evictions.fetch_add(1, Relaxed);
            }
            Some(victim)
        });
        let slot = slot?;
        slot.set_frequency(0);
        self.head.items.store(self.head.items.load(Relaxed) + 1, Relaxed);
        Some(slot)
    }

    pub(super) fn find(
        &self,
        hash: u64,
        site: u16,
        key: &[u8],
    ) -> Option<(Slot<'a>, &'a [AtomicU64], Header)> {
        let found = self.index.find(hash, |at| {
            let (words, header) = self.entry_at(at)?;
            (header.hash == hash && header.is_of(words, site, key)).then_some((words, header))
        });
        found.map(|(slot, (words, header))| (slot, words, header))
    }

    /// What lies at `at`, as far as its sizes make sense.
    fn entry_at(&self, at: usize) -> Option<(&'a [AtomicU64], Header)> {
        let words = self.words.get(at..)?;
        let header = Header::read(words)?;
        (header.hash != SKIP && header.words() <= words.len()).then_some((words, header))
    }

    pub(super) fn small(&self) -> Ring<'a> {
        let Head { small_head: head, small_tail: tail, .. } = self.head;
        Ring { head, tail, words: self.words, base: 0, capacity: self.small_len }
    }

    pub(super) fn main(&self) -> Ring<'a> {
        let Head { main_head: head, main_tail: tail, .. } = self.head;
        let capacity = self.words.len().saturating_sub(self.small_len);
        Ring { head, tail, words: self.words, base: self.small_len, capacity }
    }
}
