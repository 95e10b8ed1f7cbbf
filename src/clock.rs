//! Time, injected.
//!
//! Owns: what "now" means. Instants are nanoseconds since the Unix epoch in UTC, in one `u64`
//! (good until the year 2554). Refuses to do: time zones and formatting; those belong to the
//! domain that shows a date to a person.
//!
//! The wall clock is used, not a monotonic one, because every worker, the CLI and a file-backed
//! segment that outlives a reload must agree on it. Wall clocks step; each policy that keeps an
//! instant says what it does when time goes backwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds in a second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// An instant: nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `secs` seconds after the epoch (saturating at the end of time).
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// This instant moved forward by `by`, saturating.
    pub const fn plus(self, by: Duration) -> Self {
        let nanos = by.as_nanos();
        Self(self.0.saturating_add(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Where a domain gets the time from.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock, read through the vDSO. `SystemTime` would do, but it costs another 100
/// instructions to find the difference to the epoch, twice in every check of the limiter.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = clock_gettime(ClockId::Realtime);
        // A clock before 1970 is a broken one; it reads as the epoch.
        let secs = u64::try_from(time.tv_sec).unwrap_or(0);
        Timestamp(secs.saturating_mul(NANOS_PER_SEC).saturating_add(time.tv_nsec as u64))
    }
}

/// The wall clock as of the kernel's last tick: at most 4 ms late, and a read costs a fifth. For
/// instants that nobody compares with anything finer, such as the expiry of a cached value.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl Clock for CoarseClock {
    fn now(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        Timestamp(seconds.saturating_mul(NANOS_PER_SEC).saturating_add(nanos))
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.nanos()))
    }

    /// Moves the clock to `instant`, forwards or backwards.
    pub fn set(&self, instant: Timestamp) {
        self.0.store(instant.nanos(), Ordering::SeqCst);
    }

    /// Moves the clock forward by `by`.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_system_clock_is_the_wall_clock() {
        let reference = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let ours = SystemClock.now();
        assert!(ours.nanos().abs_diff(reference) < NANOS_PER_SEC, "{} and {reference}", ours.nanos());
        assert_eq!(ours.secs(), ours.nanos() / NANOS_PER_SEC);
    }
}
