//! The sliding window, approximated by two counters: what this aligned window saw, and what the
//! last one saw, weighted by how much of it the sliding window still covers:
//! `used = floor(previous × left / window) + current` (Cloudflare's and Upstash's formula). Windows
//! are aligned to the epoch, so that several hosts agree on them.
//!
//! **Bound of the approximation.** It takes the previous window's requests as evenly spread. If they
//! were, no window ever holds more than `limit`. At worst, when all of them came at its very end,
//! an interval of length `d` across the edge holds at most `limit + ceil(limit × d / window)`: for
//! a short interval that is `limit` (a fixed window allows twice that in an instant), for one whole
//! window it is below `2 × limit`. GCRA with a burst of `limit` has the same bound. A client that
//! comes evenly at its limit loses at most one request a window to the rounding.
//!
//! Time is taken in milliseconds here, rounded down: the older counter is never weighted too
//! little, and `limit × window` stays exact.
//!
//! Word: window index modulo 2^20 (20 bits), previous (22 bits), current (22 bits). Indices are
//! compared on their circle; the last sixteenth of it reads as "the clock was set back" (18 hours
//! for one-second windows, longer for others). A word that lay untouched for most of a circle (12
//! days for one-second windows) may be misread so; it costs that client at most what it once spent,
//! for one window.

use super::{Quota, Step, Verdict, Wait};
use crate::clock::Timestamp;

const COUNT_BITS: u32 = 22;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const INDEX_MASK: u64 = (1 << 20) - 1;
const CLOCK_WENT_BACK: u64 = INDEX_MASK - (INDEX_MASK >> 4);
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Both counters have 22 bits, and limit × milliseconds must be exact in a double.
pub(super) fn max_limit(window: u32) -> u32 {
    let exact = (1_u64 << 53) / (u64::from(window) * 1000);
    exact.min(COUNT_MASK) as u32
}

/// The counters as they stand at one instant.
struct Counters {
    /// Length of the window in milliseconds.
    window: u64,
    /// Milliseconds from the epoch to the end of the current window.
    end: u64,
    /// Milliseconds left of the current window, in `1..=window`.
    left: u64,
    previous: u64,
    current: u64,
    from_the_future: bool,
}

impl Counters {
    fn at(quota: &Quota, word: u64, now: Timestamp) -> Self {
        let window = u64::from(quota.window) * 1000;
        let now = now.nanos() / NANOS_PER_MILLI;
        let index = now / window;
        let (stored, previous, current) = unpack(word);
        let age = index.wrapping_sub(stored) & INDEX_MASK;
        let (previous, current) = match age {
            0 => (previous, current),
            1 => (current, 0),
            age if age >= CLOCK_WENT_BACK => (previous, current),
            _ => (0, 0),
        };
        let from_the_future = age >= CLOCK_WENT_BACK && (previous, current) != (0, 0);
        let end = (index + 1) * window;
        Self { window, end, left: end - now, previous, current, from_the_future }
    }

    fn used(&self) -> u64 {
        self.previous * self.left / self.window + self.current
    }

    /// The first instant from which `used` is at most `level`, if nobody spends.
    ///
    /// `floor(count × left / window) <= room` holds exactly while
    /// `left <= ((room + 1) × window − 1) / count`.
    fn falls_to(&self, level: u64) -> Timestamp {
        let until_left = |count: u64, room: u64| match count {
            0 => self.window,
            _ => (((room + 1) * self.window - 1) / count).min(self.window),
        };
        let millis = match level.checked_sub(self.current) {
            Some(room) => self.end - until_left(self.previous, room),
            None => self.end + self.window - until_left(self.current, level),
        };
        Timestamp::from_nanos(millis * NANOS_PER_MILLI)
    }

    fn word(&self) -> u64 {
        pack(self.end / self.window - 1, self.previous, self.current)
    }
}

pub(super) fn spend(quota: &Quota, word: u64, now: Timestamp, cost: u32) -> Step {
    let mut counters = Counters::at(quota, word, now);
    let level = quota.limit.checked_sub(cost).map(u64::from);
    let wait = match level {
        None => Wait::Forever,
        Some(level) if counters.used() <= level => Wait::NONE,
        Some(level) => Wait::For(counters.falls_to(level).since(now)),
    };
    let allowed = wait == Wait::NONE;
    if allowed {
        counters.current += u64::from(cost);
    }
    let verdict = Verdict {
        allowed,
        remaining: u64::from(quota.limit).saturating_sub(counters.used()) as u32,
        wait,
        reset: counters.falls_to(0).max(now),
    };
    let from_the_future = counters.from_the_future;
    let changed = (allowed && cost > 0) || from_the_future;
    Step { verdict, write: changed.then(|| counters.word()), from_the_future }
}

/// Where the window has turned since, the units are in the older counter.
pub(super) fn refund(quota: &Quota, word: u64, spent: Timestamp, cost: u32) -> u64 {
    let window = u64::from(quota.window) * 1000;
    let (stored, previous, current) = unpack(word);
    let cost = u64::from(cost);
    match stored.wrapping_sub(spent.nanos() / NANOS_PER_MILLI / window) & INDEX_MASK {
        0 => pack(stored, previous, current.saturating_sub(cost)),
        1 => pack(stored, previous.saturating_sub(cost), current),
        _ => word,
    }
}

pub(super) fn pack(index: u64, previous: u64, current: u64) -> u64 {
    (index & INDEX_MASK) << (2 * COUNT_BITS) | previous << COUNT_BITS | current
}

fn unpack(word: u64) -> (u64, u64, u64) {
    (word >> (2 * COUNT_BITS), word >> COUNT_BITS & COUNT_MASK, word & COUNT_MASK)
}
