//! Who shares the cache: one block per site, with the generations of its entries.
//!
//! Owns: giving each site a block, and the arithmetic of generations. An entry depends on its
//! site's generation, its group's and those of its tags; it carries a fingerprint of them and is
//! valid while the fingerprint of the current ones is the same. So flushing a site, a group or a
//! tag is one store, however many entries it concerns.
//!
//! Groups and tags share a fixed number of slots: two that fall on the same one are flushed
//! together, which costs a few misses and needs no table of names that a visitor could fill.
//!
//! Generations come from the clock in microseconds and only grow, so that a site whose block (or
//! Redis, or Memcached) was lost does not get generations that old entries still carry.

use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::Duration;

use super::super::meta::{KEY_SLOTS, Refs};
use super::journal::Journal;
use crate::clock::Timestamp;
use crate::shm::Key;
use crate::shm::region::shared_struct;

/// Generation slots of a site.
pub const GENERATIONS: usize = 1024;

/// The slot of the site itself.
pub const SITE_SLOT: u16 = 0;

/// Slots 1 to 255 are groups', the others tags'.
const FIRST_TAG_SLOT: u64 = 256;

/// A block whose site has not been seen for so long goes to a new site when no other is free.
const FORGOTTEN_AFTER_SECS: u64 = 24 * 3600;

shared_struct! {
    pub(super) struct SiteBlock {
        /// Name of the site, hashed; its second half is written last and is 0 in a free block.
        high: AtomicU64,
        low: AtomicU64,
        /// Seconds since the epoch, about.
        seen: AtomicU64,
        /// Words of the site's live entries.
        pub(super) words: AtomicU64,
        /// Counts the times when what this host held of the site stopped being trustworthy.
        trust: AtomicU64,
        /// The same for the keys of one slot each.
        key_trust: [AtomicU64; KEY_SLOTS],
        /// How many writes to keys of each slot the second layer has told of.
        writes: [AtomicU64; KEY_SLOTS],
        /// How far the second layer's generations are known.
        version: AtomicU64,
        /// When the link that pushes invalidations was last heard of, in milliseconds; 0: it is down.
        heard: AtomicU64,
        /// Whether the second layer is away and this host is on its own.
        island: AtomicU64,
        pub(super) journal: Journal,
        generations: [AtomicU64; GENERATIONS],
    }
}

/// The slot of the group `name`, alike on all hosts.
pub fn group_slot(name: &[u8]) -> u16 {
    1 + (super::hash(name, 0) % (FIRST_TAG_SLOT - 1)) as u16
}

/// The slot of the tag `name`, alike on all hosts.
pub fn tag_slot(name: &[u8]) -> u16 {
    (FIRST_TAG_SLOT + super::hash(name, 0) % (GENERATIONS as u64 - FIRST_TAG_SLOT)) as u16
}

/// One site's block.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    block: &'a SiteBlock,
    index: u16,
    seed: u64,
}

impl<'a> Site<'a> {
    /// Finds or claims the block of `name`. Called under one lock by all processes.
    pub(super) fn claim(blocks: &'a [SiteBlock], name: Key, now: Timestamp) -> Option<Self> {
        let found = blocks.iter().position(|block| block.is_of(name));
        let index = found.or_else(|| free_block(blocks, now))?;
        let block = blocks.get(index)?;
        if found.is_none() {
            block.settle(name);
        }
        block.seen.store(now.secs(), Relaxed);
        Some(Self { block, index: u16::try_from(index).ok()?, seed: (name.bits() >> 32) as u64 })
    }

