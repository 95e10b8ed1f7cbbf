//! Where each entry lies: buckets of eight slots, one cache line each.
//!
//! Owns: the word that names an entry, and how often it was read. An entry may be in the bucket of its
//! hash or in the next one. A slot changes in one store, so a reader finds an entry where it was or where
//! it is.

use std::sync::atomic::{AtomicU64, Ordering::*};

use crate::shm::region::shared_struct;

/// Slots per bucket.
pub(super) const WAYS: usize = 8;

/// A slot's word: 22 bits of the hash, 2 of frequency, 40 of position and one (0: the slot is free).
const POSITION: u64 = (1 << 40) - 1;
const FREQUENCY_SHIFT: u32 = 40;
const FREQUENCY: u64 = 3 << FREQUENCY_SHIFT;
const TAG_SHIFT: u32 = 42;

shared_struct! {
    #[repr(align(64))]
    pub(super) struct Bucket {
        slots: [AtomicU64; WAYS],
    }
}

/// The slots of one shard.
#[derive(Clone, Copy)]
pub(super) struct Index<'a>(pub &'a [Bucket]);

/// A place in the index.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a>(&'a AtomicU64);

impl<'a> Index<'a> {
    /// The slots where an entry of `hash` may be: its bucket's and the next one's.
    pub(super) fn near(self, hash: u64) -> impl Iterator<Item = Slot<'a>> + use<'a> {
        let home = ((u128::from(hash) * self.0.len() as u128) >> 64) as usize;
        let next = if home + 1 == self.0.len() { 0 } else { home + 1 };
        let bucket = move |at: usize| self.0.get(at).map(|bucket| &bucket.slots).into_iter().flatten();
        bucket(home).chain(bucket(next)).map(Slot)
    }

    /// The first place that may hold the entry of `hash` and does, as `check` says of it.
    ///
    /// Two plain loops: every read goes through here, and a chain of iterators costs it a tenth.
    #[inline]
    pub(super) fn find<T>(
        self,
        hash: u64,
        mut check: impl FnMut(usize) -> Option<T>,
    ) -> Option<(Slot<'a>, T)> {
        let home = ((u128::from(hash) * self.0.len() as u128) >> 64) as usize;
        let next = if home + 1 == self.0.len() { 0 } else { home + 1 };
        for bucket in [self.0.get(home)?, self.0.get(next)?] {
            for slot in &bucket.slots {
                let word = slot.load(Acquire);
                if word >> TAG_SHIFT != tag(hash) {
                    continue;
                }
                if let Some(found) = position(word).and_then(&mut check) {
                    return Some((Slot(slot), found));
                }
            }
        }
        None
    }

    /// The slot that names the entry of `hash` at `at`, if there is one.
    pub(super) fn slot_of(self, hash: u64, at: usize) -> Option<Slot<'a>> {
        let wanted = pack(hash, at);
        self.near(hash).find(|slot| slot.0.load(Relaxed) & !FREQUENCY == wanted)
    }

    /// Every slot.
    pub(super) fn all(self) -> impl Iterator<Item = Slot<'a>> + use<'a> {
        self.0.iter().flat_map(|bucket| &bucket.slots).map(Slot)
    }
}

impl Slot<'_> {
    /// Where the entry lies; `None` when the slot is free.
    pub(super) fn position(self) -> Option<usize> {
        position(self.0.load(Relaxed))
    }

    /// Lets the slot name the entry of `hash` at `at`; how often it was read stays.
    pub(super) fn point_to(self, hash: u64, at: usize) {
        self.0.store(pack(hash, at) | self.0.load(Relaxed) & FREQUENCY, Release);
    }

    pub(super) fn free(self) {
        self.0.store(0, Release);
    }

    /// 0 to 3: how often it was read, about.
    pub(super) fn frequency(self) -> u64 {
        (self.0.load(Relaxed) & FREQUENCY) >> FREQUENCY_SHIFT
    }

    pub(super) fn set_frequency(self, frequency: u64) {
        let word = self.0.load(Relaxed);
        self.0.store(word & !FREQUENCY | frequency << FREQUENCY_SHIFT, Relaxed);
    }

    /// Counts a read, unless the slot changes at that moment. Once at the top nothing is written, so
    /// hot entries stay in every core's cache.
    pub(super) fn touch(self) {
        let word = self.0.load(Relaxed);
        if word & POSITION != 0 && word & FREQUENCY != FREQUENCY {
            let _ = self.0.compare_exchange(word, word + (1 << FREQUENCY_SHIFT), Relaxed, Relaxed);
        }
    }
}

fn position(word: u64) -> Option<usize> {
    usize::try_from((word & POSITION).checked_sub(1)?).ok()
}

fn pack(hash: u64, at: usize) -> u64 {
    tag(hash) << TAG_SHIFT | (at as u64 + 1)
}

fn tag(hash: u64) -> u64 {
    hash & 0x3F_FFFF
}
