//! Sessions in shared memory: slots that say where, and blocks that hold what.
//!
//! The region is cut into a shard for each of its locks. A session is a slot and a chain of blocks of
//! 504 bytes, so one of 100 KB needs no room in one piece; but old and new data stand side by side for a
//! moment, so one has at most half a shard. Nothing is evicted to make room: what is here is the only
//! copy.
//!
//! A worker may be killed at any instruction. New data is written into free blocks, and the slot has
//! two heads of which one counts: a writer fills the other and swings one word. What a dead writer
//! leaves is a list of free blocks that may be wrong, and that is made anew from the slots. No session
//! is lost by it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use super::cells::{Entry, Next};
use super::{Kind, Token};
use crate::error::Result;
use crate::session::policy::{Head, State};
use crate::shm::region::shared_struct;
use crate::shm::{Guard, Key, Locks, Refused, Region, load_bytes, store_bytes};

const BLOCK_WORDS: usize = 64;
/// Of which the first says which block is next.
const PAYLOAD: usize = (BLOCK_WORDS - 1) * 8;

/// No block. Zeroed memory points nowhere, so blocks are counted from 1.
const NOWHERE: u64 = 0;

type Block = [AtomicU64; BLOCK_WORDS];

shared_struct! {
    struct Meta {
        version: AtomicU64,
        token: [AtomicU64; 2],
        until: AtomicU64,
        state: AtomicU64,
        /// Milliseconds since the epoch.
        expires: AtomicU64,
        first: AtomicU64,
        /// Bytes; one more, so that 0 is no data.
        len: AtomicU64,
    }
}

shared_struct! {
    struct Slot {
        /// 0 marks a free slot.
        high: AtomicU64,
        low: AtomicU64,
        /// Which of the two counts.
        which: AtomicU64,
        metas: [Meta; 2],
    }
}

shared_struct! {
    struct Top {
        /// The first free block.
        free: AtomicU64,
        /// How many blocks from the start were ever used; those behind are free, too.
        touched: AtomicU64,
    }
}

/// Handle to the sessions of a region.
pub struct Arena<'a> {
    shards: Vec<Shard<'a>>,
    locks: Locks<'a>,
}

struct Shard<'a> {
    top: &'a Top,
    slots: &'a [Slot],
    blocks: &'a [Block],
}

/// What a slot says.
#[derive(Clone, Copy)]
struct Told {
    head: Head,
    expires: u64,
    first: u64,
    len: Option<usize>,
}

impl<'a> Arena<'a> {
    /// The sessions in `region`.
    ///
    /// # Errors
    /// A shared-memory error when it is too small to be divided.
    pub fn open(region: Region<'a>) -> Result<Self> {
        let locks = region.locks();
        let mut carver = region.carve();
        let each = region.len() / locks.len().max(1) - size_of::<Top>() - 64;
        let count = each / (size_of::<Slot>() + size_of::<Block>());
        let mut carve =
            || Ok(Shard { top: carver.one()?, slots: carver.slice(count)?, blocks: carver.slice(count)? });
        Ok(Self { shards: (0..locks.len()).map(|_| carve()).collect::<Result<_>>()?, locks })
    }

    /// The session of `key` at `now` (milliseconds).
    ///
    /// # Errors
    /// [`Refused::Busy`] when its shard is locked for too long; so in all methods.
    pub fn load(&self, key: Key, now: u64) -> std::result::Result<Option<Entry>, Refused> {
        let (_guard, shard) = self.lock(key)?;
        Ok(shard.find(key).map(|slot| (slot, slot.told())).filter(|(_, told)| told.expires > now).map(
            |(_, told)| Entry {
                head: told.head,
                sealed: told.len.map(|len| shard.read(told.first, len)),
                left: Duration::from_millis(told.expires - now),
            },
        ))
    }

    /// Puts `next` in the place of what has the head `was`; false when that is not so.
    ///
    /// # Errors
    /// [`Refused::Full`] when there is no room; what was there stays.
    pub fn swap(
        &self,
        key: Key,
        was: Option<Head>,
        next: Option<&Next<'_>>,
        now: u64,
    ) -> std::result::Result<bool, Refused> {
        let (_guard, shard) = self.lock(key)?;
        let slot = shard.find(key);
        let told = slot.map(Slot::told);
        if told.filter(|told| told.expires > now).map(|told| told.head) != was {
            return Ok(false);
        }
        match (next, slot) {
            (None, None) => {}
            (None, Some(slot)) => shard.remove(slot),
            (Some(next), slot) => shard.put(key, slot, next, now)?,
        }
        Ok(true)
    }

