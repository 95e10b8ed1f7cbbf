//! What is known of one shape of query from one place: the plain record that one request gathers, that
//! shared memory adds up, and that reports are made from.

use super::component::CallSite;
use super::histogram::Histogram;
use super::outline::Verb;

/// Executions in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Nanoseconds in all.
    pub total: u64,
    /// Nanoseconds of the longest.
    pub max: u64,
    /// How many the server refused.
    pub failed: u64,
    /// How many took as long as the threshold of slow queries, or longer.
    pub slow: u64,
    /// How long they took.
    pub histogram: Histogram,
}

impl Tally {
    /// Counts one execution.
    #[inline]
    pub fn record(&mut self, nanos: u64, failed: bool, slow: bool) {
        self.count += 1;
        self.total = self.total.saturating_add(nanos);
        self.max = self.max.max(nanos);
        self.failed += u64::from(failed);
        self.slow += u64::from(slow);
        self.histogram.record(nanos);
    }

    /// Adds another one's.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.saturating_add(other.total);
        self.max = self.max.max(other.max);
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
        self.histogram.merge(&other.histogram);
    }
}

/// A shape of query from one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The hash of the shape.
    pub fingerprint: u64,
    /// The shape.
    pub shape: String,
    /// What it does.
    pub verb: Verb,
    /// The first table that it names.
    pub table: String,
    /// Where it was asked for.
    pub site: CallSite,
    /// Its executions.
    pub tally: Tally,
    /// Requests in which it was an N+1.
    pub n_plus_one: u64,
    /// The most executions in one such request.
    pub worst: u64,
    /// Executions whose answer the same request had already.
    pub duplicates: u64,
    /// Requests that executed it.
    pub requests: u64,
    /// When it was last seen, unix time.
    pub last_seen: u64,
}

impl Observed {
    /// Adds what another request saw of the same.
    pub fn merge(&mut self, other: &Self) {
        self.tally.merge(&other.tally);
        self.n_plus_one = self.n_plus_one.saturating_add(other.n_plus_one);
        self.worst = self.worst.max(other.worst);
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.requests = self.requests.saturating_add(other.requests);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}
