//! What lies where in a segment.
//!
//! Owns: the list of regions, how large a [`Plan`] makes each, and their offsets. The result is
//! written into the header, and whoever opens a segment later follows the header and not its own
//! plan: a CLI with another `slbp.shm_size` than php-fpm still finds everything.

use super::{cells, counters, leases, lock::RobustMutex, records, words};
use crate::error::{Error, Kind, Result};

/// Bytes kept for the header.
pub(super) const HEADER_BYTES: usize = 4096;

/// Regions start on a page, so that one can be given back to the system without its neighbours.
const PAGE: usize = 4096;

/// Requests that end at the same time seldom meet at one of so many locks.
const QUERY_LOCKS: usize = 4;

/// Sessions get this part of a segment: at 64 MiB two, or about 2,000 of the usual kilobyte.
const SESSION_SHARE: usize = 32;

/// A shard of sessions has at least so many bytes, so that one of them fits into it.
const SESSION_SHARD: usize = 512 << 10;

/// The parts of a segment. The numbers are on disk (`slbp.shm_path`): never give one a new meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum RegionKind {
    /// Event counts.
    Counters = 1,
    /// Named words.
    Cells = 2,
    /// Leases.
    Leases = 3,
    /// The limiter's state words.
    Words = 4,
    /// Lists and bans.
    Records = 5,
    /// Histograms, series and top lists; laid out by `metrics`.
    Metrics = 6,
    /// Cached values; laid out by `cache`.
    Cache = 7,
    /// Where in a list looking is worth while; laid out by `limiter`.
    ListHints = 8,
    /// Shapes of queries and what they took; laid out by `query`.
    Queries = 9,
    /// Sessions; laid out by `session`.
    Sessions = 10,
}

impl RegionKind {
    /// Every kind, in the order in which they lie in the segment.
    pub const ALL: [RegionKind; 10] = [
        RegionKind::Counters,
        RegionKind::Cells,
        RegionKind::Leases,
        RegionKind::Words,
        RegionKind::Records,
        RegionKind::ListHints,
        RegionKind::Metrics,
        RegionKind::Queries,
        RegionKind::Sessions,
        RegionKind::Cache,
    ];

    /// The name that `slbp_info()` shows.
    pub const fn name(self) -> &'static str {
        match self {
            RegionKind::Counters => "counters",
            RegionKind::Cells => "cells",
            RegionKind::Leases => "leases",
            RegionKind::Words => "limiter",
            RegionKind::Records => "lists",
            RegionKind::Metrics => "metrics",
            RegionKind::Cache => "cache",
            RegionKind::ListHints => "list_hints",
            RegionKind::Queries => "queries",
            RegionKind::Sessions => "sessions",
        }
    }
}

/// How much of everything a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Named words; they are never freed, so: a few per site.
    pub cells: usize,
    /// Leases held at the same time.
    pub leases: usize,
    /// Limiter slots, a power of two and at least 128: twice the clients times rules that are active
    /// at the same time.
    pub words: usize,
    /// List entries and bans.
    pub records: usize,
    /// Bytes for metrics.
    pub metrics: usize,
    /// Bytes for queries.
    pub queries: usize,
    /// Bytes for sessions.
    pub sessions: usize,
    /// Locks, and so shards, of the sessions.
    pub session_locks: usize,
    /// Bytes for cached values.
    pub cache: usize,
    /// Locks, and so shards, of the cache.
    pub cache_locks: usize,
}

impl Plan {
    /// Divides a segment of `total` bytes. The cache gets what the tables leave: at 64 MiB there is
    /// room for 131,072 limiter slots, 131,072 list entries and about 34 MiB of cached values.
    /// Memory that is never touched is never really taken, except in a file, which is allocated
    /// whole.
    ///
    /// # Errors
    /// [`Kind::Config`] when `total` is less than 1 MiB.
    pub fn for_size(total: usize) -> Result<Self> {
        if total < Self::smallest().total() {
            return Err(Error::new(Kind::Config, "slbp.shm_size: expected at least 1M"));
        }
        let slots = (total / 16 / words::bytes(1)).clamp(1 << 12, 1 << 18);
        let words = 1 << slots.ilog2();
        let fits = |records: &usize| records::bytes(*records) <= total / 8 * 3;
        let records = (9..=17).rev().map(|bits| 1 << bits).find(fits).unwrap_or(512);
        let tables = Self {
            cells: 1024,
            leases: 1024,
            words,
            records,
            metrics: (total / 32).clamp(256 << 10, 8 << 20) / PAGE * PAGE,
            queries: total / 32,
            sessions: total / SESSION_SHARE,
            session_locks: (total / SESSION_SHARE / SESSION_SHARD).clamp(2, 64),
            cache: 0,
            cache_locks: 64,
        };
        let cache = total.saturating_sub(tables.total() + PAGE) / PAGE * PAGE;
        Ok(Self { cache, ..tables })
    }

