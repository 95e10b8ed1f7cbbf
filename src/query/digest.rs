//! What one request asked.
//!
//! Owns: one entry per shape and place, at most [`MOST_ENTRIES`]; what does not fit is counted in the
//! totals only. Recording an execution of a known entry allocates nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use super::component::CallSite;
use super::fingerprint::{self, Scan};
use super::observed::{Observed, Tally};
use super::outline::{Outline, outline};
use super::policy::{Repeats, Thresholds};

/// So many shapes and places are told apart in one request.
pub const MOST_ENTRIES: usize = 2_000;

/// One execution of a query.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    /// Its shape and values.
    pub scan: Scan,
    /// A number for the place that asked, different for different places.
    pub place: u64,
    /// Nanoseconds it took.
    pub nanos: u64,
    /// Whether the server refused it.
    pub failed: bool,
}

struct Entry {
    shape: String,
    outline: Outline,
    site: Rc<CallSite>,
    tally: Tally,
    repeats: Repeats,
}

/// The queries of a request.
#[derive(Default)]
pub struct Digest {
    /// What counts as slow.
    pub thresholds: Thresholds,
    entries: HashMap<(u64, u64), Entry, BuildHasherDefault<Hashed>>,
    totals: Tally,
    last: Option<Scan>,
}

impl Digest {
    /// Counts an execution. `describe` tells, for a new shape or place, the statement and where it was
    /// asked for.
    #[inline]
    pub fn record<'s>(&mut self, execution: Execution, describe: impl FnOnce() -> (&'s [u8], Rc<CallSite>)) {
        let Execution { scan, place, nanos, failed } = execution;
        let slow = self.thresholds.is_slow(nanos);
        self.last = Some(scan);
        self.totals.record(nanos, failed, slow);
        let is_full = self.entries.len() >= MOST_ENTRIES;
        let entry = match self.entries.entry((scan.fingerprint, place)) {
            Slot::Occupied(known) => known.into_mut(),
            Slot::Vacant(_) if is_full => return,
            Slot::Vacant(free) => free.insert(Entry::new(describe())),
        };
        entry.tally.record(nanos, failed, slow);
        entry.repeats.record(scan.literals);
    }

    /// Whether the last execution was of this statement with these values.
    pub fn has_just_seen(&self, scan: Scan) -> bool {
        self.last == Some(scan)
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.totals.count == 0
    }

    /// All executions, those that did not fit included.
    pub fn totals(&self) -> &Tally {
        &self.totals
    }

    /// Every entry, as of unix time `now`.
    pub fn observed(&self, now: u64) -> impl Iterator<Item = Observed> {
        self.entries
            .iter()
            .map(move |((fingerprint, _), entry)| entry.observed(*fingerprint, &self.thresholds, now))
    }

    /// Forgets the executions.
    pub fn forget(&mut self) {
        self.entries.clear();
        (self.totals, self.last) = Default::default();
    }

    /// Forgets the request, and keeps its memory unless it was much.
    pub fn clear(&mut self) {
        self.forget();
        self.entries.shrink_to(MOST_ENTRIES / 8);
        self.thresholds = Thresholds::default();
    }
}

impl Entry {
    #[cold]
    fn new((sql, site): (&[u8], Rc<CallSite>)) -> Self {
        let shape = fingerprint::text(sql);
        let outline = outline(&shape);
        Self { shape, outline, site, tally: Tally::default(), repeats: Repeats::default() }
    }

    fn observed(&self, fingerprint: u64, rule: &Thresholds, now: u64) -> Observed {
        let Outline { verb, table } = self.outline.clone();
        let is_n_plus_one = rule.is_n_plus_one(verb, &self.repeats, self.tally.total);
        let is_question = verb == super::outline::Verb::Select;
        Observed {
            fingerprint,
            shape: self.shape.clone(),
            verb,
            table,
            site: CallSite::clone(&self.site),
            tally: self.tally.clone(),
            n_plus_one: u64::from(is_n_plus_one),
            worst: if is_n_plus_one { self.repeats.executions } else { 0 },
            duplicates: if is_question { self.repeats.duplicates() } else { 0 },
            requests: 1,
            last_seen: now,
        }
    }
}

/// For keys that are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(32) ^ word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::outline::Verb;

    fn ask(digest: &mut Digest, sql: &str, place: u64, nanos: u64) {
        let scan = fingerprint::scan(sql.as_bytes());
        digest.record(Execution { scan, place, nanos, failed: false }, || {
            (sql.as_bytes(), Rc::new(CallSite::unknown()))
        });
    }

    #[test]
    fn a_loop_is_one_entry_and_an_n_plus_one() {
        let mut digest = Digest::default();
        for id in 0..20 {
            ask(&mut digest, &format!("SELECT * FROM wp_postmeta WHERE post_id = {id}"), 1, 100_000);
        }
        ask(&mut digest, "SELECT * FROM wp_postmeta WHERE post_id = 1", 2, 100_000);
        let mut seen: Vec<_> = digest.observed(7).collect();
        seen.sort_by_key(|query| std::cmp::Reverse(query.tally.count));
        assert_eq!(seen.len(), 2, "two places");
        let looped = &seen[0];
        assert_eq!((looped.tally.count, looped.n_plus_one, looped.worst), (20, 1, 20));
        assert_eq!((looped.verb, looped.table.as_str(), looped.last_seen), (Verb::Select, "wp_postmeta", 7));
        assert_eq!(seen[1].n_plus_one, 0);
        assert_eq!(digest.totals().count, 21);
        digest.clear();
        assert!(digest.is_empty() && digest.observed(7).next().is_none());
    }

    #[test]
    fn identical_repeats_are_duplicates() {
        let mut digest = Digest::default();
        (0..8).for_each(|_| ask(&mut digest, "SELECT a FROM t WHERE b = 1", 1, 1_000_000));
        (0..8).for_each(|_| ask(&mut digest, "INSERT INTO t VALUES (1)", 1, 1_000_000));
        let found: Vec<_> = digest.observed(0).filter(|query| query.duplicates > 0).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].duplicates, found[0].n_plus_one), (7, 0));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut digest = Digest::default();
        for number in 0..MOST_ENTRIES as u64 + 50 {
            ask(&mut digest, &format!("SELECT a{number} FROM t"), 1, 1);
        }
        assert_eq!(digest.observed(0).count(), MOST_ENTRIES);
        assert_eq!(digest.totals().count, MOST_ENTRIES as u64 + 50);
    }
}
