//! The states of one alert: inactive → pending → firing → resolved.
//!
//! Owns: arithmetic over an injected clock. Refuses to do: send, store, compare figures.
//!
//! Time may go backwards. An instant that lies in the future is one of a clock that has been set
//! back since, and counts as now: a pending alert then waits its `for` once more, and none waits for
//! a day that has been already. (After Prometheus' rules/alerting.go; `resolved` is kept 15 minutes,
//! its resolvedRetention.)

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How long a resolved alert is shown as one.
pub const RESOLVED_FOR: Duration = Duration::from_secs(15 * 60);

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// All is well.
    #[default]
    Inactive,
    /// The condition holds, but not for long enough.
    Pending,
    /// The condition holds, and whoever wants to know is told.
    Firing,
    /// It was firing and is over.
    Resolved,
}

impl Phase {
    /// `inactive`, `pending`, `firing` or `resolved`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What the figure said this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The condition holds.
    Holds,
    /// It does not.
    Fails,
    /// There is no figure, and what was before still counts.
    Unknown,
}

/// The time limits of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// From pending to firing.
    pub wait: Duration,
    /// From the end of the condition to resolved.
    pub keep_firing: Duration,
}

/// An alert's state. Instants are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// Since when: of pending and firing, when the condition began; of resolved, when it ended.
    pub since: u64,
    /// When it began to fire, of firing and resolved: what tells one outbreak from the next.
    pub fired: u64,
    /// When the condition last held.
    pub held: u64,
}

impl State {
    /// The state after `verdict` at `now`.
    #[must_use]
    pub fn after(self, verdict: Verdict, waits: &Waits, now: Timestamp) -> Self {
        let state = self.brought_back_to(now);
        match (state.phase, verdict) {
            (_, Verdict::Unknown) => state.forgotten_at(now),
            (Phase::Inactive | Phase::Resolved, Verdict::Holds) => {
                Self { phase: Phase::Pending, since: now.nanos(), fired: 0, held: now.nanos() }
                    .ripe(waits, now)
            }
            (Phase::Inactive | Phase::Resolved, Verdict::Fails) => state.forgotten_at(now),
            (Phase::Pending, Verdict::Holds) => Self { held: now.nanos(), ..state }.ripe(waits, now),
            (Phase::Pending, Verdict::Fails) => Self::default(),
            (Phase::Firing, Verdict::Holds) => Self { held: now.nanos(), ..state },
            (Phase::Firing, Verdict::Fails) => {
                let over = now.since(Timestamp::from_nanos(state.held));
                let is_over = waits.keep_firing.is_zero() || over >= waits.keep_firing;
                if is_over { Self { phase: Phase::Resolved, since: now.nanos(), ..state } } else { state }
            }
        }
    }

    /// Pending for long enough is firing.
    fn ripe(self, waits: &Waits, now: Timestamp) -> Self {
        let waited = now.since(Timestamp::from_nanos(self.since));
        match waited >= waits.wait {
            true => Self { phase: Phase::Firing, fired: now.nanos(), ..self },
            false => self,
        }
    }

    /// Resolved for long enough is inactive.
    fn forgotten_at(self, now: Timestamp) -> Self {
        let age = now.since(Timestamp::from_nanos(self.since));
        if self.phase == Phase::Resolved && age >= RESOLVED_FOR { Self::default() } else { self }
    }

