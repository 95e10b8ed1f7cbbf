//! The `metrics` region: what lies where, and the two claims by which a place in it is taken.
//!
//! Owns: six arrays of fixed slots, each laid out by its own file, and the order in which they lie. Refuses to do: know what a metric
//! means.
//!
//! A free slot has the key 0. A key is the lower half of a keyed hash of site, name and labels, so
//! two different series share one with a probability of 2^-41 in a full table, and nobody who does
//! not know the segment's secret can bring that about. Slots are never freed, so the first free one
//! ends a search.

mod blocks;
mod family;
mod history;
mod series;
mod sites;
mod workers;

use std::sync::atomic::{AtomicU64, Ordering::*};

pub(super) use blocks::Block;
pub(super) use family::FamilySlot;
pub(super) use history::{HistorySlot, Period, Total, Totals};
pub(super) use series::{Head, SeriesSlot};
pub(super) use sites::SiteSlot;
pub use workers::Worker;
pub(super) use workers::WorkerSlot;

use crate::error::Result;
use crate::shm::{Region, RegionKind, Segment};

/// Bytes of region for which there are eight series, two blocks, two workers and half a family.
const UNIT: usize = 4096;

const SITE_BYTES: usize = UNIT * 8;
const HISTORY_BYTES: usize = UNIT * 64;

/// A site may take this share of the families and series, so that no tenant starves the others.
const SITE_SHARE: (usize, usize) = (3, 4);

/// The arrays.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub sites: &'a [SiteSlot],
    pub families: &'a [FamilySlot],
    pub blocks: &'a [Block],
    pub series: &'a [SeriesSlot],
    pub workers: &'a [WorkerSlot],
    histories: &'a [HistorySlot],
    used: &'a AtomicU64,
}

impl<'a> Table<'a> {
    pub fn open(segment: &'a Segment) -> Result<Self> {
        Self::in_region(segment.region(RegionKind::Metrics))
    }

    /// Cache-line sized slots come first, so that each of them lies on lines of its own.
    fn in_region(region: Region<'a>) -> Result<Self> {
        let units = region.len() / UNIT;
        let mut carve = region.carve();
        Ok(Self {
            series: carve.slice(units * 8)?,
            blocks: carve.slice(units * 2)?,
            workers: carve.slice(units * 2)?,
            histories: carve.slice(region.len() / HISTORY_BYTES)?,
            families: carve.slice(units / 2)?,
            sites: carve.slice(region.len() / SITE_BYTES)?,
            used: carve.one()?,
        })
    }

    /// How many families or series of `all` one site may have.
    pub fn share(all: usize) -> u64 {
        (all * SITE_SHARE.0 / SITE_SHARE.1) as u64
    }

    /// The series with this key.
    pub fn series(&self, key: u64) -> Option<&'a SeriesSlot> {
        search(self.series, key, |slot| &slot.key).filter(|slot| slot.key.load(Relaxed) == key)
    }

    /// The series with this key, claimed if it is new. The last eighth of the slots is for the
    /// overflow series, which are few: with `is_overflow` it may be used.
    pub fn claim_series(&self, key: u64, is_overflow: bool) -> Option<(&'a SeriesSlot, Claim)> {
        let room = if is_overflow { self.series.len() } else { self.series.len() / 8 * 7 };
        if self.used.load(Relaxed) as usize >= room {
            return self.series(key).map(|slot| (slot, Claim::Found));
        }
        let claimed = claim(self.series, key, |slot| &slot.key)?;
        if claimed.1 == Claim::New {
            self.used.fetch_add(1, Relaxed);
        }
        Some(claimed)
    }

    /// The family with this key.
    pub fn family(&self, key: u64) -> Option<(usize, &'a FamilySlot)> {
        let slot = search(self.families, key, |slot| &slot.key)?;
        (slot.key.load(Relaxed) == key).then(|| (self.index_of(slot), slot))
    }

    /// The family with this key, claimed if it is new.
    pub fn claim_family(&self, key: u64) -> Option<(&'a FamilySlot, Claim)> {
        claim(self.families, key, |slot| &slot.key)
    }

    /// The slot of a site, claimed if it is new.
    pub fn site(&self, tag: u64) -> Option<&'a SiteSlot> {
        claim(self.sites, tag, |slot| &slot.tag).map(|(slot, _)| slot)
    }

    /// The place of a family in its array.
    pub fn index_of(&self, family: &FamilySlot) -> usize {
        let offset = std::ptr::from_ref(family).addr() - self.families.as_ptr().addr();
        offset / size_of::<FamilySlot>()
    }

    /// The place of a series in its array.
    pub fn position(&self, series: &SeriesSlot) -> usize {
        let offset = std::ptr::from_ref(series).addr() - self.series.as_ptr().addr();
        offset / size_of::<SeriesSlot>()
    }
}

/// How a slot was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It had the key already.
    Found,
    /// It was free.
    New,
}

/// The slot with `key`, or the free one that ends the search for it.
fn search<T>(slots: &[T], key: u64, key_of: impl Fn(&T) -> &AtomicU64) -> Option<&T> {
    let is_end = |slot: &&T| matches!(key_of(slot).load(Acquire), found if found == key || found == 0);
    probe(slots, key).find(is_end)
}

/// The slot with `key`, taken if it is free. Of several who claim a key at once one takes the slot
/// and the others find it there.
fn claim<T>(slots: &[T], key: u64, key_of: impl Fn(&T) -> &AtomicU64) -> Option<(&T, Claim)> {
    probe(slots, key).find_map(|slot| match key_of(slot).compare_exchange(0, key, AcqRel, Acquire) {
        Ok(_) => Some((slot, Claim::New)),
        Err(found) if found == key => Some((slot, Claim::Found)),
        Err(_) => None,
    })
}

fn probe<T>(slots: &[T], key: u64) -> impl Iterator<Item = &T> {
    let home = ((u128::from(key) * slots.len() as u128) >> 64) as usize;
    let (before, from_home) = slots.split_at_checked(home).unwrap_or((&[], slots));
    from_home.iter().chain(before)
}
