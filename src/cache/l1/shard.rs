//! One shard: an index, two logs, and the S3-FIFO policy between them.
//!
//! Owns: finding, storing and evicting entries. New entries go to the small log (a tenth of the
//! shard); when they reach its tail having been read more than once they move to the main log,
//! else they are forgotten and leave a ghost, which sends them straight to the main log if they
//! come back soon. In the main log an entry that was read since it got there goes round once more.
//! (Yang, Zhang, Qiu, Yue, Vigfusson: "FIFO queues are all you need for cache eviction", SOSP 2023.)
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
use super::super::meta::{Age, Meta, flags};
use super::entry::{Draft, Header, SKIP};
use super::ring::{Oldest, Ring};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::shm::Carver;
use crate::shm::region::shared_struct;

/// Slots per bucket: one cache line.
const WAYS: usize = 8;

/// How often a reader starts again when writers get in its way.
const ATTEMPTS: usize = 8;

/// Second chances given per insertion: what bounds the time under the lock.
const MAX_SECOND_CHANCES: usize = 32;

/// A slot's word: 22 bits of the hash, 2 of frequency, 40 of position (0: the slot is free).
const POSITION: u64 = (1 << 40) - 1;
const FREQUENCY_SHIFT: u32 = 40;
const FREQUENCY: u64 = 3 << FREQUENCY_SHIFT;
const TAG_SHIFT: u32 = 42;

shared_struct! {
    /// Alone on its cache line: readers watch it, and the positions change with every insertion.
    #[repr(align(64))]
    struct Epoch {
        count: AtomicU64,
    }
}

shared_struct! {
    #[repr(align(64))]
    struct Head {
        small_head: AtomicU64,
        small_tail: AtomicU64,
        main_head: AtomicU64,
        main_tail: AtomicU64,
        items: AtomicU64,
        evictions: AtomicU64,
        expirations: AtomicU64,
        /// Counts removals, so that what was read elsewhere before one is not stored after it.
        removals: AtomicU64,
    }
}

shared_struct! {
    #[repr(align(64))]
    struct Bucket {
        slots: [AtomicU64; WAYS],
    }
}

shared_struct! {
    struct Ghosts {
        marks: [AtomicU16; WAYS],
    }
}

/// Handle to one shard.
pub(super) struct Shard<'a> {
    epoch: &'a Epoch,
    head: &'a Head,
    buckets: &'a [Bucket],
    ghosts: &'a [Ghosts],
    words: &'a [AtomicU64],
    small_len: usize,
}

/// What a reader found.
pub(super) struct Found {
    pub meta: Meta,
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

type Outcome = std::result::Result<(), NotStored>;

/// A place in the index.
#[derive(Clone, Copy)]
struct Slot<'a>(&'a AtomicU64);

/// Who is told of what leaves, and asked who may stay.
pub(super) trait Ledger {
    /// Words of an entry of `site` that no longer count.
    fn left(&self, site: u16, words: usize);
    /// Whether `site` uses more than its share.
    fn is_over_quota(&self, site: u16) -> bool;
    /// Whether an entry belongs to generations that are gone.
    fn is_outdated(&self, header: &Header, words: &[AtomicU64]) -> bool;
}

impl<'a> Shard<'a> {
    /// Lays a shard of at most `bytes` bytes out, with an index slot for so many words of log.
    pub(super) fn carve(carver: &mut Carver<'a>, bytes: usize, words_per_slot: usize) -> Result<Self> {
        let fixed = size_of::<Epoch>() + size_of::<Head>() + 3 * align_of::<Bucket>();
        let per_bucket = size_of::<Bucket>() + size_of::<Ghosts>() + WAYS * words_per_slot * 8;
        let buckets = (bytes.saturating_sub(fixed) / per_bucket).max(1);
        let used = fixed + buckets * (size_of::<Bucket>() + size_of::<Ghosts>());
        let words = bytes.saturating_sub(used) / 8;
        Ok(Self {
            epoch: carver.one()?,
            head: carver.one()?,
            buckets: carver.slice(buckets)?,
            ghosts: carver.slice(buckets)?,
            words: carver.slice(words)?,
            small_len: words / 10,
        })
    }

