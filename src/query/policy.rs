//! When a query is slow, an N+1, or a duplicate. Arithmetic, and nothing else.
//!
//! The rule for N+1 is Sentry's and prosopite's: one shape, from one place, several times in one
//! request, with different values. The time floor keeps loops out that cost nothing. What is asked
//! again with the same values is a duplicate: it wants a cache, not a join.

use std::time::Duration;

use super::outline::Verb;

/// From when on something is worth a person's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// A query that takes this long is slow.
    pub slow: Duration,
    /// So many executions in one request are an N+1.
    pub n_plus_one: u32,
    /// When they take this long together.
    pub n_plus_one_time: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { slow: Duration::from_secs(1), n_plus_one: 5, n_plus_one_time: Duration::from_millis(1) }
    }
}

impl Thresholds {
    /// Whether one execution is slow.
    #[inline]
    pub fn is_slow(&self, nanos: u64) -> bool {
        u128::from(nanos) >= self.slow.as_nanos()
    }

    /// Whether the executions of one request are an N+1.
    pub fn is_n_plus_one(&self, verb: Verb, repeats: &Repeats, nanos: u64) -> bool {
        verb == Verb::Select
            && repeats.executions >= u64::from(self.n_plus_one.max(2))
            && repeats.distinct() >= 2
            && u128::from(nanos) >= self.n_plus_one_time.as_nanos()
    }
}

/// How many sets of values are told apart per shape and place; those after them count as new.
const MOST_TOLD_APART: usize = 32;

/// With which values a query was executed in one request.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// How often in all.
    pub executions: u64,
    known: Vec<u64>,
    /// Executions with values that are not in `known`.
    beyond: u64,
}

impl Repeats {
    /// Counts an execution with these values, by their hash.
    #[inline]
    pub fn record(&mut self, literals: u64) {
        self.executions += 1;
        if self.known.contains(&literals) {
            return;
        }
        if self.known.len() < MOST_TOLD_APART {
            self.known.push(literals);
        } else {
            self.beyond += 1;
        }
    }

    /// Sets of values; at most, once there are many.
    pub fn distinct(&self) -> u64 {
        self.known.len() as u64 + self.beyond
    }

    /// Executions with values that had been there before; at least, once there are many sets.
    pub fn duplicates(&self) -> u64 {
        self.executions.saturating_sub(self.distinct())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(values: impl IntoIterator<Item = u64>) -> Repeats {
        let mut repeats = Repeats::default();
        values.into_iter().for_each(|value| repeats.record(value));
        repeats
    }

    #[test]
    fn a_loop_over_values_is_an_n_plus_one_and_repetition_is_not() {
        let rule = Thresholds::default();
        let enough = 2_000_000;
        assert!(rule.is_n_plus_one(Verb::Select, &repeats(0..5), enough));
        assert!(!rule.is_n_plus_one(Verb::Select, &repeats(0..4), enough), "too few");
        assert!(!rule.is_n_plus_one(Verb::Select, &repeats([1; 50]), enough), "the same values");
        assert!(!rule.is_n_plus_one(Verb::Select, &repeats(0..50), 999_999), "no time lost");
        assert!(!rule.is_n_plus_one(Verb::Insert, &repeats(0..50), enough), "not a question");
        assert!(rule.is_slow(1_000_000_000) && !rule.is_slow(999_999_999));
    }

    #[test]
    fn duplicates_are_what_was_asked_before() {
        assert_eq!(repeats([1, 2, 1, 1]).duplicates(), 2);
        let many = repeats(0..1000);
        assert_eq!((many.distinct(), many.duplicates()), (1000, 0));
    }
}
