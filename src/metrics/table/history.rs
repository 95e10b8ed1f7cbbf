//! What a site's totals were at the beginning of each minute, quarter of an hour and hour.
//!
//! Totals only grow. The first who notices that a period has begun writes down what they are, so a
//! difference of two notes is what happened between them, and a period without a note is one in
//! which nothing happened (or whose writer was killed: then its share falls to the one before). No
//! count is ever set back, so no update can be lost to somebody who does that.

use std::sync::atomic::{AtomicU64, Ordering::*};

use super::Table;

/// Totals that are kept, see [`Total`].
pub const TOTALS: usize = 8;

/// What adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Total {
    /// Requests that ended.
    Requests = 0,
    /// Of those, the ones with a status of 500 and above.
    Errors = 1,
    /// Their durations, microseconds.
    Micros = 2,
    /// Their memory peaks, bytes.
    Memory = 3,
    /// Values that the cache found, all sites.
    CacheHits = 4,
    /// Values that were looked for, all sites.
    CacheLookups = 5,
    /// Events that bear on security.
    SecurityEvents = 6,
    /// REST requests that were refused (401, 403, 429).
    RefusedRest = 7,
}

/// A length of time for which totals are noted down, and how many notes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// 60 s; six hours of them.
    Minute,
    /// 900 s; a day of them.
    Quarter,
    /// 3600 s; a week of them.
    Hour,
}

const MINUTES: usize = 361;
const QUARTERS: usize = 97;
const HOURS: usize = 169;

impl Period {
    const ALL: [Period; 3] = [Period::Minute, Period::Quarter, Period::Hour];

    /// Its length in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Period::Minute => 60,
            Period::Quarter => 900,
            Period::Hour => 3600,
        }
    }
}

crate::shm::region::shared_struct! {
    struct Note {
        /// The number of the period, 0 while the note is written.
        period: AtomicU64,
        totals: [AtomicU64; TOTALS],
    }
}

crate::shm::region::shared_struct! {
    /// Zeros are a free slot.
    pub struct HistorySlot {
        /// The site.
        pub tag: AtomicU64,
        /// The period of each kind that was noted last.
        last: [AtomicU64; 3],
        spare: [AtomicU64; 4],
        totals: [AtomicU64; TOTALS],
        minutes: [Note; MINUTES],
        quarters: [Note; QUARTERS],
        hours: [Note; HOURS],
    }
}

/// Totals at one moment.
pub type Totals = [u64; TOTALS];

impl HistorySlot {
    /// Adds to a total.
    pub fn add(&self, total: Total, by: u64) {
        if let Some(word) = self.totals.get(total as usize) {
            word.fetch_add(by, Relaxed);
        }
    }

    /// Sets the totals that are counted elsewhere.
    pub fn copy(&self, total: Total, value: u64) {
        if let Some(word) = self.totals.get(total as usize) {
            word.store(value, Relaxed);
        }
    }

    /// The totals now.
    pub fn now(&self) -> Totals {
        self.totals.each_ref().map(|word| word.load(Relaxed))
    }

    /// Whether a period began before `now` that nobody has noted.
    pub fn is_due(&self, now: u64) -> bool {
        let minute = now / Period::Minute.seconds();
        self.last.first().is_some_and(|last| last.load(Relaxed) != minute)
    }

    /// Notes the totals for every period that has begun and has no note. `now` in seconds.
    pub fn note(&self, now: u64) {
        for (last, period) in self.last.iter().zip(Period::ALL) {
            let (number, seen) = (now / period.seconds(), last.load(Relaxed));
            if seen == number || last.compare_exchange(seen, number, AcqRel, Relaxed).is_err() {
                continue;
            }
            let notes = self.notes(period);
            if let Some(note) = notes.get(number as usize % notes.len()) {
                note.period.store(0, Relaxed);
                std::sync::atomic::fence(Release);
                for (word, total) in note.totals.iter().zip(self.now()) {
                    word.store(total, Relaxed);
                }
                note.period.store(number, Release);
            }
        }
    }

    /// The notes of `period` that begin at `from` or later (seconds), in order: when, and the totals then.
    pub fn since(&self, period: Period, from: u64) -> Vec<(u64, Totals)> {
        let mut found: Vec<(u64, Totals)> = self
            .notes(period)
            .iter()
            .filter_map(|note| note.read(period))
            .filter(|(at, _)| *at >= from)
            .collect();
        found.sort_unstable_by_key(|(at, _)| *at);
        found
    }

    fn notes(&self, period: Period) -> &[Note] {
        match period {
            Period::Minute => &self.minutes,
            Period::Quarter => &self.quarters,
            Period::Hour => &self.hours,
        }
    }
}

impl Note {
    fn read(&self, period: Period) -> Option<(u64, Totals)> {
        let number = self.period.load(Acquire);
        let totals = self.totals.each_ref().map(|word| word.load(Relaxed));
        std::sync::atomic::fence(Acquire);
        let is_whole = number != 0 && self.period.load(Relaxed) == number;
        is_whole.then_some((number * period.seconds(), totals))
    }
}

impl<'a> Table<'a> {
    /// The history of a site, taken if it has none; `None` when all are other sites'.
    pub fn history(&self, tag: u64) -> Option<&'a HistorySlot> {
        super::claim(self.histories, tag, |slot| &slot.tag).map(|(slot, _)| slot)
    }
}