    /// Removes what has expired at `now`; how many.
    pub fn sweep(&self, now: u64) -> u64 {
        let sweep = |index: usize| self.guard(index).map_or(0, |(_guard, shard)| shard.sweep(now));
        (0..self.shards.len()).map(sweep).sum()
    }

    /// How many sessions live at `now`.
    pub fn count(&self, now: u64) -> u64 {
        let slots = self.shards.iter().flat_map(|shard| shard.slots);
        let is_live = |slot: &&Slot| {
            let told = slot.told();
            slot.high.load(Acquire) != 0 && told.expires > now && told.head.state == State::Live
        };
        slots.filter(is_live).count() as u64
    }

    fn lock(&self, key: Key) -> std::result::Result<(Guard<'a>, &Shard<'a>), Refused> {
        let index = (key.bits() >> 64) as usize % self.shards.len().max(1);
        self.guard(index).ok_or(Refused::Busy)
    }

    fn guard(&self, index: usize) -> Option<(Guard<'a>, &Shard<'a>)> {
        let shard = self.shards.get(index)?;
        let guard = self.locks.lock(index, Locks::PATIENCE, || shard.repair())?;
        Some((guard, shard))
    }
}

impl<'a> Shard<'a> {
    fn find(&self, key: Key) -> Option<&'a Slot> {
        let (high, low) = halves(key);
        self.slots_for(key).find(|slot| slot.low.load(Relaxed) == low && slot.high.load(Relaxed) == high)
    }

    /// All slots, beginning with the one where the key is looked for first.
    fn slots_for(&self, key: Key) -> impl Iterator<Item = &'a Slot> + use<'a> {
        let home = key.bits() as u64 as usize % self.slots.len().max(1);
        let (before, from_home) = self.slots.split_at_checked(home).unwrap_or((&[], self.slots));
        from_home.iter().chain(before)
    }

    fn put(
        &self,
        key: Key,
        slot: Option<&'a Slot>,
        next: &Next<'_>,
        now: u64,
    ) -> std::result::Result<(), Refused> {
        let old = slot.map(Slot::told);
        let kept = old.filter(|_| !next.is_new);
        let (first, len) = match (kept, next.sealed) {
            (Some(kept), _) => (kept.first, kept.len),
            (None, Some(sealed)) => (self.store(sealed, now)?, Some(sealed.len())),
            (None, None) => (NOWHERE, None),
        };
        let expires = now.saturating_add(next.ttl.as_millis() as u64);
        let told = Told { head: next.head, expires, first, len };
        match slot {
            Some(slot) => slot.tell(&told),
            None => match self.free_slot(key, now) {
                Some(slot) => slot.settle(key, &told),
                None => {
                    self.give_back(first);
                    return Err(Refused::Full);
                }
            },
        }
        if let Some(old) = old.filter(|_| kept.is_none()) {
            self.give_back(old.first);
        }
        Ok(())
    }

    fn remove(&self, slot: &Slot) {
        let told = slot.told();
        slot.high.store(0, Release);
        self.give_back(told.first);
    }

    fn free_slot(&self, key: Key, now: u64) -> Option<&'a Slot> {
        let free = || self.slots_for(key).find(|slot| slot.high.load(Relaxed) == 0);
        free().or_else(|| if self.sweep(now) > 0 { free() } else { None })
    }

    fn sweep(&self, now: u64) -> u64 {
        let expired =
            self.slots.iter().filter(|slot| slot.high.load(Relaxed) != 0 && slot.told().expires <= now);
        expired.map(|slot| self.remove(slot)).count() as u64
    }

    /// Writes `sealed` into free blocks; the first of them. All are taken or none.
    fn store(&self, sealed: &[u8], now: u64) -> std::result::Result<u64, Refused> {
        let mut chain = Vec::with_capacity(sealed.len() / PAYLOAD + 1);
        let mut swept = false;
        while chain.len() * PAYLOAD < sealed.len() {
            match self.take() {
                Some(block) => chain.push(block),
                None if !swept => {
                    swept = true;
                    self.sweep(now);
                }
                None => {
                    chain.iter().for_each(|number| self.free(*number));
                    return Err(Refused::Full);
                }
            }
        }
        for (at, (number, piece)) in chain.iter().zip(sealed.chunks(PAYLOAD)).enumerate() {
            let Some((next, words)) = self.block(*number).and_then(|block| block.split_first()) else {
                continue;
            };
            next.store(chain.get(at + 1).copied().unwrap_or(NOWHERE), Relaxed);
            store_bytes(words, piece);
        }
        Ok(chain.first().copied().unwrap_or(NOWHERE))
    }

    fn read(&self, first: u64, len: usize) -> Vec<u8> {
        // A length that lies, in a file that a neighbour scribbled over, gets no memory.
        let len = len.min(self.blocks.len() * PAYLOAD);
        let mut bytes = vec![0; len];
        let mut number = first;
        for piece in bytes.chunks_mut(PAYLOAD) {
            let Some((next, words)) = self.block(number).and_then(|block| block.split_first()) else { break };
            load_bytes(words, piece);
            number = next.load(Relaxed);
        }
        bytes
    }

    fn block(&self, number: u64) -> Option<&'a Block> {
        self.blocks.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    fn take(&self) -> Option<u64> {
        let number = self.top.free.load(Relaxed);
        if let Some(next) = self.block(number).and_then(|block| block.first()) {
            self.top.free.store(next.load(Relaxed), Relaxed);
            return Some(number);
        }
        let touched = self.top.touched.load(Relaxed);
        self.blocks.get(usize::try_from(touched).ok()?)?;
        self.top.touched.store(touched + 1, Relaxed);
        Some(touched + 1)
    }

    fn free(&self, number: u64) {
        if let Some(next) = self.block(number).and_then(|block| block.first()) {
            next.store(self.top.free.load(Relaxed), Relaxed);
            self.top.free.store(number, Relaxed);
        }
    }

    fn give_back(&self, first: u64) {
        let mut number = first;
        for _ in 0..self.blocks.len() {
            let Some(next) = self.block(number).and_then(|block| block.first()) else { return };
            let following = next.load(Relaxed);
            self.free(number);
            number = following;
        }
    }

    /// Makes the list of free blocks anew, from what the slots have.
    fn repair(&self) {
        let mut used = vec![false; self.blocks.len()];
        for slot in self.slots.iter().filter(|slot| slot.high.load(Acquire) != 0) {
            let told = slot.told();
            let mut number = told.first;
            for _ in 0..told.len.unwrap_or(0).div_ceil(PAYLOAD).min(self.blocks.len()) {
                let Some(mark) = number.checked_sub(1).and_then(|at| used.get_mut(at as usize)) else {
                    break;
                };
                *mark = true;
                number = self
                    .block(number)
                    .and_then(|block| block.first())
                    .map_or(NOWHERE, |next| next.load(Relaxed));
            }
        }
        self.top.free.store(NOWHERE, Relaxed);
        self.top.touched.store(self.blocks.len() as u64, Relaxed);
        let free = used.iter().enumerate().rev().filter(|(_, used)| !**used);
        free.for_each(|(at, _)| self.free(at as u64 + 1));
    }
}

