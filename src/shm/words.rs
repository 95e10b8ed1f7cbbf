//! One word of state per key: the limiter's counters.
//!
//! Owns: a fixed table of slots whose state changes by compare-and-swap alone. The operation is
//! governor's measure-and-replace: the caller's arithmetic gets the old state and says the new one,
//! and it is run again when somebody else was faster. So N processes that spend from one key spend
//! exactly, and no lock is on that path.
//!
//! A slot is two 16-byte halves: the key, and a *word* of state, expiry and generation that is
//! swapped as one. The generation moves whenever the slot gets another key. A process that was
//! stopped between reading a word and swapping it finds another generation and starts over, so it
//! can neither write into a stranger's slot nor lose its own update.
//!
//! A new key is claimed under one of 64 robust locks, each for a run of slots, because two
//! processes that claim the same key at once must not end up in two slots (each would admit the
//! limit). The word is swapped to *free* first, then the key is written, then the word is set: a
//! claimer that dies leaves a free slot, and there is nothing to repair.
//!
//! A slot may be reused once its expiry has passed, and no earlier: a full neighbourhood refuses
//! the new key ([`Refused::Full`]) and forgets nobody.

use std::sync::atomic::{AtomicU64, Ordering::*, fence};

use portable_atomic::AtomicU128;

use super::hash::Key;
use super::lock::{Guard, Locks};
use super::region::{Region, shared_struct};
use super::{Counter, Counters, Refused};
use crate::error::{Error, Kind, Result};

/// Slots are divided into this many runs, with one lock each.
pub(super) const LOCKS: usize = 64;

/// A key may lie in this many cache lines of its run. Scattered lines of two slots take new keys
/// until the table is 70 % full (simulated with 131,072 slots; 32 slots in a row: 55 %).
const LINES: usize = 16;

/// Slots in a cache line.
const PER_LINE: usize = 2;

/// How often the arithmetic is run again before the caller is told that the key is too busy. Each
/// time somebody else made progress, so this is never reached in practice.
const ATTEMPTS: u32 = 1 << 16;

pub(super) const fn bytes(capacity: usize) -> usize {
    capacity * size_of::<Slot>()
}

shared_struct! {
    struct Slot {
        word: AtomicU128,
        high: AtomicU64,
        low: AtomicU64,
    }
}

/// State, expiry and generation, as they lie in a slot: bits 0-63, 64-95, 96-127.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    state: u64,
    /// Seconds since the epoch; 0 marks a slot that holds nothing.
    expires: u32,
    generation: u32,
}

impl Word {
    fn pack(self) -> u128 {
        u128::from(self.generation) << 96 | u128::from(self.expires) << 64 | u128::from(self.state)
    }

    fn unpack(bits: u128) -> Self {
        Self { state: bits as u64, expires: (bits >> 64) as u32, generation: (bits >> 96) as u32 }
    }

    fn is_free(self) -> bool {
        self.expires == 0
    }

    fn may_be_reused(self, now: u64) -> bool {
        u64::from(self.expires) < now || self.is_free()
    }
}

/// What the arithmetic decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<R> {
    /// The new state; `None` leaves everything as it is.
    pub new: Option<u64>,
    /// Unix time in seconds after which the state says nothing any more and may be forgotten.
    pub expires: u64,
    /// What the caller of [`WordTable::update`] gets.
    pub result: R,
}

/// Handle to the table.
#[derive(Clone, Copy)]
pub struct WordTable<'a> {
    lines: &'a [[Slot; PER_LINE]],
    locks: Locks<'a>,
    counters: Counters<'a>,
}

impl<'a> WordTable<'a> {
    pub(super) fn new(region: Region<'a>, capacity: usize, counters: Counters<'a>) -> Result<Self> {
        let lines = region.carve().slice(capacity / PER_LINE)?;
        if !(lines.len() / LOCKS).is_power_of_two() {
            return Err(Error::new(Kind::SharedMemory, "the number of limiter slots is not a power of two"));
        }
        Ok(Self { lines, locks: region.locks(), counters })
    }

