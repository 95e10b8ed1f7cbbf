//! When to try again after a failure: exponential backoff with jitter.
//!
//! Pure arithmetic. Jitter spreads tasks that failed together (a gateway that was down) so that
//! they do not all come back in the same second.

use std::time::Duration;

/// The delays between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Before the second attempt.
    pub base: Duration,
    /// What each further delay is multiplied with; at least 1.
    pub factor: f64,
    /// No delay is longer, but for jitter.
    pub cap: Duration,
    /// The share by which a delay may be shorter or longer, 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(300), factor: 2.0, cap: Duration::from_secs(21_600), jitter: 0.2 }
    }
}

impl Backoff {
    /// The delay after `failures` failures (at least 1); `unit` is a random number in 0..1.
    pub fn delay(&self, failures: u32, unit: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.base.as_secs_f64() * self.factor.powi(exponent);
        let bounded = grown.min(self.cap.as_secs_f64());
        let spread = 1.0 + self.jitter * (2.0 * unit - 1.0);
        Duration::try_from_secs_f64(bounded * spread).unwrap_or(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let plain = Backoff { jitter: 0.0, ..Backoff::default() };
        let seconds: Vec<u64> = (1..=9).map(|n| plain.delay(n, 0.7).as_secs()).collect();
        assert_eq!(seconds, [300, 600, 1200, 2400, 4800, 9600, 19200, 21600, 21600]);
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_share(failures in 1..=u32::MAX, unit in 0.0..1.0f64) {
            let backoff = Backoff::default();
            let delay = backoff.delay(failures, unit).as_secs_f64();
            let plain = Backoff { jitter: 0.0, ..backoff }.delay(failures, unit).as_secs_f64();
            prop_assert!((plain * 0.8 - 1e-6..=plain * 1.2 + 1e-6).contains(&delay));
        }
    }

    #[test]
    fn the_spread_uses_both_sides() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0.0), Duration::from_secs(240));
        assert!(backoff.delay(1, 0.999) > Duration::from_secs(359));
    }
}
