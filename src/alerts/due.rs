//! Who is still to be told what.
//!
//! Owns: Alertmanager's decisions over the book, without a clock of its own: what a receiver already
//! knows is not repeated before its time, a silence and a critical alert of the same figure hold a
//! warning back, and alerts of one rule that are due together share a message.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::book::{Alert, Book};
use super::machine::Phase;
use super::notify::Receiver;
use super::rule::{Rule, Severity};
use super::silence::Silences;
use crate::clock::Timestamp;

/// No receiver is left alone for longer after a failure, whatever it asks for.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// After so many failures in a row a message is given up until the next one is due.
pub const MOST_ATTEMPTS: u32 = 12;

/// One message that is due: the alerts (by fingerprint) that go into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The rule, by its place among the rules.
    pub rule: usize,
    /// The receiver, by its place in the rule.
    pub receiver: usize,
    /// [`Phase::Firing`] or [`Phase::Resolved`].
    pub phase: Phase,
    /// The alerts.
    pub alerts: Vec<String>,
}

/// What alerts of one message agree on: severity, rule, receiver, whether it is over, the labels grouped by.
type Group<'a> = (Reverse<Severity>, usize, usize, bool, Vec<&'a str>);

/// Every message that is due at `now`, the most severe first.
pub fn all(rules: &[Rule], book: &Book, silences: &Silences, now: Timestamp) -> Vec<Due> {
    let mut groups: BTreeMap<Group<'_>, Vec<String>> = BTreeMap::new();
    for (fingerprint, alert) in &book.alerts {
        let Some((place, rule)) = rules.iter().enumerate().find(|(_, rule)| rule.name == alert.rule) else {
            continue;
        };
        if silences.cover(&rule.name, now) || is_inhibited(rules, book, rule, alert) {
            continue;
        }
        let group: Vec<&str> = rule.group_by.iter().map(|name| label(rule, alert, name)).collect();
        for (number, receiver) in rule.receivers.iter().enumerate() {
            if is_due(rule, receiver, alert, now) {
                let is_resolved = alert.state.phase == Phase::Resolved;
                let key = (Reverse(rule.severity), place, number, is_resolved, group.clone());
                groups.entry(key).or_default().push(fingerprint.clone());
            }
        }
    }
    let message = |((_, rule, receiver, is_resolved, _), alerts)| {
        let phase = if is_resolved { Phase::Resolved } else { Phase::Firing };
        Due { rule, receiver, phase, alerts }
    };
    groups.into_iter().map(message).collect()
}

fn label<'a>(rule: &'a Rule, alert: &'a Alert, name: &str) -> &'a str {
    alert.labels.get(name).or_else(|| rule.labels.get(name)).map_or("", String::as_str)
}

fn is_due(rule: &Rule, receiver: &Receiver, alert: &Alert, now: Timestamp) -> bool {
    let same = alert.sent.get(&receiver.id()).filter(|sent| sent.fired == alert.state.fired);
    if same.is_some_and(|sent| sent.must_wait(now, LONGEST_PAUSE)) {
        return false;
    }
    let told = same.map_or(Phase::Inactive, |sent| sent.told);
    match (alert.state.phase, told) {
        (Phase::Firing, Phase::Firing) => {
            let last = Timestamp::from_nanos(same.map_or(0, |sent| sent.at));
            now.since(last) >= receiver.repeat(rule.repeat)
        }
        (Phase::Firing, _) => true,
        (Phase::Resolved, Phase::Firing) => rule.send_resolved,
        _ => false,
    }
}

/// A warning is held back while a critical alert about the same figure fires.
fn is_inhibited(rules: &[Rule], book: &Book, rule: &Rule, alert: &Alert) -> bool {
    let is_worse = |other: &&Rule| other.metric == rule.metric && other.severity == Severity::Critical;
    rule.severity < Severity::Critical
        && alert.state.phase == Phase::Firing
        && rules.iter().filter(is_worse).any(|worse| {
            let same = |other: &Alert| other.rule == worse.name && other.labels == alert.labels;
            book.alerts.values().any(|other| same(other) && other.state.phase == Phase::Firing)
        })
}

/// How long to leave a receiver alone after its `attempts`th failure in a row: 10 s doubled each time,
/// at most 15 minutes, a quarter of it by chance (`draw`), and never less than it asked for.
pub fn pause(attempts: u32, asked: Option<Duration>, draw: u64) -> Duration {
    let base = 10_000u64.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(900_000);
    let drawn = base - base / 4 + draw % (base / 4 + 1);
    Duration::from_millis(drawn).max(asked.unwrap_or_default()).min(LONGEST_PAUSE)
}
