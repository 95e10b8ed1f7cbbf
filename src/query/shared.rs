//! The queries of all requests of all workers, in shared memory.
//!
//! Owns: a fixed number of slots, each one shape from one place of one site, divided among a few locks.
//! A request adds what it saw when it is over, so a query itself touches no shared memory. When a shard
//! is full, the slot with the least time in all makes room, if nobody saw it for an hour or the newcomer
//! took longer; otherwise the newcomer is counted as dropped.
//!
//! A slot's key is written last and cleared first, so a worker that is killed leaves a free slot or one
//! whose numbers lack a part of one request; both are whole to a reader.
//!
//! Shapes have no values in them, so no SQL literal is ever stored here.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use super::component::{CallSite, Component, LONGEST_PLACE};
use super::fingerprint::LONGEST_TEXT;
use super::histogram::{BUCKETS, Histogram};
use super::observed::{Observed, Tally};
use super::outline::Verb;
use crate::error::Result;
use crate::shm::region::shared_struct;
use crate::shm::{
    Counter, Counters, Guard, Hasher, Locks, Region, RegionKind, Segment, load_bytes, store_bytes,
};

/// A slot that nobody saw for so many seconds may be taken.
const STALE: u64 = 3600;

/// A text in a slot: how long it is, and its bytes.
macro_rules! text_of {
    ($name:ident, $bytes:literal) => {
        shared_struct! {
            struct $name {
                len: AtomicU64,
                bytes: [AtomicU64; $bytes / 8],
            }
        }

        impl $name {
            fn store(&self, text: &str) {
                let kept = text.get(..text.floor_char_boundary($bytes)).unwrap_or_default();
                store_bytes(&self.bytes, kept.as_bytes());
                self.len.store(kept.len() as u64, Relaxed);
            }

            fn load(&self) -> String {
                let mut bytes = vec![0; (self.len.load(Relaxed) as usize).min($bytes)];
                load_bytes(&self.bytes, &mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    };
}

text_of!(Shape, 1008);
text_of!(Place, 200);
text_of!(Name, 64);

const _: () = assert!(LONGEST_TEXT + 3 <= 1008 && LONGEST_PLACE <= 200);

shared_struct! {
    struct Slot {
        site: AtomicU64,
        fingerprint: AtomicU64,
        verb: AtomicU64,
        count: AtomicU64,
        total: AtomicU64,
        max: AtomicU64,
        failed: AtomicU64,
        slow: AtomicU64,
        n_plus_one: AtomicU64,
        worst: AtomicU64,
        duplicates: AtomicU64,
        requests: AtomicU64,
        last_seen: AtomicU64,
        histogram: [AtomicU32; BUCKETS],
        shape: Shape,
        table: Name,
        component: Name,
        place: Place,
    }
}

/// Bytes of a slot and its key.
const SLOT_BYTES: usize = size_of::<Slot>() + size_of::<AtomicU64>();

/// The queries of all workers.
#[derive(Clone, Copy)]
pub struct SharedQueries<'a> {
    keys: &'a [AtomicU64],
    slots: &'a [Slot],
    locks: Locks<'a>,
    counters: Counters<'a>,
    hasher: Hasher,
}

impl<'a> SharedQueries<'a> {
    /// Those of `segment`.
    ///
    /// # Errors
    /// [`crate::error::Kind::SharedMemory`] when the segment has no room for them.
    pub fn open(segment: &'a Segment) -> Result<Self> {
        let region: Region<'a> = segment.region(RegionKind::Queries);
        let mut carve = region.carve();
        // One slot less than would fit: the two tables are aligned apart.
        let capacity = (region.len() / SLOT_BYTES).saturating_sub(1);
        Ok(Self {
            keys: carve.slice(capacity)?,
            slots: carve.slice(capacity)?,
            locks: region.locks(),
            counters: segment.counters(),
            hasher: segment.hasher(),
        })
    }

    /// How many shapes fit.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Adds what a request of `site` saw.
    pub fn merge(&self, site: &[u8], seen: &Observed) {
        let site = self.site_key(site);
        let label = seen.site.component.label();
        let parts: [&[u8]; 4] = [
            &site.to_ne_bytes(),
            &seen.fingerprint.to_ne_bytes(),
            label.as_bytes(),
            seen.site.place.as_bytes(),
        ];
        let key = self.hasher.key_of(&parts).bits() as u64 | 1;
        let shard = key as usize >> 1;
        let merged = self.lock(shard).is_some_and(|_guard| self.merge_locked(shard, key, site, seen));
        if !merged {
            self.counters.add(Counter::QueriesDropped, seen.tally.count);
        }
    }

    /// Everything of `site`.
    pub fn of_site(&self, site: &[u8]) -> Vec<Observed> {
        let site = self.site_key(site);
        let mut found = Vec::new();
        for shard in 0..self.locks.len() {
            let Some(_guard) = self.lock(shard) else { continue };
            let live =
                self.shard(shard).filter(|(key, slot)| is_live(key) && slot.site.load(Relaxed) == site);
            found.extend(live.map(|(_, slot)| slot.read()));
        }
        found
    }

    /// Forgets everything of `site`.
    pub fn clear(&self, site: &[u8]) {
        let site = self.site_key(site);
        for shard in 0..self.locks.len() {
            let Some(_guard) = self.lock(shard) else { continue };
            let own = self.shard(shard).filter(|(_, slot)| slot.site.load(Relaxed) == site);
            own.for_each(|(key, _)| key.store(0, Release));
        }
    }

    fn site_key(&self, site: &[u8]) -> u64 {
        self.hasher.key_of(&[b"queries", site]).bits() as u64
    }

    /// No repair: see the module's head.
    fn lock(&self, shard: usize) -> Option<Guard<'a>> {
        self.locks.lock(shard.checked_rem(self.locks.len())?, Locks::PATIENCE, || {})
    }

    fn shard(&self, shard: usize) -> impl Iterator<Item = (&'a AtomicU64, &'a Slot)> + use<'a> {
        let shards = self.locks.len().max(1);
        let size = self.slots.len() / shards;
        let from = shard % shards * size;
        let keys = self.keys.get(from..from + size).unwrap_or_default();
        let slots = self.slots.get(from..from + size).unwrap_or_default();
        keys.iter().zip(slots)
    }

    fn merge_locked(&self, shard: usize, key: u64, site: u64, seen: &Observed) -> bool {
        if let Some((_, slot)) = self.shard(shard).find(|(known, _)| known.load(Relaxed) == key) {
            slot.add(seen);
            return true;
        }
        let free = self.shard(shard).find(|(known, _)| !is_live(known)).or_else(|| self.victim(shard, seen));
        let Some((place, slot)) = free else { return false };
        place.store(0, Release);
        slot.write(site, seen);
        place.store(key, Release);
        true
    }

    /// The slot that `seen` may take: the one with the least time in all.
    fn victim(&self, shard: usize, seen: &Observed) -> Option<(&'a AtomicU64, &'a Slot)> {
        let least = self.shard(shard).min_by_key(|(_, slot)| {
            let is_stale = slot.last_seen.load(Relaxed).saturating_add(STALE) < seen.last_seen;
            (!is_stale, slot.total.load(Relaxed))
        });
        least.filter(|(_, slot)| {
            slot.last_seen.load(Relaxed).saturating_add(STALE) < seen.last_seen
                || slot.total.load(Relaxed) < seen.tally.total
        })
    }
}

