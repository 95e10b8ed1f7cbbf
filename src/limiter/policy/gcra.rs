//! GCRA, the generic cell rate algorithm (ATM Forum Traffic Management 4.0, §4.4.2), as a virtual
//! schedule: the state is the *theoretical arrival time* (TAT) of the next request if all came
//! evenly spaced. A request is allowed while its TAT stays within `span` = burst × interval of now.
//!
//! Never more than burst + elapsed / interval requests in any time. The interval is rounded up, so
//! the rate is the configured one or a hair below, never above.
//!
//! Word: TAT in nanoseconds since the epoch.

use std::time::Duration;

use super::{MAX_WINDOW_SECS, Quota, Step, Verdict, Wait};
use crate::clock::{NANOS_PER_SEC, Timestamp};

/// An interval under a microsecond would round to a rate that is off by more than a thousandth.
pub(super) fn max_limit(window: u32) -> u32 {
    u32::try_from(u64::from(window) * 1_000_000).unwrap_or(u32::MAX)
}

/// A span beyond the longest window would leave the range in which Redis' doubles are exact.
pub(super) fn max_burst(limit: u32, window: u32) -> u32 {
    let most = u64::from(MAX_WINDOW_SECS) * NANOS_PER_SEC / interval_of(limit, window);
    u32::try_from(most).unwrap_or(u32::MAX)
}

pub(super) fn spend(quota: &Quota, word: u64, now: Timestamp, cost: u32) -> Step {
    let interval = interval_of(quota.limit, quota.window);
    let now = now.nanos();
    let full = now + interval * u64::from(quota.burst);
    // A TAT past `full` was written before the clock stepped back, or under a larger burst.
    let base = word.min(full).max(now);
    let after = base.saturating_add(interval.saturating_mul(cost.into()));
    let allowed = after <= full;
    let kept = if allowed { after } else { base };
    let wait = match cost {
        _ if allowed => Wait::NONE,
        cost if cost > quota.burst => Wait::Forever,
        _ => Wait::For(Duration::from_nanos(after - full)),
    };
    let verdict = Verdict {
        allowed,
        remaining: ((full - kept) / interval) as u32,
        wait,
        reset: Timestamp::from_nanos(kept),
    };
    let from_the_future = word > full;
    let write = (kept != base || from_the_future).then_some(kept);
    Step { verdict, write, from_the_future }
}

/// A TAT before now is as good as now, so subtracting cannot give more than was taken.
pub(super) fn refund(quota: &Quota, word: u64, cost: u32) -> u64 {
    word.saturating_sub(interval_of(quota.limit, quota.window).saturating_mul(cost.into()))
}

fn interval_of(limit: u32, window: u32) -> u64 {
    (u64::from(window) * NANOS_PER_SEC).div_ceil(u64::from(limit))
}