    /// Changes the state of `key` to what `decide` makes of it, atomically.
    ///
    /// `decide` gets `None` when the key is not in the table, else its last state, even one past
    /// its expiry if the slot was not reused yet: arithmetic must treat both alike. It may be run
    /// several times and must be pure; the result of the run that took effect is returned.
    ///
    /// # Errors
    /// [`Refused`] when the key is new and finds no slot; nothing was changed, and it is counted.
    pub fn update<R>(
        &self,
        key: Key,
        now: u64,
        mut decide: impl FnMut(Option<u64>) -> Decision<R>,
    ) -> std::result::Result<R, Refused> {
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let Some((slot, mut word)) = self.find(key) else {
                attempts += 1;
                let decision = decide(None);
                let Some(state) = decision.new else { return Ok(decision.result) };
                match self.claim(key, now, state, expiry(decision.expires)) {
                    Ok(true) => return Ok(decision.result),
                    Ok(false) => continue,
                    Err(refused) => return Err(self.count(refused)),
                }
            };
            let generation = word.generation;
            while word.generation == generation && !word.is_free() && attempts < ATTEMPTS {
                attempts += 1;
                let decision = decide(Some(word.state));
                let Some(state) = decision.new else { return Ok(decision.result) };
                let new = Word { state, expires: expiry(decision.expires), generation };
                match slot.word.compare_exchange(word.pack(), new.pack(), AcqRel, Acquire) {
                    Ok(_) => return Ok(decision.result),
                    Err(current) => word = Word::unpack(current),
                }
            }
        }
        Err(self.count(Refused::Busy))
    }

    /// The state of `key`, if it is in the table.
    pub fn peek(&self, key: Key) -> Option<u64> {
        self.find(key).map(|(_, word)| word.state)
    }

    /// Forgets `key`; whether it was there.
    pub fn remove(&self, key: Key) -> bool {
        while let Some((slot, word)) = self.find(key) {
            let free = Word { state: 0, expires: 0, generation: word.generation.wrapping_add(1) };
            if slot.word.compare_exchange(word.pack(), free.pack(), AcqRel, Acquire).is_ok() {
                return true;
            }
        }
        false
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.lines.as_flattened().len()
    }

    /// Slots whose state has not expired at `now`. Looks at every slot.
    pub fn used(&self, now: u64) -> usize {
        self.lines
            .as_flattened()
            .iter()
            .filter(|slot| !Word::unpack(slot.word.load(Relaxed)).may_be_reused(now))
            .count()
    }

    fn find(&self, key: Key) -> Option<(&'a Slot, Word)> {
        self.window(key)?.find_map(|slot| Some((slot, slot.word_of(key)?)))
    }

    /// Gives `key` a slot with `state`; false when somebody else did so meanwhile.
    fn claim(&self, key: Key, now: u64, state: u64, expires: u32) -> std::result::Result<bool, Refused> {
        let _guard = self.lock(key).ok_or(Refused::Busy)?;
        if self.find(key).is_some() {
            return Ok(false);
        }
        let mut window = self.window(key).ok_or(Refused::Full)?;
        match window.find_map(|slot| Some((slot, slot.vacate(now)?))) {
            Some((slot, generation)) => {
                slot.settle(key, Word { state, expires, generation });
                Ok(true)
            }
            None => Err(Refused::Full),
        }
    }

    fn lock(&self, key: Key) -> Option<Guard<'a>> {
        self.locks.lock(self.run_of(key), Locks::PATIENCE, || {})
    }

    fn run_of(&self, key: Key) -> usize {
        key.high as usize % LOCKS
    }

    /// The slots where `key` may lie, home first.
    fn window(&self, key: Key) -> Option<impl Iterator<Item = &'a Slot> + use<'a>> {
        let per_run = self.lines.len() / LOCKS;
        let run = self.lines.get(self.run_of(key) * per_run..)?.get(..per_run)?;
        // An odd step visits every line of a power of two once.
        let (home, step) = (key.low as usize, (key.high >> 32) as usize | 1);
        let line = move |n: usize| run.get(home.wrapping_add(n.wrapping_mul(step)) & (per_run - 1));
        Some((0..LINES.min(per_run)).filter_map(line).flatten())
    }

    fn count(&self, refused: Refused) -> Refused {
        let counter = match refused {
            Refused::Full => Counter::TableFull,
            Refused::Busy => Counter::TableBusy,
        };
        self.counters.add(counter, 1);
        refused
    }
}

impl Slot {
    /// The word, if the slot holds `key`. The key is read between two words of one generation, the
    /// first of which is not free: a slot gets its key while it is free.
    fn word_of(&self, key: Key) -> Option<Word> {
        if self.low.load(Relaxed) != key.low {
            return None;
        }
        loop {
            let before = Word::unpack(self.word.load(Acquire));
            let is_ours = self.low.load(Relaxed) == key.low && self.high.load(Relaxed) == key.high;
            if !is_ours || before.is_free() {
                return None;
            }
            fence(Acquire);
            let after = Word::unpack(self.word.load(Relaxed));
            if before.generation == after.generation {
                return (!after.is_free()).then_some(after);
            }
        }
    }

    /// Makes the slot free if nothing in it matters at `now`; its new generation. Called under the
    /// run's lock, so nobody else hands out its slots.
    fn vacate(&self, now: u64) -> Option<u32> {
        let word = Word::unpack(self.word.load(Acquire));
        if !word.may_be_reused(now) {
            return None;
        }
        let generation = word.generation.wrapping_add(1);
        let free = Word { state: 0, expires: 0, generation };
        self.word.compare_exchange(word.pack(), free.pack(), AcqRel, Relaxed).ok().map(|_| generation)
    }

    /// Writes the key into a vacated slot, then makes it visible.
    fn settle(&self, key: Key, word: Word) {
        // The key must not be seen with the old generation.
        fence(Release);
        self.high.store(key.high, Relaxed);
        self.low.store(key.low, Relaxed);
        self.word.store(word.pack(), Release);
    }
}

/// Seconds as they are stored; never 0, which marks a free slot, and at the latest in 2106.
fn expiry(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}