    /// The largest entry, in words.
    pub(super) fn largest(&self) -> usize {
        self.main().capacity() / 4
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
    /// `None`: it is not there. Writers that keep getting in the way also end in `None` after
    /// a few attempts: a miss is always an honest answer of a cache.
    pub(super) fn read(&self, hash: u64, site: u16, key: &[u8], out: &mut Vec<u8>) -> Option<Found> {
        for _ in 0..ATTEMPTS {
            let epoch = self.epoch.count.load(Acquire);
            let found = self.try_read(hash, site, key, out);
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

    fn try_read(&self, hash: u64, site: u16, key: &[u8], out: &mut Vec<u8>) -> Option<(Slot<'a>, Found)> {
        let (slot, words, header) = self.find(hash, site, key)?;
        let meta = header.meta(words)?;
        if header.flags & flags::COUNTER != 0 {
            let value = words.get(header.body_at())?.load(Relaxed);
            let len = codec::encode_int(i64::from_ne_bytes(value.to_ne_bytes()), out);
            return Some((slot, Found { meta, len }));
        } else if !header.copy_body(words, out) {
            return None;
        }
        Some((slot, Found { meta, len: header.body_len }))
    }

    /// How many removals there were.
    pub(super) fn removals(&self) -> u64 {
        self.head.removals.load(Acquire)
    }

    /// Whatever is being read elsewhere about a key of this shard is not to be stored here.
    pub(super) fn note_removal(&self) {
        self.head.removals.fetch_add(1, AcqRel);
    }

    /// What is known of `key`, if it is here, valid or not.
    pub(super) fn meta(&self, hash: u64, site: u16, key: &[u8]) -> Option<Meta> {
        let (_, words, header) = self.find(hash, site, key)?;
        header.meta(words)
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
        slot.point_to(self.pack(draft.hash, ring, at));
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
        admit: impl FnOnce(&Meta) -> bool,
        add: impl FnOnce(i64) -> i64,
    ) -> Option<i64> {
        let (slot, words, header) = self.find(hash, site, key)?;
        let meta = header.meta(words)?;
        if header.flags & flags::COUNTER == 0 || !admit(&meta) {
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
        let slots_point_inside = self.buckets.iter().flat_map(|bucket| &bucket.slots).all(|slot| {
            let word = slot.load(Relaxed);
            word == 0 || self.entry_at(word).is_some()
        });
        if !(self.small().is_whole() && self.main().is_whole() && slots_point_inside) {
            self.drop_all();
        }
    }

    /// Forgets everything, because it makes no sense.
    fn drop_all(&self) -> NotStored {
        for slot in self.buckets.iter().flat_map(|bucket| &bucket.slots) {
            slot.store(0, Release);
        }
        self.will_overwrite();
        self.small().reset();
        self.main().reset();
        self.head.items.store(0, Relaxed);
        NotStored::Broken
    }

    fn choose_ring(&self, draft: &Draft<'_>, size: usize, ledger: &impl Ledger) -> Ring<'a> {
        let (small, main) = (self.small(), self.main());
        if size > small.capacity() / 4 {
            return main;
        }
        let known = self
            .find(draft.hash, draft.site, draft.key)
            .is_some_and(|(slot, _, _)| self.is_in_main(slot.0.load(Relaxed)));
        let proven = known || self.is_ghost(draft.hash);
        if proven && !ledger.is_over_quota(draft.site) { main } else { small }
    }

    /// Frees `size` words of `ring`, and some more, so that not every insertion has to.
    fn make_room(&self, ring: Ring<'a>, size: usize, now: Timestamp, ledger: &impl Ledger) -> Outcome {
        if self.is_main(ring) {
            return self.make_room_in_main(size, now, ledger);
        }
        let small = self.small();
        if small.has_room(size) {
            return Ok(());
        }
        let wanted = size + small.capacity() / 16;
        while !small.has_room(wanted) && small.used() > 0 {
            match small.oldest() {
                Some(Oldest::Gap(gap)) => small.release(gap),
                Some(Oldest::Entry { at, header }) => {
                    if self.deserves_main(at, &header, now, ledger) {
                        self.make_room_in_main(header.words(), now, ledger)?;
                        self.move_to_main(at, &header)?;
                    } else if self.is_worth_keeping(at, &header, now, ledger)
                        && self.main_has_spare_room(header.words(), now, ledger)
                    {
                        self.move_to_main(at, &header)?;
                    }
                    self.forget(small, at, &header, now, ledger);
                    small.release(header.words());
                }
                None => return Err(self.drop_all()),
            }
        }
        self.will_overwrite();
        Ok(())
    }

    fn make_room_in_main(&self, size: usize, now: Timestamp, ledger: &impl Ledger) -> Outcome {
        let main = self.main();
        // Room that insertions leave alone, so that an entry at the tail can go round again.
        let reserve = main.capacity() / 16;
        if main.has_room(size + reserve) {
            return Ok(());
        }
        let mut chances = MAX_SECOND_CHANCES;
        while !main.has_room(size + 2 * reserve) && main.used() > 0 {
            match main.oldest() {
                Some(Oldest::Gap(gap)) => main.release(gap),
                Some(Oldest::Entry { at, header }) => {
                    if chances > 0 && self.deserves_another_round(at, &header, now, ledger) {
                        chances -= 1;
                        self.move_to_main(self.small_len + at, &header)?;
                    }
                    self.forget(main, at, &header, now, ledger);
                    main.release(header.words());
                }
                None => return Err(self.drop_all()),
            }
        }
        self.will_overwrite();
        Ok(())
    }

    /// Whether the main log can take `size` words without forgetting anything alive: while the cache
    /// fills, and after much was flushed, nobody has to leave.
    fn main_has_spare_room(&self, size: usize, now: Timestamp, ledger: &impl Ledger) -> bool {
        let main = self.main();
        let mut reclaimed = 0;
        while reclaimed < MAX_SECOND_CHANCES && !main.has_room(size + main.capacity() / 16) {
            match main.oldest() {
                Some(Oldest::Gap(gap)) => main.release(gap),
                Some(Oldest::Entry { at, header })
                    if !self.is_worth_keeping(self.small_len + at, &header, now, ledger) =>
                {
                    self.forget(main, at, &header, now, ledger);
                    main.release(header.words());
                }
                _ => break,
            }
            reclaimed += 1;
        }
        if reclaimed > 0 {
            self.will_overwrite();
        }
        main.has_room(size + main.capacity() / 16)
    }

    /// Words that readers may have reached are about to change: whoever reads now starts again.
    fn will_overwrite(&self) {
        self.epoch.count.fetch_add(1, Release);
        fence(Release);
    }

    fn deserves_main(&self, at: usize, header: &Header, now: Timestamp, ledger: &impl Ledger) -> bool {
        self.slot_of(at, header.hash).is_some_and(|slot| slot.frequency() > 1)
            && self.is_worth_keeping(at, header, now, ledger)
    }

    fn deserves_another_round(
        &self,
        at: usize,
        header: &Header,
        now: Timestamp,
        ledger: &impl Ledger,
    ) -> bool {
        let at = self.small_len + at;
        let Some(slot) = self.slot_of(at, header.hash) else { return false };
        let frequency = slot.frequency();
        if frequency == 0 || !self.main().has_room(header.words()) {
            return false;
        }
        slot.set_frequency(frequency - 1);
        self.is_worth_keeping(at, header, now, ledger)
    }

    /// Whether the entry at `at` is in the index, and anybody could still be served with it.
    fn is_worth_keeping(&self, at: usize, header: &Header, now: Timestamp, ledger: &impl Ledger) -> bool {
        let words = self.words.get(at..).unwrap_or(&[]);
        self.slot_of(at, header.hash).is_some()
            && header.times.age(now) != Age::Over
            && !ledger.is_over_quota(header.site)
            && !ledger.is_outdated(header, words)
    }

    /// Copies the entry at `at` to the head of the main log and lets its slot point there.
    fn move_to_main(&self, at: usize, header: &Header) -> Outcome {
        let (main, size) = (self.main(), header.words());
        let slot = self.slot_of(at, header.hash).ok_or_else(|| self.drop_all())?;
        self.will_overwrite();
        let (to, target) = main.place(size).ok_or_else(|| self.drop_all())?;
        let source = self.words.get(at..at + size).unwrap_or(&[]);
        target.iter().zip(source).for_each(|(to, from)| to.store(from.load(Relaxed), Relaxed));
        main.publish(size);
        if at < self.small_len {
            slot.set_frequency(0);
        }
        slot.point_to(self.pack(header.hash, main, to));
        Ok(())
    }

    /// Unlinks the entry at `at` of `ring` if a slot still names it.
    fn forget(&self, ring: Ring<'a>, at: usize, header: &Header, now: Timestamp, ledger: &impl Ledger) {
        let is_main = self.is_main(ring);
        let at = if is_main { self.small_len + at } else { at };
        let Some(slot) = self.slot_of(at, header.hash) else { return };
        self.unlink(slot, header, ledger);
        if header.times.age(now) == Age::Over {
            self.head.expirations.fetch_add(1, Relaxed);
            return;
        }
        self.head.evictions.fetch_add(1, Relaxed);
        if !is_main {
            self.leave_ghost(header.hash);
        }
    }

    fn unlink(&self, slot: Slot<'a>, header: &Header, ledger: &impl Ledger) {
        slot.0.store(0, Release);
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
        let free = self.slots(draft.hash).find(|slot| slot.0.load(Relaxed) == 0);
        let slot = free.or_else(|| {
            let victim = self.slots(draft.hash).min_by_key(|slot| slot.frequency())?;
            if let Some((_, header)) = self.entry_at(victim.0.load(Relaxed)) {
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

    fn find(&self, hash: u64, site: u16, key: &[u8]) -> Option<(Slot<'a>, &'a [AtomicU64], Header)> {
        self.slots(hash).find_map(|slot| {
            let word = slot.0.load(Acquire);
            if word >> TAG_SHIFT != tag(hash) {
                return None;
            }
            let (words, header) = self.entry_at(word)?;
            (header.hash == hash && header.is_of(words, site, key)).then_some((slot, words, header))
        })
    }

    /// The slot that names the entry at `at`, if there is one.
    fn slot_of(&self, at: usize, hash: u64) -> Option<Slot<'a>> {
        let wanted = tag(hash) << TAG_SHIFT | (at as u64 + 1);
        self.slots(hash).find(|slot| slot.0.load(Relaxed) & !FREQUENCY == wanted)
    }

    fn entry_at(&self, word: u64) -> Option<(&'a [AtomicU64], Header)> {
        let position = word & POSITION;
        let words = self.words.get(usize::try_from(position.checked_sub(1)?).ok()?..)?;
        let header = Header::read(words)?;
        (header.hash != SKIP && header.words() <= words.len()).then_some((words, header))
    }

    /// The slots where an entry of `hash` may be: its bucket's and the next one's.
    fn slots(&self, hash: u64) -> impl Iterator<Item = Slot<'a>> + use<'a> {
        let home = ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize;
        let next = if home + 1 == self.buckets.len() { 0 } else { home + 1 };
        let bucket = |at: usize| self.buckets.get(at).map(|bucket| &bucket.slots).into_iter().flatten();
        bucket(home).chain(bucket(next)).map(Slot)
    }

    fn ghost(&self, hash: u64) -> Option<(&'a AtomicU16, u16)> {
        let index = (hash % (self.ghosts.len() * WAYS).max(1) as u64) as usize;
        let ghost = self.ghosts.get(index / WAYS)?.marks.get(index % WAYS)?;
        Some((ghost, ((hash >> 32) as u16).max(1)))
    }

    fn is_ghost(&self, hash: u64) -> bool {
        self.ghost(hash).is_some_and(|(ghost, mark)| ghost.load(Relaxed) == mark)
    }

    fn leave_ghost(&self, hash: u64) {
        if let Some((ghost, mark)) = self.ghost(hash) {
            ghost.store(mark, Relaxed);
        }
    }

    fn pack(&self, hash: u64, ring: Ring<'a>, at: usize) -> u64 {
        let at = if self.is_main(ring) { self.small_len + at } else { at };
        tag(hash) << TAG_SHIFT | (at as u64 + 1)
    }

    fn is_in_main(&self, word: u64) -> bool {
        word & POSITION > self.small_len as u64
    }

    fn is_main(&self, ring: Ring<'a>) -> bool {
        std::ptr::eq(ring.head, &self.head.main_head)
    }

    fn small(&self) -> Ring<'a> {
        let words = self.words.get(..self.small_len).unwrap_or(&[]);
        Ring { head: &self.head.small_head, tail: &self.head.small_tail, words }
    }

    fn main(&self) -> Ring<'a> {
        let words = self.words.get(self.small_len..).unwrap_or(&[]);
        Ring { head: &self.head.main_head, tail: &self.head.main_tail, words }
    }
}

impl Slot<'_> {
    fn frequency(self) -> u64 {
        (self.0.load(Relaxed) & FREQUENCY) >> FREQUENCY_SHIFT
    }

    fn set_frequency(self, frequency: u64) {
        let word = self.0.load(Relaxed);
        self.0.store(word & !FREQUENCY | frequency << FREQUENCY_SHIFT, Relaxed);
    }

    /// Lets the slot name another entry, or another copy of its own.
    fn point_to(self, packed: u64) {
        self.0.store(packed | self.0.load(Relaxed) & FREQUENCY, Release);
    }

    /// Counts a read, unless the slot changes at that moment. Once at the top nothing is written, so
    /// hot entries stay in every core's cache.
    fn touch(self) {
        let word = self.0.load(Relaxed);
        if word & POSITION != 0 && word & FREQUENCY != FREQUENCY {
            let _ = self.0.compare_exchange(word, word + (1 << FREQUENCY_SHIFT), Relaxed, Relaxed);
        }
    }
}

fn tag(hash: u64) -> u64 {
    hash & 0x3F_FFFF
}
