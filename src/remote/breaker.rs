//! A circuit breaker whose state all workers of a host share.
//!
//! Owns: when to stop calling a store that fails, and who tries it again. The policy is pure
//! arithmetic on one `u64`; the word lives in shared memory, so a time-out that one worker has paid
//! for spares the others. Refuses to do: call anything.
//!
//! Closed → (three failures in a row) → open for [`Policy::pause`] → one worker probes, under a
//! lease in case it dies → closed again, or open for another pause. With the defaults a store is
//! back in use at most 2 s after it came back, 3 s when the probing worker was killed.
//!
//! (Nygard, "Release It!", 2007: Circuit Breaker; the lease is ours.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fault::{Fault, FaultKind};
use crate::clock::{Clock, Timestamp};

/// One word that all workers see.
pub trait Cell: Send + Sync {
    /// The current word.
    fn load(&self) -> u64;
    /// Replaces `current` with `new`; false when another worker was quicker.
    fn compare_exchange(&self, current: u64, new: u64) -> bool;
}

impl Cell for AtomicU64 {
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Acquire)
    }

    fn compare_exchange(&self, current: u64, new: u64) -> bool {
        AtomicU64::compare_exchange(self, current, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<C: Cell + ?Sized> Cell for &C {
    fn load(&self) -> u64 {
        (**self).load()
    }

    fn compare_exchange(&self, current: u64, new: u64) -> bool {
        (**self).compare_exchange(current, new)
    }
}

impl<C: Cell + ?Sized> Cell for Arc<C> {
    fn load(&self) -> u64 {
        (**self).load()
    }

    fn compare_exchange(&self, current: u64, new: u64) -> bool {
        (**self).compare_exchange(current, new)
    }
}

/// Where the breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls pass; so many failed in a row.
    Closed {
        /// Failures since the last success.
        failures: u8,
    },
    /// Calls are refused until then.
    Open {
        /// Milliseconds since the epoch.
        until: u64,
    },
    /// One worker is trying; calls of the others are refused until its lease ends.
    Probing {
        /// Milliseconds since the epoch.
        until: u64,
    },
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Call.
    Pass,
    /// Call: you are the one who finds out.
    Probe,
    /// Do not call.
    Refuse,
}

/// When to open, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Failures in a row that open the breaker.
    pub failures: u8,
    /// How long nobody calls before one worker may probe.
    pub pause: Duration,
    /// How long that worker may take.
    pub lease: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { failures: 3, pause: Duration::from_secs(2), lease: Duration::from_secs(1) }
    }
}

const MODE_BITS: u32 = 2;

impl State {
    /// The state in a word; zeroed memory is a closed breaker.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Closed { failures } => (failures as u64) << MODE_BITS,
            Self::Open { until } => until << MODE_BITS | 1,
            Self::Probing { until } => until << MODE_BITS | 2,
        }
    }

    /// The state of a word. Every word is one.
    pub const fn unpack(word: u64) -> Self {
        let value = word >> MODE_BITS;
        match word & 3 {
            1 => Self::Open { until: value },
            2 => Self::Probing { until: value },
            _ => Self::Closed { failures: (value & 0xFF) as u8 },
        }
    }
}

impl Policy {
    /// Whether to call at `now` (milliseconds), and the state to enter by doing so.
    pub fn admit(&self, state: State, now: u64) -> (Admission, Option<State>) {
        let (until, longest) = match state {
            State::Closed { .. } => return (Admission::Pass, None),
            State::Open { until } => (until, self.pause),
            State::Probing { until } => (until, self.lease),
        };
        // An end further away than it was ever set means that the clock stepped back.
        let waiting = now < until && until - now <= millis(longest);
        if waiting {
            return (Admission::Refuse, None);
        }
        (Admission::Probe, Some(State::Probing { until: now + millis(self.lease) }))
    }

    /// The state after a call that worked.
    pub fn succeeded(&self) -> State {
        State::Closed { failures: 0 }
    }

    /// The state after a call that failed at `now`. Late failures do not prolong a pause.
    pub fn failed(&self, state: State, now: u64) -> State {
        let open = State::Open { until: now + millis(self.pause) };
        match state {
            State::Closed { failures } if failures.saturating_add(1) < self.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } | State::Probing { .. } => open,
            State::Open { .. } => state,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX >> 16)
}

/// The breaker in front of one store.
pub struct Breaker<C> {
    cell: C,
    policy: Policy,
}

/// How often a change is tried against other workers' changes. Losing all of them only delays it.
const ATTEMPTS: usize = 8;

impl<C: Cell> Breaker<C> {
    /// The breaker whose state is in `cell`.
    pub fn new(cell: C, policy: Policy) -> Self {
        Self { cell, policy }
    }

    /// Where it stands, for statistics.
    pub fn state(&self) -> State {
        State::unpack(self.cell.load())
    }

    /// Runs `call` unless the breaker refuses, and learns from its result.
    ///
    /// # Errors
    /// [`FaultKind::BreakerOpen`] without calling, or what `call` returned.
    pub fn call<T>(&self, clock: &dyn Clock, call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        if self.admit(clock.now()) == Admission::Refuse {
            return Err(Fault::new(FaultKind::BreakerOpen, "the store failed a moment ago"));
        }
        let result = call();
        match &result {
            Err(fault) if fault.is_outage() => self.failed(clock.now()),
            _ => self.succeeded(),
        }
        result
    }

