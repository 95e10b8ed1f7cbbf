//! One counter, cleared at multiples of the window since the epoch, as the existing plugin counts.
//!
//! The window is `[start, end)`. Its known weakness is the edge: a client may send a whole limit
//! just before it and another just after.
//!
//! Word: window index (32 bits), count (32 bits).

use std::time::Duration;

use super::{Quota, Step, Verdict, Wait};
use crate::clock::Timestamp;

pub(super) fn spend(quota: &Quota, word: u64, now: Timestamp, cost: u32) -> Step {
    let index = index_at(quota, now);
    let end = end_of(quota, index);
    let (stored, count) = unpack(word);
    let from_the_future = stored > index;
    let used = if stored < index { 0 } else { count };
    let total = used.saturating_add(cost);
    let allowed = total <= quota.limit;
    let kept = if allowed { total } else { used };
    let wait = match cost {
        _ if allowed => Wait::NONE,
        cost if cost > quota.limit => Wait::Forever,
        _ => Wait::For(end.since(now)),
    };
    let verdict = Verdict {
        allowed,
        remaining: quota.limit.saturating_sub(kept),
        wait,
        reset: if kept == 0 { now } else { end },
    };
    let write = (kept != used || from_the_future).then(|| pack(index, kept));
    Step { verdict, write, from_the_future }
}

pub(super) fn refund(quota: &Quota, word: u64, spent: Timestamp, cost: u32) -> u64 {
    let (stored, count) = unpack(word);
    if stored == index_at(quota, spent) { pack(stored, count.saturating_sub(cost)) } else { word }
}

fn index_at(quota: &Quota, now: Timestamp) -> u32 {
    (now.secs() / u64::from(quota.window)) as u32
}

fn end_of(quota: &Quota, index: u32) -> Timestamp {
    Timestamp::from_nanos(0).plus(Duration::from_nanos(quota.window_nanos() * (u64::from(index) + 1)))
}

pub(super) fn pack(index: u32, count: u32) -> u64 {
    u64::from(index) << 32 | u64::from(count)
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}
