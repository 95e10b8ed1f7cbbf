//! The limiter's GCRA as the pace of types that start no faster than their rate: the one place
//! where the two domains meet.

use crate::clock::Timestamp;
use crate::limiter::policy::{Algorithm, Quota};
use crate::queue::store::{Pace, Rate};

/// Tasks of a type start evenly: no burst beyond one.
pub struct LimiterPace;

impl LimiterPace {
    /// `None` for a rate that no gate can have: [`Store::limit_type`](crate::queue::store::Store::limit_type)
    /// refuses it.
    fn quota(rate: Rate) -> Option<Quota> {
        Quota::new(Algorithm::Gcra, rate.limit.into(), rate.window.into(), Some(1)).ok()
    }
}

impl Pace for LimiterPace {
    fn available(&self, rate: Rate, word: u64, now: Timestamp) -> u32 {
        Self::quota(rate).map_or(0, |quota| quota.peek(word, now, 0).verdict.remaining)
    }

    fn charge(&self, rate: Rate, word: u64, now: Timestamp, count: u32) -> u64 {
        Self::quota(rate).and_then(|quota| quota.spend(word, now, count).write).unwrap_or(word)
    }
}
