//! Counting, and what the counts say.

use std::cell::Cell;

use super::Cache;
use crate::remote::breaker::State;
use crate::shm::{Counter, Counters, Segment};

/// Counts of this process that are not yet in shared memory: an atomic addition for every hit would
/// cost as much as finding the value.
pub(super) struct Tally {
    counters: Counters<'static>,
    counts: [Cell<u64>; Counter::ALL.len()],
    waiting: Cell<u32>,
}

/// So many events are written at once. A worker that is killed takes fewer with it.
const FLUSH_EVERY: u32 = 256;

impl Tally {
    pub(super) fn new(segment: &'static Segment) -> Self {
        Self { counters: segment.counters(), counts: [const { Cell::new(0) }; _], waiting: Cell::new(0) }
    }

    pub(super) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(super) fn add(&self, counter: Counter, by: u64) {
        if let Some(count) = self.counts.get(counter as usize) {
            count.set(count.get() + by);
        }
        let waiting = self.waiting.get() + 1;
        self.waiting.set(waiting);
        if waiting >= FLUSH_EVERY {
            self.flush();
        }
    }

    pub(super) fn flush(&self) {
        self.waiting.set(0);
        for (counter, count) in Counter::ALL.iter().zip(&self.counts) {
            match count.take() {
                0 => {}
                by => self.counters.add(*counter, by),
            }
        }
    }
}

/// How one layer does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerStats {
    /// Values found.
    pub hits: u64,
    /// Values not found.
    pub misses: u64,
    /// Hits of all.
    pub hit_ratio: f64,
}

/// How the cache does, on this host since its shared memory was created.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Name of the second layer, or `shm`.
    pub backend: &'static str,
    /// Shared memory.
    pub l1: LayerStats,
    /// Redis or Memcached.
    pub l2: LayerStats,
    /// Entries in shared memory.
    pub items: u64,
    /// Bytes of them, the dead ones not yet reclaimed included.
    pub bytes: u64,
    /// Bytes there are.
    pub capacity: u64,
    /// Entries forgotten to make room.
    pub evictions: u64,
    /// Entries found expired when room was made.
    pub expirations: u64,
    /// `closed`, `open` or `probing`; `None` without a second layer.
    pub breaker: Option<&'static str>,
    /// Whether the link that pushes invalidations is alive.
    pub linked: bool,
    /// Every other count, by name.
    pub counts: Vec<(&'static str, u64)>,
}

impl Cache {
    /// How the cache does.
    pub fn stats(&self) -> Snapshot {
        self.tally.flush();
        let counters = self.host.segment.counters();
        let usage = self.l1.usage();
        let counts = counters.snapshot().into_iter().filter(|(name, _)| name.starts_with("cache_"));
        Snapshot {
            backend: self.settings.backend.name(),
            l1: layer(counters.get(Counter::CacheL1Hits), counters.get(Counter::CacheL1Misses)),
            l2: layer(counters.get(Counter::CacheL2Hits), counters.get(Counter::CacheL2Misses)),
            items: usage.items,
            bytes: usage.bytes,
            capacity: usage.capacity,
            evictions: usage.evictions,
            expirations: usage.expirations,
            breaker: self.shared.as_ref().map(|shared| match shared.backing.state() {
                State::Closed { .. } => "closed",
                State::Open { .. } => "open",
                State::Probing { .. } => "probing",
            }),
            linked: self.site.is_linked(self.now(), super::LINK_PATIENCE),
            counts: counts.collect(),
        }
    }
}

fn layer(hits: u64, misses: u64) -> LayerStats {
    let all = hits + misses;
    LayerStats { hits, misses, hit_ratio: if all == 0 { 0.0 } else { hits as f64 / all as f64 } }
}
