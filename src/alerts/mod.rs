//! Alerts: who is told, once, that a figure is not as it should be, and once that it is again.
//!
//! Owns: rules with the specification's keys ([`rule`]), the state machine of an alert ([`machine`]),
//! what is remembered of all alerts ([`book`]) and where ([`shelf`]), silences, who is still to be told
//! what ([`due`]), and how it is told ([`notify`]). Refuses to do: know where a figure comes from; the
//! host hands in [`Readings`]. Refuses to run in a visitor's request; the host ticks when the response is out.
//!
//! Nothing here needs the database: rules come from a file beside the shared memory, states from
//! shared memory and that file's neighbour, so the failure of the database can itself be told. The
//! history in the table is written when there is a database to write to.
//!
//! Invariant: one worker at a time evaluates and sends (a lease). What it is about to send it writes
//! down first and crosses out after, so that a worker killed anywhere neither loses a message nor
//! lets others send it again; one killed in the very instant between the receiver's answer and the
//! pen has it sent twice, with the same `X-SLBP-Delivery`.
//!
//! Names follow Prometheus (`rules/alerting.go`: inactive, pending, firing, resolved; `for`,
//! `keep_firing_for`) and Alertmanager (grouping, inhibition, silences, repeat interval, the
//! notification log), whose semantics these are unless a comment says otherwise.

pub mod book;
pub mod due;
pub mod engine;
pub mod history;
pub mod machine;
pub mod message;
pub mod notify;
pub mod rule;
pub mod shelf;
pub mod silence;

use std::collections::BTreeMap;

pub use engine::{Engine, Report, Transition};

/// Label names and values, in order.
pub type Labels = BTreeMap<String, String>;

/// One figure of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What tells it from the metric's other figures.
    pub labels: Labels,
    /// The figure, in the metric's own unit.
    pub value: f64,
}

impl Reading {
    /// The only figure of a metric without labels.
    pub fn of(value: f64) -> Self {
        Self { labels: Labels::new(), value }
    }
}

/// Where figures come from.
pub trait Readings {
    /// Every figure of `metric`; none when it does not exist or has not been measured.
    fn of(&self, metric: &str) -> Vec<Reading>;
}

/// Figures by name, each without labels.
impl Readings for BTreeMap<&str, f64> {
    fn of(&self, metric: &str) -> Vec<Reading> {
        self.get(metric).map(|value| Reading::of(*value)).into_iter().collect()
    }
}
