//! Waiting for a lock: short at first, longer later, never in step with others, and not for ever.

use std::time::Duration;

use crate::clock::Timestamp;

const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

/// How long to wait before each further try.
#[derive(Clone, Debug)]
pub struct Backoff {
    step: Duration,
    deadline: Timestamp,
    random: u64,
}

impl Backoff {
    /// Tries until `patience` after `now`. `seed` differs between those who wait.
    pub fn new(now: Timestamp, patience: Duration, seed: u64) -> Self {
        Self { step: SHORTEST, deadline: now.plus(patience), random: seed | 1 }
    }

    /// How long to sleep, at least half of each step and at most `useful` (when the lock ends);
    /// `None`: the time is over.
    pub fn next(&mut self, now: Timestamp, useful: Duration) -> Option<Duration> {
        let left = self.deadline.since(now);
        if left.is_zero() {
            return None;
        }
        // xorshift64 (Marsaglia 2003): nobody gains by guessing it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = self.step / 2;
        let jitter = half.mul_f64((self.random >> 11) as f64 / (1u64 << 53) as f64);
        self.step = (self.step * 2).min(LONGEST);
        Some((half + jitter).min(left).min(useful.max(SHORTEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_to_their_bound_and_end_with_the_patience(seed: u64, patience in 1u64..20_000) {
            let start = Timestamp::from_secs(1_000);
            let patience = Duration::from_millis(patience);
            let mut backoff = Backoff::new(start, patience, seed);
            let (mut now, mut tries) = (start, 0);
            while let Some(wait) = backoff.next(now, Duration::from_secs(30)) {
                prop_assert!(wait <= LONGEST && !wait.is_zero());
                now = now.plus(wait);
                tries += 1;
            }
            prop_assert_eq!(now, start.plus(patience));
            prop_assert!(tries <= 5 + patience.as_millis() / 25 + 1);
        }
    }

    #[test]
    fn two_who_wait_do_not_keep_step() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Timestamp::default(), Duration::from_secs(10), seed);
            (0..8).map(|_| backoff.next(Timestamp::default(), Duration::from_secs(30))).collect::<Vec<_>>()
        };
        assert_ne!(waits(0x9E37_79B9_7F4A_7C15), waits(0xC2B2_AE3D_27D4_EB4F));
    }
}