fn is_live(key: &AtomicU64) -> bool {
    key.load(Acquire) != 0
}

impl Slot {
    /// Adds to what is there. Under the shard's lock, so nobody else writes.
    fn add(&self, seen: &Observed) {
        let mut sum = self.numbers();
        sum.merge(seen);
        self.store_numbers(&sum);
    }

    fn write(&self, site: u64, seen: &Observed) {
        self.site.store(site, Relaxed);
        self.fingerprint.store(seen.fingerprint, Relaxed);
        self.verb.store(seen.verb as u64, Relaxed);
        self.shape.store(&seen.shape);
        self.table.store(&seen.table);
        self.component.store(&seen.site.component.label());
        self.place.store(&seen.site.place);
        self.store_numbers(seen);
    }

    fn store_numbers(&self, seen: &Observed) {
        self.count.store(seen.tally.count, Relaxed);
        self.total.store(seen.tally.total, Relaxed);
        self.max.store(seen.tally.max, Relaxed);
        self.failed.store(seen.tally.failed, Relaxed);
        self.slow.store(seen.tally.slow, Relaxed);
        self.n_plus_one.store(seen.n_plus_one, Relaxed);
        self.worst.store(seen.worst, Relaxed);
        self.duplicates.store(seen.duplicates, Relaxed);
        self.requests.store(seen.requests, Relaxed);
        self.last_seen.store(seen.last_seen, Relaxed);
        for (to, from) in self.histogram.iter().zip(seen.tally.histogram.0) {
            to.store(from, Relaxed);
        }
    }