    /// Asks for permission to call at `now`.
    pub fn admit(&self, now: Timestamp) -> Admission {
        for _ in 0..ATTEMPTS {
            let word = self.cell.load();
            let (admission, next) = self.policy.admit(State::unpack(word), millis_of(now));
            match next {
                None => return admission,
                Some(state) if self.cell.compare_exchange(word, state.pack()) => return admission,
                Some(_) => {}
            }
        }
        Admission::Refuse
    }

    /// Notes that a call worked.
    pub fn succeeded(&self) {
        self.change(|_| self.policy.succeeded());
    }

    /// Notes that a call failed at `now`.
    pub fn failed(&self, now: Timestamp) {
        self.change(|state| self.policy.failed(state, millis_of(now)));
    }

    fn change(&self, next: impl Fn(State) -> State) {
        for _ in 0..ATTEMPTS {
            let word = self.cell.load();
            let new = next(State::unpack(word)).pack();
            // The common case, a success on a closed breaker, writes nothing.
            if new == word || self.cell.compare_exchange(word, new) {
                return;
            }
        }
    }
}

fn millis_of(instant: Timestamp) -> u64 {
    instant.nanos() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicUsize;

    const POLICY: Policy =
        Policy { failures: 3, pause: Duration::from_secs(2), lease: Duration::from_secs(1) };

    fn broken() -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Timeout, "no answer"))
    }

    fn opened(cell: &AtomicU64, clock: &ManualClock) {
        let breaker = Breaker::new(cell, POLICY);
        for _ in 0..3 {
            breaker.call(clock, broken).unwrap_err();
        }
    }

    #[test]
    fn three_failures_in_a_row_open_it_for_every_worker() {
        let (cell, clock) = (AtomicU64::new(0), ManualClock::at(Timestamp::from_secs(1_000)));
        let breaker = Breaker::new(&cell, POLICY);
        breaker.call(&clock, broken).unwrap_err();
        breaker.call(&clock, broken).unwrap_err();
        breaker.call(&clock, || Ok(())).unwrap();
        breaker.call(&clock, broken).unwrap_err();
        breaker.call(&clock, broken).unwrap_err();
        assert_eq!(breaker.admit(clock.now()), Admission::Pass, "a success starts the count anew");
        breaker.call(&clock, broken).unwrap_err();

        let another = Breaker::new(&cell, POLICY);
        let refused = another.call(&clock, || -> Result<(), Fault> { unreachable!() }).unwrap_err();
        assert_eq!(refused.kind(), FaultKind::BreakerOpen);
    }

    #[test]
    fn an_error_of_one_command_is_no_outage() {
        let (cell, clock) = (AtomicU64::new(0), ManualClock::default());
        let breaker = Breaker::new(&cell, POLICY);
        for _ in 0..9 {
            breaker.call(&clock, || Err::<(), _>(Fault::new(FaultKind::Command, "OOM"))).unwrap_err();
        }
        assert_eq!(breaker.state(), State::Closed { failures: 0 });
    }

    #[test]
    fn exactly_one_of_many_workers_probes() {
        let (cell, clock) = (AtomicU64::new(0), ManualClock::at(Timestamp::from_secs(1_000)));
        opened(&cell, &clock);
        clock.advance(Duration::from_secs(2));
        let probes = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| match Breaker::new(&cell, POLICY).admit(clock.now()) {
                    Admission::Probe => drop(probes.fetch_add(1, Ordering::SeqCst)),
                    admission => assert_eq!(admission, Admission::Refuse),
                });
            }
        });
        assert_eq!(probes.into_inner(), 1);
    }

    #[test]
    fn a_killed_prober_delays_the_return_by_its_lease_only() {
        let (cell, clock) = (AtomicU64::new(0), ManualClock::at(Timestamp::from_secs(1_000)));
        opened(&cell, &clock);
        clock.advance(Duration::from_secs(2));
        let breaker = Breaker::new(&cell, POLICY);
        assert_eq!(breaker.admit(clock.now()), Admission::Probe);
        assert_eq!(breaker.admit(clock.now()), Admission::Refuse);
        clock.advance(Duration::from_secs(1));
        assert_eq!(breaker.admit(clock.now()), Admission::Probe);
        breaker.succeeded();
        assert_eq!(breaker.admit(clock.now()), Admission::Pass);
    }

    #[test]
    fn a_failed_probe_waits_another_pause() {
        let (cell, clock) = (AtomicU64::new(0), ManualClock::at(Timestamp::from_secs(1_000)));
        opened(&cell, &clock);
        clock.advance(Duration::from_secs(2));
        let breaker = Breaker::new(&cell, POLICY);
        breaker.call(&clock, broken).unwrap_err();
        clock.advance(Duration::from_millis(1_999));
        assert_eq!(breaker.admit(clock.now()), Admission::Refuse);
        clock.advance(Duration::from_millis(1));
        assert_eq!(breaker.admit(clock.now()), Admission::Probe);
    }

    proptest! {
        #[test]
        fn states_survive_the_word(until in 0u64..1 << 60, failures: u8) {
            for state in [State::Closed { failures }, State::Open { until }, State::Probing { until }] {
                prop_assert_eq!(State::unpack(state.pack()), state);
            }
        }

        /// Whatever is in the cell and wherever the clock steps, nobody waits longer than a pause.
        #[test]
        fn no_word_and_no_clock_step_blocks_for_longer_than_a_pause(word: u64, now in 0u64..1 << 50) {
            let wait = millis(POLICY.pause) + 1;
            POLICY.failed(State::unpack(word), now);
            let (admission, _) = POLICY.admit(State::unpack(word), now);
            if admission == Admission::Refuse {
                let (later, _) = POLICY.admit(State::unpack(word), now + wait);
                prop_assert_ne!(later, Admission::Refuse);
            }
        }
    }
}
