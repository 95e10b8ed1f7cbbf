//! How long executions took: counts in buckets that grow by the square root of two.
//!
//! Forty-eight buckets reach from 1 µs to 16 s; a quantile read from them is off by at most a fifth.
//! Adding one is a few instructions, and two histograms are added bucket by bucket.

/// Buckets of a histogram.
pub const BUCKETS: usize = 48;

/// Below this many nanoseconds everything is in the first bucket.
const FLOOR: u64 = 1_000;

/// Counts by duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram(pub [u32; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Histogram {
    /// Counts one execution of `nanos`.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        if let Some(count) = self.0.get_mut(bucket(nanos)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds another one's counts.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// The duration in nanoseconds below which `share` (0 to 1) of the executions lie; 0 when there was
    /// none.
    pub fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let rank = (share.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let holding = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        holding.map_or(0, middle)
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let Some(octave) = (nanos / FLOOR).checked_ilog2() else { return 0 };
    let is_upper_half = (nanos >> octave) * 10_000 >= FLOOR * 14_142;
    (octave as usize * 2 + usize::from(is_upper_half)).min(BUCKETS - 1)
}

/// The geometric middle of a bucket, in nanoseconds.
fn middle(bucket: usize) -> u64 {
    (FLOOR as f64 * 2_f64.powf(bucket as f64 / 2.0 + 0.25)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_split_the_executions() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.95), 0);
        (0..90).for_each(|_| histogram.record(100_000));
        (0..10).for_each(|_| histogram.record(2_000_000_000));
        assert!((80_000..125_000).contains(&histogram.quantile(0.5)));
        assert!((1_600_000_000..2_400_000_000).contains(&histogram.quantile(0.95)));
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_at_most_a_fifth(nanos in 1_000u64..16_000_000_000) {
            let mut histogram = Histogram::default();
            histogram.record(nanos);
            let error = histogram.quantile(0.5) as f64 / nanos as f64;
            prop_assert!((0.8..1.2).contains(&error), "{nanos}: {error}");
        }

        #[test]
        fn any_duration_has_a_bucket(nanos: u64, other: u64) {
            prop_assert!(bucket(nanos) < BUCKETS);
            prop_assert!(bucket(nanos.min(other)) <= bucket(nanos.max(other)));
        }
    }
}