    pub(super) fn block(&self) -> &'a SiteBlock {
        self.block
    }

    /// Its place among the blocks.
    pub(super) fn index(&self) -> u16 {
        self.index
    }

    /// Seeds the hash of its keys, so that no site can aim at another's slots.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Every slot in which a generation has begun, with it.
    pub fn generations(&self) -> impl Iterator<Item = (u16, u64)> + use<'a> {
        let current = self.block.generations.iter().map(|generation| generation.load(Acquire));
        (0..).zip(current).filter(|(_, generation)| *generation != 0)
    }

    /// Puts a generation that another host has begun into `slot`. It never goes back.
    pub fn learn(&self, slot: u16, generation: u64) {
        if let Some(cell) = self.block.generations.get(usize::from(slot)) {
            cell.fetch_max(generation, AcqRel);
        }
    }

    /// Begins a new generation in `slot`: whatever depended on the old one is gone.
    pub fn begin(&self, slot: u16, now: Timestamp) -> u64 {
        let Some(cell) = self.block.generations.get(usize::from(slot)) else { return 0 };
        let mut old = cell.load(Acquire);
        loop {
            let new = micros(now).max(old + 1);
            match cell.compare_exchange_weak(old, new, AcqRel, Acquire) {
                Ok(_) => return new,
                Err(current) => old = current,
            }
        }
    }

    /// Makes every entry that this host holds of the site invalid, and no other host's.
    pub fn distrust(&self) {
        self.block.trust.fetch_add(1, AcqRel);
    }

    /// Makes this host's entries of the keys of `slot` invalid.
    pub fn distrust_slot(&self, slot: u8) {
        if let Some(trust) = self.block.key_trust.get(usize::from(slot)) {
            trust.fetch_add(1, AcqRel);
        }
    }

    /// Notes that the second layer counts `writes` to the keys of `slot`. If that is news, this host's
    /// entries of those keys are invalid.
    pub fn learn_writes(&self, slot: u8, writes: u64) {
        let known = self.block.writes.get(usize::from(slot)).map(|known| known.swap(writes, AcqRel));
        if known != Some(writes) {
            self.distrust_slot(slot);
        }
    }

    /// How far the second layer's generations are known; 0: not at all.
    pub fn version(&self) -> u64 {
        self.block.version.load(Acquire)
    }

    /// Notes that they are known up to `version`.
    pub fn set_version(&self, version: u64) {
        self.block.version.store(version, Release);
    }

    /// Whether invalidations are being pushed: the link was heard of within `patience`.
    pub fn is_linked(&self, now: Timestamp, patience: Duration) -> bool {
        let heard = self.block.heard.load(Acquire);
        let now = now.nanos() / 1_000_000;
        heard != 0 && now.saturating_sub(heard) < patience.as_millis() as u64
    }

    /// The link is alive at `now`.
    pub fn heard(&self, now: Timestamp) {
        self.block.heard.store((now.nanos() / 1_000_000).max(1), Release);
    }

    /// The link is down.
    pub fn unheard(&self) {
        self.block.heard.store(0, Release);
    }

    /// Whether the second layer is away.
    pub fn is_island(&self) -> bool {
        self.block.island.load(Acquire) != 0
    }

    /// The second layer is away, or back: what this host has may be out of date, and it begins anew.
    /// Processes that notice at the same time only begin anew more than once.
    pub fn set_island(&self, island: bool) {
        if self.is_island() != island {
            self.distrust();
            self.block.island.store(u64::from(island), Release);
        }
    }

    /// The fingerprint that entries with `refs` must carry to be valid on any host.
    pub fn fingerprint(&self, refs: &Refs) -> u64 {
        self.block.fingerprint(refs.slots().iter().copied())
    }

    pub(super) fn trust(&self, slot: u8) -> Trust {
        self.block.trust(slot)
    }
}

/// What this host's trust in its entries was at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    site: u64,
    slot: u64,
}

impl Trust {
    /// What an entry must carry to be valid here: where every host demands `fingerprint`, this one
    /// also demands that it trusts what it has had since.
    pub(super) fn mark(self, fingerprint: u64) -> u64 {
        mix(mix(fingerprint, self.site), self.slot)
    }
}

impl SiteBlock {
    pub(super) fn is_current(&self, mark: u64, refs: impl Iterator<Item = u16>, slot: u8) -> bool {
        self.trust(slot).mark(self.fingerprint(refs)) == mark
    }

    fn fingerprint(&self, refs: impl Iterator<Item = u16>) -> u64 {
        refs.fold(self.generation(SITE_SLOT), |hash, slot| mix(hash, self.generation(slot)))
    }

    fn trust(&self, slot: u8) -> Trust {
        let slot = self.key_trust.get(usize::from(slot));
        Trust { site: self.trust.load(Acquire), slot: slot.map_or(0, |trust| trust.load(Acquire)) }
    }

    fn generation(&self, slot: u16) -> u64 {
        self.generations.get(usize::from(slot)).map_or(0, |cell| cell.load(Acquire))
    }

    fn is_of(&self, name: Key) -> bool {
        let (high, low) = halves(name);
        self.high.load(Acquire) == high && self.low.load(Relaxed) == low
    }

    /// Hands the block to a new site. Entries of the old one stay in the logs, but nobody trusts them.
    fn settle(&self, name: Key) {
        let (high, low) = halves(name);
        self.high.store(0, Release);
        self.low.store(low, Relaxed);
        self.words.store(0, Relaxed);
        self.trust.fetch_add(1, Relaxed);
        self.version.store(0, Relaxed);
        self.heard.store(0, Relaxed);
        self.island.store(0, Relaxed);
        self.journal.clear();
        self.generations.iter().for_each(|generation| generation.store(0, Relaxed));
        self.high.store(high, Release);
    }
}

fn free_block(blocks: &[SiteBlock], now: Timestamp) -> Option<usize> {
    let free = blocks.iter().position(|block| block.high.load(Acquire) == 0);
    free.or_else(|| {
        let (index, oldest) = blocks.iter().enumerate().min_by_key(|(_, block)| block.seen.load(Relaxed))?;
        let idle = now.secs().saturating_sub(oldest.seen.load(Relaxed));
        (idle >= FORGOTTEN_AFTER_SECS).then_some(index)
    })
}

fn halves(name: Key) -> (u64, u64) {
    ((name.bits() >> 64) as u64, name.bits() as u64)
}

/// Microseconds since the epoch: what new generations are counted in.
fn micros(now: Timestamp) -> u64 {
    now.nanos() / 1000
}

/// Folds `value` into `hash`: a multiplication to 128 bits whose halves are combined.
fn mix(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ 0x9E37_79B9_7F4A_7C15) * u128::from(value ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64) ^ (product >> 64) as u64
}
