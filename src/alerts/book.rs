//! What is remembered of all alerts of a site: one document.
//!
//! Owns: states, who has been told what (Alertmanager's notification log), and the events that the
//! history table has not got yet. It is bounded in every direction, so that a metric with too many
//! labels cannot fill the shared memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Labels;
use super::machine::{Phase, State};
use crate::clock::Timestamp;

/// Alerts of one rule: more say no more to anybody.
pub const MOST_OF_A_RULE: usize = 50;

/// Alerts of a site.
pub const MOST: usize = 300;

/// Events that wait for the database.
const MOST_EVENTS: usize = 200;

/// Everything that outlives a tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// Grows with every change: of two copies the larger one is the newer.
    pub generation: u64,
    /// The number of the last event.
    pub last_event: u64,
    /// Alerts that are not inactive, by [`fingerprint`].
    pub alerts: BTreeMap<String, Alert>,
    /// Events that the history has not got yet.
    pub events: Vec<Event>,
    /// Alerts for which there was no room.
    pub dropped: u64,
}

/// One alert.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The rule's name.
    pub rule: String,
    /// The reading's labels.
    pub labels: Labels,
    /// Where it stands.
    pub state: State,
    /// The last figure; none where it is the figure that is missing.
    pub value: Option<f64>,
    /// Who has been told, by [`super::notify::Receiver::id`].
    pub sent: BTreeMap<String, Sent>,
}

/// What one receiver knows of an alert. Instants are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The outbreak it was told of ([`State::fired`]).
    pub fired: u64,
    /// What it was told last; [`Phase::Inactive`] for nothing.
    pub told: Phase,
    /// When.
    pub at: u64,
    /// Attempts since then that failed or are under way.
    pub attempts: u32,
    /// No attempt before this.
    pub not_before: u64,
}

/// A change for the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, within this host.
    pub number: u64,
    /// When, seconds since the epoch.
    pub at: u64,
    /// The alert's name.
    pub alert: String,
    /// `firing` or `resolved`.
    pub state: Phase,
    /// The rule's severity then.
    pub severity: String,
    /// The metric, as the configuration names it.
    pub metric: String,
    /// The figure.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: f64,
    /// The reading's labels.
    pub labels: Labels,
    /// What a person is told.
    pub message: String,
}

impl Book {
    /// Whether one more alert of `rule` may be remembered.
    pub fn has_room(&self, rule: &str) -> bool {
        let of_rule = self.alerts.values().filter(|alert| alert.rule == rule).count();
        self.alerts.len() < MOST && of_rule < MOST_OF_A_RULE
    }

    /// Puts an event down for the history; the oldest gives way.
    pub fn note(&mut self, mut event: Event) {
        self.last_event += 1;
        event.number = self.last_event;
        self.events.push(event);
        let too_many = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..too_many);
    }

    /// The worst state of `rule`'s alerts.
    pub fn phase_of(&self, rule: &str) -> Phase {
        let rank = |phase: &Phase| match phase {
            Phase::Inactive => 0,
            Phase::Resolved => 1,
            Phase::Pending => 2,
            Phase::Firing => 3,
        };
        let phases = self.alerts.values().filter(|alert| alert.rule == rule).map(|alert| alert.state.phase);
        phases.max_by_key(rank).unwrap_or_default()
    }
}

impl Sent {
    /// Whether an attempt has to wait. A time further off than any wait is one of a clock set back since.
    pub fn must_wait(&self, now: Timestamp, longest: std::time::Duration) -> bool {
        let not_before = Timestamp::from_nanos(self.not_before);
        not_before > now && not_before.since(now) <= longest
    }
}

/// What tells an alert from all others: its rule and its reading's labels.
pub fn fingerprint(rule: &str, labels: &Labels) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in
        std::iter::once(rule).chain(labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]))
    {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().get(..16).unwrap_or_default().to_owned()
}
