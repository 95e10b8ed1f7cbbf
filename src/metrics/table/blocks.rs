//! Blocks of buckets: one for each histogram series.
//!
//! A block belongs to the series whose number its owner word has. A series has exactly one: of two
//! who help the same series one stores its block's number into the series, and the other's block is
//! free again. One whose taker died before either is found by its owner word.

use std::sync::atomic::{AtomicU64, Ordering::*};

use super::{SeriesSlot, Table};
use crate::metrics::definition::MAX_BOUNDS;

crate::shm::region::shared_struct! {
    /// Zeros are a free block.
    pub struct Block {
        /// The place of the series, from 1.
        owner: AtomicU64,
        /// All observations added up, in parts of a unit.
        sum: AtomicU64,
        /// Observations by bucket, not cumulative: adding one is one step.
        counts: [AtomicU64; MAX_BOUNDS + 1],
        spare: AtomicU64,
    }
}

const _: () = assert!(size_of::<Block>() == 256);

impl Block {
    /// Counts an observation of `scaled` parts of a unit in `bucket`.
    pub fn observe(&self, bucket: usize, scaled: u64) {
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
            self.sum.fetch_add(scaled, Relaxed);
        }
    }

    /// The first `buckets` counts, each read once.
    pub fn counts(&self, buckets: usize) -> Vec<u64> {
        self.counts.iter().take(buckets).map(|count| count.load(Relaxed)).collect()
    }

    /// The sum in parts of a unit.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }
}

impl<'a> Table<'a> {
    /// The series' block, if it has one.
    pub fn block(&self, series: &SeriesSlot) -> Option<&'a Block> {
        let number = usize::try_from(series.block.load(Acquire)).ok()?;
        self.blocks.get(number.checked_sub(1)?)
    }

    /// The series' block, taken if it has none; `None` when all are taken.
    pub fn claim_block(&self, series: &SeriesSlot) -> Option<&'a Block> {
        if let Some(block) = self.block(series) {
            return Some(block);
        }
        let owner = self.position(series) as u64 + 1;
        let taken = self.take(owner)?;
        let number = taken as u64 + 1;
        if series.block.compare_exchange(0, number, AcqRel, Acquire).is_err() {
            let block = self.blocks.get(taken)?;
            let _ = block.owner.compare_exchange(owner, 0, AcqRel, Relaxed);
        }
        self.block(series)
    }

    /// The place of a block that is now `owner`'s, looked for from where the owner's own would be.
    fn take(&self, owner: u64) -> Option<usize> {
        let places = || {
            let start = (owner as usize).checked_rem(self.blocks.len()).unwrap_or(0);
            (start..self.blocks.len()).chain(0..start)
        };
        let owner_of = |place: usize| self.blocks.get(place).map(|block| &block.owner);
        let mine = places().find(|place| owner_of(*place).is_some_and(|word| word.load(Acquire) == owner));
        mine.or_else(|| {
            places().find(|place| {
                let Some(word) = owner_of(*place) else { return false };
                let found = word.load(Acquire);
                (found == 0 || self.is_left_over(found, *place))
                    && word.compare_exchange(found, owner, AcqRel, Relaxed).is_ok()
            })
        })
    }

    /// Whether the block's owner has another one: then its taker died before it gave this one back.
    fn is_left_over(&self, owner: u64, place: usize) -> bool {
        let series = usize::try_from(owner - 1).ok().and_then(|at| self.series.get(at));
        let number = series.map_or(0, |series| series.block.load(Acquire));
        number != 0 && number != place as u64 + 1
    }
}