    /// The plan of the in-process fallback, and of tests: about 1 MiB.
    pub const fn smallest() -> Self {
        Self {
            cells: 256,
            leases: 64,
            words: 4096,
            records: 1024,
            metrics: 256 << 10,
            queries: 32 << 10,
            sessions: 32 << 10,
            session_locks: 2,
            cache: 256 << 10,
            cache_locks: 8,
        }
    }

    /// Bytes of the whole segment.
    pub const fn total(&self) -> usize {
        let mut at = HEADER_BYTES;
        let mut index = 0;
        while index < RegionKind::ALL.len() {
            #[allow(clippy::indexing_slicing)] // a const fn cannot iterate; the bound is in the loop
            let part = self.part(RegionKind::ALL[index]);
            at += part.total();
            index += 1;
        }
        at
    }

    /// Where everything lies, in order.
    pub(super) fn placements(&self) -> Vec<Placement> {
        let mut at = HEADER_BYTES;
        let place = |kind| {
            let part = self.part(kind);
            let placement = Placement { kind, offset: at, part };
            at += part.total();
            placement
        };
        RegionKind::ALL.map(place).to_vec()
    }

    const fn part(&self, kind: RegionKind) -> Part {
        match kind {
            RegionKind::Counters => Part { locks: 0, capacity: 1, bytes: counters::BYTES },
            RegionKind::Cells => Part { locks: 1, capacity: self.cells, bytes: cells::bytes(self.cells) },
            RegionKind::Leases => {
                Part { locks: leases::LOCKS, capacity: self.leases, bytes: leases::bytes(self.leases) }
            }
            RegionKind::Words => {
                Part { locks: words::LOCKS, capacity: self.words, bytes: words::bytes(self.words) }
            }
            RegionKind::Records => {
                Part { locks: 1, capacity: self.records, bytes: records::bytes(self.records) }
            }
            RegionKind::ListHints => {
                let words = self.records / 2;
                Part { locks: 0, capacity: words, bytes: words * size_of::<u64>() }
            }
            RegionKind::Sessions => {
                Part { locks: self.session_locks, capacity: self.sessions, bytes: self.sessions }
            }
            RegionKind::Metrics => Part { locks: 1, capacity: self.metrics, bytes: self.metrics },
            RegionKind::Queries => Part { locks: QUERY_LOCKS, capacity: self.queries, bytes: self.queries },
            RegionKind::Cache => Part { locks: self.cache_locks, capacity: self.cache, bytes: self.cache },
        }
    }
}

/// Locks first, each on its cache line, then the bytes that they guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub locks: usize,
    /// In the unit of the region: slots, entries, bytes.
    pub capacity: usize,
    pub bytes: usize,
}

impl Part {
    pub const fn total(&self) -> usize {
        (self.locks * size_of::<RobustMutex>() + self.bytes).next_multiple_of(PAGE)
    }
}

/// A part and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub kind: RegionKind,
    pub offset: usize,
    pub part: Part,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_size_has_room_for_what_the_documentation_promises() {
        let plan = Plan::for_size(64 << 20).unwrap();
        assert_eq!((plan.words, plan.records), (131_072, 131_072));
        assert!(plan.cache > 30 << 20, "{} bytes for the cache", plan.cache);
        assert!(plan.total() <= 64 << 20);
    }

    #[test]
    fn every_size_is_used_and_none_is_exceeded() {
        for mebibytes in [1, 2, 8, 64, 256, 4096] {
            let plan = Plan::for_size(mebibytes << 20).unwrap();
            let used = plan.total();
            assert!(used <= mebibytes << 20 && used > (mebibytes << 20) / 10 * 9, "{mebibytes} MiB: {used}");
        }
    }
}
