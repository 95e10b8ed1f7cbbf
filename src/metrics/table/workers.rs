//! A slot for each php-fpm worker: whether it serves a request now.
//!
//! A worker that is killed leaves its slot behind; whoever reads the slots sees that the process is
//! gone, does not count it and frees the slot. So a number of requests in flight can never leak.

use std::sync::atomic::{AtomicU64, Ordering::*};

use super::Table;
use crate::clock::Timestamp;
use crate::shm::Owner;

/// A process' start takes the lower bits of the word; above it stands the pid, which is at most 2^22.
const START_BITS: u32 = 42;

crate::shm::region::shared_struct! {
    /// Zeros are a free slot.
    pub struct WorkerSlot {
        /// Pid and start of the process, in one word so that one step takes the slot.
        process: AtomicU64,
        namespace: AtomicU64,
        /// Milliseconds since the epoch at which its request began, 0 between requests.
        busy_since: AtomicU64,
        /// Requests that it has ended.
        requests: AtomicU64,
        spare: [AtomicU64; 4],
    }
}

/// A worker that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its process.
    pub pid: u32,
    /// Milliseconds since the epoch at which its request began, 0 between requests.
    pub busy_since: u64,
    /// Requests that it has ended.
    pub requests: u64,
}

impl<'a> Table<'a> {
    /// The place of a slot that is now `owner`'s; when all are taken, those of the dead are freed first.
    pub fn join(&self, owner: Owner) -> Option<usize> {
        self.take_free(owner).or_else(|| {
            self.living();
            self.take_free(owner)
        })
    }

    fn take_free(&self, owner: Owner) -> Option<usize> {
        let word = u64::from(owner.pid) << START_BITS | owner.started & ((1 << START_BITS) - 1);
        let taken = |slot: &WorkerSlot| slot.process.compare_exchange(0, word, AcqRel, Relaxed).is_ok();
        let place = self.workers.iter().position(taken)?;
        let slot = self.workers.get(place)?;
        slot.busy_since.store(0, Relaxed);
        slot.requests.store(0, Relaxed);
        slot.namespace.store(owner.namespace, Release);
        Some(place)
    }

    /// The workers that live. Asks `/proc` about each: 20 µs.
    pub fn living(&self) -> Vec<Worker> {
        self.workers.iter().filter_map(WorkerSlot::look).collect()
    }
}

impl WorkerSlot {
    pub fn begin(&self, now: Timestamp) {
        self.busy_since.store(now.nanos() / 1_000_000, Relaxed);
    }

    pub fn end(&self) {
        self.busy_since.store(0, Relaxed);
        self.requests.fetch_add(1, Relaxed);
    }

    fn look(&self) -> Option<Worker> {
        let word = self.process.load(Acquire);
        let namespace = self.namespace.load(Acquire);
        // Without a namespace it is being taken right now.
        if word == 0 || namespace == 0 {
            return None;
        }
        let pid = (word >> START_BITS) as u32;
        let owner = Owner { pid, started: word & ((1 << START_BITS) - 1), namespace };
        if owner.is_dead() {
            self.namespace.store(0, Relaxed);
            let _ = self.process.compare_exchange(word, 0, AcqRel, Relaxed);
            return None;
        }
        Some(Worker { pid, busy_since: self.busy_since.load(Relaxed), requests: self.requests.load(Relaxed) })
    }
}