impl Slot {
    fn told(&self) -> Told {
        let [zero, one] = &self.metas;
        if self.which.load(Acquire) & 1 == 0 { zero.read() } else { one.read() }
    }

    /// Fills the head that does not count, and then lets it.
    fn tell(&self, told: &Told) {
        let which = self.which.load(Relaxed) & 1;
        let [zero, one] = &self.metas;
        if which == 0 { one } else { zero }.write(told);
        self.which.store(1 - which, Release);
    }

    /// Gives a free slot to `key`.
    fn settle(&self, key: Key, told: &Told) {
        let (high, low) = halves(key);
        self.tell(told);
        self.low.store(low, Relaxed);
        self.high.store(high, Release);
    }
}

impl Meta {
    fn read(&self) -> Told {
        let word = |word: &AtomicU64| word.load(Relaxed);
        let [high, low] = self.token.each_ref().map(word);
        let state = match word(&self.state) {
            0 => State::Live,
            1 => State::Dead(Kind::Destroyed),
            _ => State::Dead(Kind::Moved),
        };
        let token = Token(u128::from(high) << 64 | u128::from(low));
        let head = Head { version: word(&self.version), token, until: word(&self.until), state };
        let len = usize::try_from(word(&self.len)).ok().and_then(|len| len.checked_sub(1));
        Told { head, expires: word(&self.expires), first: word(&self.first), len }
    }

