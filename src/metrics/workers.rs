//! php-fpm's workers: which live, and which serve a request. They are the host's and no site's.

use super::table::{Table, Worker};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::shm::{Owner, Segment};

/// Handle to the workers' slots.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    table: Table<'a>,
}

impl<'a> Workers<'a> {
    /// The workers of the processes that share the segment.
    ///
    /// # Errors
    /// [`crate::error::Kind::SharedMemory`] when the segment has no room for them.
    pub fn open(segment: &'a Segment) -> Result<Self> {
        Ok(Self { table: Table::open(segment)? })
    }

    /// The place of this process among the workers; `None` when all are taken by living ones.
    pub fn join(&self, owner: Owner) -> Option<usize> {
        self.table.join(owner)
    }

    /// The worker at `place` begins a request.
    pub fn begin(&self, place: usize, now: Timestamp) {
        if let Some(slot) = self.table.workers.get(place) {
            slot.begin(now);
        }
    }

    /// The worker at `place` has ended its request.
    pub fn end(&self, place: usize) {
        if let Some(slot) = self.table.workers.get(place) {
            slot.end();
        }
    }

    /// The workers that live. Asks `/proc` about each: 20 µs.
    pub fn living(&self) -> Vec<Worker> {
        self.table.living()
    }
}