    /// No instant lies in the future. `fired` names the outbreak and stays what it is.
    fn brought_back_to(self, now: Timestamp) -> Self {
        Self { since: self.since.min(now.nanos()), held: self.held.min(now.nanos()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + secs)
    }

    fn run(steps: &[(u64, Verdict)], wait: u64, keep: u64) -> Vec<Phase> {
        let waits = Waits { wait: Duration::from_secs(wait), keep_firing: Duration::from_secs(keep) };
        let mut state = State::default();
        let step = |(secs, verdict): &(u64, Verdict)| {
            state = state.after(*verdict, &waits, at(*secs));
            state.phase
        };
        steps.iter().map(step).collect()
    }

    use Phase::{Firing, Inactive, Pending, Resolved};
    use Verdict::{Fails, Holds, Unknown};

    #[test]
    fn it_fires_after_its_time_and_resolves() {
        let steps = [(0, Holds), (29, Holds), (30, Holds), (45, Fails), (46, Fails), (945, Fails)];
        assert_eq!(run(&steps, 30, 0), [Pending, Pending, Firing, Resolved, Resolved, Inactive]);
        assert_eq!(run(&[(0, Holds), (1, Fails)], 0, 0), [Firing, Resolved]);
    }

    #[test]
    fn a_short_spike_tells_nobody() {
        assert_eq!(run(&[(0, Holds), (29, Fails), (31, Holds)], 30, 0), [Pending, Inactive, Pending]);
    }

    #[test]
    fn a_flapping_figure_keeps_firing_as_long_as_asked() {
        let steps = [(0, Holds), (10, Fails), (20, Holds), (30, Fails), (79, Fails), (80, Fails)];
        assert_eq!(run(&steps, 0, 60), [Firing, Firing, Firing, Firing, Firing, Resolved]);
    }

    #[test]
    fn an_unknown_figure_changes_nothing() {
        let steps = [(0, Holds), (10, Unknown), (40, Unknown), (41, Holds), (50, Unknown)];
        assert_eq!(run(&steps, 30, 0), [Pending, Pending, Pending, Firing, Firing]);
    }

    #[test]
    fn a_clock_set_back_makes_it_wait_once_more_and_no_longer() {
        let steps = [(10_000, Holds), (0, Holds), (29, Holds), (30, Holds)];
        assert_eq!(run(&steps, 30, 0), [Pending, Pending, Pending, Firing]);
        let steps = [(10_000, Holds), (10_000, Fails), (0, Fails), (900, Fails)];
        assert_eq!(run(&steps, 0, 0), [Firing, Resolved, Resolved, Inactive]);
    }

    fn verdicts() -> impl Strategy<Value = Verdict> {
        prop_oneof![Just(Holds), Just(Fails), Just(Unknown)]
    }

    proptest! {
        /// Whatever the clock does: it fires only out of a condition that held, resolves only out of
        /// firing, and no instant it keeps is later than the time it was told.
        #[test]
        fn every_history_is_a_legal_one(
            steps in prop::collection::vec((0u64..5_000, verdicts()), 1..60),
            wait in 0u64..120,
            keep in 0u64..120,
        ) {
            let waits = Waits { wait: Duration::from_secs(wait), keep_firing: Duration::from_secs(keep) };
            let mut state = State::default();
            for (secs, verdict) in steps {
                let next = state.after(verdict, &waits, at(secs));
                let legal = match (state.phase, next.phase) {
                    (Inactive | Pending | Resolved, Firing) => verdict == Holds,
                    (Inactive | Resolved, Pending) => verdict == Holds,
                    (Pending, Inactive) | (Firing, Resolved) => verdict == Fails,
                    (Resolved, Inactive) => true,
                    (Firing, Inactive | Pending) | (Inactive | Pending, Resolved) => false,
                    (before, after) => before == after,
                };
                prop_assert!(legal, "{:?} to {:?} by {:?}", state.phase, next.phase, verdict);
                prop_assert!(next.since <= at(secs).nanos() && next.held <= at(secs).nanos());
                state = next;
            }
        }

        /// While time only goes forward, firing is reached exactly when the condition has held all of `for`.
        #[test]
        fn forward_time_fires_on_time(gaps in prop::collection::vec(1u64..30, 1..30), wait in 0u64..100) {
            let waits = Waits { wait: Duration::from_secs(wait), keep_firing: Duration::ZERO };
            let (mut state, mut now) = (State::default(), 0);
            for gap in gaps {
                now += gap;
                state = state.after(Holds, &waits, at(now));
                let waited = now - (state.since / 1_000_000_000 - 1_700_000_000);
                prop_assert_eq!(state.phase == Firing, waited >= wait);
            }
        }
    }
}