    /// What is there without its texts.
    fn numbers(&self) -> Observed {
        let verb = self.verb.load(Relaxed);
        Observed {
            fingerprint: self.fingerprint.load(Relaxed),
            shape: String::new(),
            verb: Verb::ALL.into_iter().find(|known| *known as u64 == verb).unwrap_or_default(),
            table: String::new(),
            site: CallSite::unknown(),
            tally: Tally {
                count: self.count.load(Relaxed),
                total: self.total.load(Relaxed),
                max: self.max.load(Relaxed),
                failed: self.failed.load(Relaxed),
                slow: self.slow.load(Relaxed),
                histogram: Histogram(self.histogram.each_ref().map(|count| count.load(Relaxed))),
            },
            n_plus_one: self.n_plus_one.load(Relaxed),
            worst: self.worst.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            requests: self.requests.load(Relaxed),
            last_seen: self.last_seen.load(Relaxed),
        }
    }

    fn read(&self) -> Observed {
        let site =
            CallSite { component: Component::from_label(&self.component.load()), place: self.place.load() };
        Observed { shape: self.shape.load(), table: self.table.load(), site, ..self.numbers() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::Plan;

    fn seen(number: u64, nanos: u64) -> Observed {
        let mut tally = Tally::default();
        tally.record(nanos, false, false);
        Observed {
            fingerprint: number,
            shape: format!("SELECT a{number} FROM wp_posts"),
            verb: Verb::Select,
            table: "wp_posts".to_owned(),
            site: CallSite {
                component: Component::Plugin("billing".into()),
                place: format!("a.php:{number}"),
            },
            tally,
            n_plus_one: 1,
            worst: 9,
            duplicates: 2,
            requests: 1,
            last_seen: 1_000,
        }
    }

    #[test]
    fn requests_add_up_and_sites_stay_apart() {
        let segment = Segment::private(&Plan::smallest()).unwrap();
        let queries = SharedQueries::open(&segment).unwrap();
        queries.merge(b"one", &seen(1, 5_000));
        queries.merge(b"one", &Observed { worst: 30, last_seen: 2_000, ..seen(1, 9_000) });
        queries.merge(b"two", &seen(1, 1));
        let [sum] = queries.of_site(b"one").try_into().unwrap();
        assert_eq!((sum.tally.count, sum.tally.total, sum.tally.max), (2, 14_000, 9_000));
        assert_eq!(
            (sum.n_plus_one, sum.worst, sum.duplicates, sum.requests, sum.last_seen),
            (2, 30, 4, 2, 2_000)
        );
        assert_eq!(sum.shape, "SELECT a1 FROM wp_posts");
        assert_eq!(sum.site, seen(1, 0).site);
        queries.clear(b"one");
        assert!(queries.of_site(b"one").is_empty());
        assert_eq!(queries.of_site(b"two").len(), 1);
    }

    #[test]
    fn what_takes_most_time_stays_when_there_is_no_room() {
        let segment = Segment::private(&Plan::smallest()).unwrap();
        let queries = SharedQueries::open(&segment).unwrap();
        let many = queries.capacity() as u64 * 4;
        (1..=many).for_each(|number| queries.merge(b"one", &seen(number, 1_000)));
        assert!(segment.counters().get(Counter::QueriesDropped) > 0);
        queries.merge(b"one", &seen(0, 1_000_000));
        (1..=many).for_each(|number| queries.merge(b"one", &seen(many + number, 1_001)));
        let kept = queries.of_site(b"one");
        assert!(kept.len() <= queries.capacity());
        assert!(kept.iter().any(|query| query.fingerprint == 0), "the longest is gone");
        let late = Observed { last_seen: 1_000 + STALE + 1, ..seen(many * 9, 1) };
        queries.merge(b"one", &late);
        assert!(
            queries.of_site(b"one").iter().any(|query| query.fingerprint == many * 9),
            "stale slots stay"
        );
    }
}