    fn write(&self, told: &Told) {
        let set = |word: &AtomicU64, value: u64| word.store(value, Relaxed);
        let [high, low] = &self.token;
        set(&self.version, told.head.version);
        set(high, (told.head.token.0 >> 64) as u64);
        set(low, told.head.token.0 as u64);
        set(&self.until, told.head.until);
        let state = match told.head.state {
            State::Live => 0,
            State::Dead(Kind::Destroyed) => 1,
            State::Dead(Kind::Moved) => 2,
        };
        set(&self.state, state);
        set(&self.expires, told.expires);
        set(&self.first, told.first);
        set(&self.len, told.len.map_or(0, |len| len as u64 + 1));
    }
}

fn halves(key: Key) -> (u64, u64) {
    ((key.bits() >> 64) as u64, key.bits() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::{Plan, RegionKind, Segment};

    const TTL: Duration = Duration::from_secs(60);

    fn segment() -> Segment {
        Segment::anonymous(&Plan { sessions: 1 << 20, session_locks: 2, ..Plan::smallest() }).unwrap()
    }

    fn head(version: u64) -> Head {
        Head { version, token: Token::NOBODY, until: 0, state: State::Live }
    }

    fn next(version: u64, sealed: &[u8]) -> Next<'_> {
        Next { head: head(version), sealed: Some(sealed), is_new: true, ttl: TTL }
    }

    fn key(number: u128) -> Key {
        Key::from_bits(number << 64 | number)
    }

    #[test]
    fn data_of_every_size_comes_back_and_its_blocks_too() {
        let segment = segment();
        let arena = Arena::open(segment.region(RegionKind::Sessions)).unwrap();
        let mut was = None;
        for (version, len) in (1..).zip([0, 1, 503, 504, 505, 100_000, 7, 100_000, 0].repeat(20)) {
            let data: Vec<u8> = (0..len).map(|at| (at * 7 + version) as u8).collect();
            assert!(arena.swap(key(2), was, Some(&next(version as u64, &data)), 0).unwrap(), "{len}");
            was = Some(head(version as u64));
            assert_eq!(arena.load(key(2), 0).unwrap().unwrap().sealed, Some(data));
        }
        assert!(!arena.swap(key(2), None, None, 0).unwrap(), "it is not as it was");
        assert!(arena.swap(key(2), was, None, 0).unwrap());
        assert_eq!(arena.count(0), 0);
    }

    #[test]
    fn a_full_shard_takes_no_more_and_loses_nothing_until_something_expires() {
        let segment = segment();
        let arena = Arena::open(segment.region(RegionKind::Sessions)).unwrap();
        let data = vec![7; 100_000];
        let mut stored = 0;
        while arena.swap(key(stored * 2 + 2), None, Some(&next(1, &data)), 0).is_ok() {
            stored += 1;
            assert!(stored < 100);
        }
        assert!(stored >= 3, "{stored}");
        for number in 0..stored {
            assert_eq!(
                arena.load(key(number * 2 + 2), 1).unwrap().unwrap().sealed.as_deref(),
                Some(&data[..])
            );
        }
        let later = TTL.as_millis() as u64 + 1;
        assert!(arena.swap(key(1000), None, Some(&next(1, &data)), later).unwrap(), "room was made");
        assert_eq!(arena.count(later), 1);
    }

    #[test]
    fn a_list_of_free_blocks_that_is_wrong_is_made_anew() {
        let segment = segment();
        let arena = Arena::open(segment.region(RegionKind::Sessions)).unwrap();
        let data = vec![7; 5_000];
        assert!(arena.swap(key(2), None, Some(&next(1, &data)), 0).unwrap());
        let shard = &arena.shards[0];
        let blocks = (0..).map_while(|_| shard.take()).count();
        assert_eq!(shard.take(), None, "all of them leaked, as a killed writer would");
        shard.repair();
        assert_eq!((0..).map_while(|_| shard.take()).count(), blocks);
        assert_eq!(arena.load(key(2), 0).unwrap().unwrap().sealed, Some(data));
    }
}
