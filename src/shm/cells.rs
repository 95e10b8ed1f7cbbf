//! Named 64-bit words: generations, flags, breaker states.
//!
//! Owns: finding the word of a name. A cell is never taken back, so a [`Cell`] may be kept and read
//! for the cost of one load. That is why there are only a few per site: a name must never contain
//! what a visitor can choose.
//!
//! A cell is claimed under one lock. Its name's second half is written last, and a cell without it
//! is free, so a claimer that dies leaves nothing to repair.

use std::sync::atomic::{AtomicU64, Ordering::*};

use super::Refused;
use super::hash::Key;
use super::lock::Locks;
use super::region::{Region, shared_struct};
use crate::error::Result;

shared_struct! {
    struct Named {
        high: AtomicU64,
        low: AtomicU64,
        value: AtomicU64,
    }
}

pub(super) const fn bytes(capacity: usize) -> usize {
    capacity * size_of::<Named>()
}

/// A named word: an [`AtomicU64`] that every process sees, zero at first.
pub type Cell<'a> = &'a AtomicU64;

/// Handle to the cells.
#[derive(Clone, Copy)]
pub struct Cells<'a> {
    cells: &'a [Named],
    locks: Locks<'a>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(region: Region<'a>, capacity: usize) -> Result<Self> {
        Ok(Self { cells: region.carve().slice(capacity)?, locks: region.locks() })
    }

    /// The cell of `name`, made on first use.
    ///
    /// # Errors
    /// [`Refused`] when all cells have other names, or the table is locked for too long.
    pub fn cell(&self, name: Key) -> std::result::Result<Cell<'a>, Refused> {
        if let Some(cell) = self.find(name) {
            return Ok(cell);
        }
        let _guard = self.locks.lock(0, Locks::PATIENCE, || {}).ok_or(Refused::Busy)?;
        if let Some(cell) = self.find(name) {
            return Ok(cell);
        }
        let free = self.probe(name).find(|cell| cell.high.load(Acquire) == 0).ok_or(Refused::Full)?;
        free.low.store(name.low, Relaxed);
        free.high.store(name.high, Release);
        Ok(&free.value)
    }

    /// Cells with a name.
    pub fn used(&self) -> usize {
        self.cells.iter().filter(|cell| cell.high.load(Relaxed) != 0).count()
    }

    fn find(&self, name: Key) -> Option<Cell<'a>> {
        // Cells are never freed, so the first free one ends the search.
        let cell = self.probe(name).find(|cell| {
            let high = cell.high.load(Acquire);
            high == 0 || (high == name.high && cell.low.load(Relaxed) == name.low)
        })?;
        (cell.high.load(Relaxed) == name.high && cell.low.load(Relaxed) == name.low).then_some(&cell.value)
    }

    fn probe(&self, name: Key) -> impl Iterator<Item = &'a Named> + use<'a> {
        let home = ((u128::from(name.low) * self.cells.len() as u128) >> 64) as usize;
        let (before, from_home) = self.cells.split_at_checked(home).unwrap_or((&[], self.cells));
        from_home.iter().chain(before)
    }
}
