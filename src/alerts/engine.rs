//! One tick: compare, remember, tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::book::{Alert, Book, Event, Sent, fingerprint};
use super::due::{self, Due};
use super::history;
use super::machine::{Phase, Verdict, Waits};
use super::message::Facts;
use super::notify::{Courier, Notice, Outcome, Told};
use super::rule::{NoData, Rule};
use super::shelf::Kept;
use super::silence::{Silence, Silences};
use super::{Labels, Readings};
use crate::clock::{Clock, Timestamp};
use crate::error::Result;
use crate::ports::Database;

/// How long an attempt is given before another worker may take it for lost.
const ATTEMPT: Duration = Duration::from_secs(60);

/// Characters of a message that the history keeps.
const LONGEST_MESSAGE: usize = 500;

/// No tick tells for longer; what is left is told in the next.
const LONGEST_DELIVERY: Duration = Duration::from_secs(40);

/// A change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The alert's name.
    pub alert: String,
    /// The reading's labels.
    pub labels: Labels,
    /// The state it has now.
    pub state: Phase,
    /// The figure.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: f64,
    /// `warning`.
    pub severity: &'static str,
    /// Since when it is in this state.
    pub since: Timestamp,
}

/// What a tick found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What has changed, in the order of the rules.
    pub transitions: Vec<Transition>,
    /// The state of every rule that is enabled: the worst of its alerts'.
    pub states: BTreeMap<String, Phase>,
    /// Messages by channel: sent, and failed.
    pub sent: BTreeMap<&'static str, (u32, u32)>,
}

/// The rules of a site over what is remembered of its alerts.
pub struct Engine<'a> {
    /// What is watched.
    pub rules: &'a [Rule],
    /// The book.
    pub book: &'a Kept,
    /// The silences.
    pub silences: &'a Kept,
    /// The time.
    pub clock: &'a dyn Clock,
    /// What this host is called in messages.
    pub instance: &'a str,
    /// Where the site can be visited, for links; may be empty.
    pub site_url: &'a str,
    /// Draws a number, for pauses that differ.
    pub random: &'a dyn Fn() -> u64,
}

impl Engine<'_> {
    /// Compares every figure and writes down what has changed. The caller holds the lease.
    ///
    /// # Errors
    /// When the book cannot be kept anywhere: then nobody is told anything, because everybody would be
    /// told again with every tick.
    pub fn evaluate(&self, readings: &dyn Readings) -> Result<Report> {
        let mut book: Book = self.book.load();
        let before = book.clone();
        let now = self.clock.now();
        let mut report = Report::default();
        for rule in self.rules {
            report.transitions.extend(self.evaluate_rule(rule, &mut book, readings, now));
            if rule.enabled {
                report.states.insert(rule.name.clone(), book.phase_of(&rule.name));
            }
        }
        book.alerts.retain(|_, alert| {
            alert.state.phase != Phase::Inactive && self.rules.iter().any(|rule| rule.name == alert.rule)
        });
        if book != before {
            book.generation += 1;
            self.book.store(&book)?;
        }
        Ok(report)
    }

    fn evaluate_rule(
        &self,
        rule: &Rule,
        book: &mut Book,
        readings: &dyn Readings,
        now: Timestamp,
    ) -> Vec<Transition> {
        let figures = if rule.enabled { readings.of(&rule.metric) } else { Vec::new() };
        let figures: Vec<_> = figures.into_iter().filter(|reading| !reading.value.is_nan()).collect();
        let mut verdicts: BTreeMap<String, (Labels, Option<f64>, Verdict)> = BTreeMap::new();
        for known in book.alerts.values().filter(|alert| alert.rule == rule.name) {
            let verdict = match rule.no_data {
                NoData::Keep if rule.enabled => Verdict::Unknown,
                _ => Verdict::Fails,
            };
            let absent = (known.labels.clone(), None, verdict);
            verdicts.insert(fingerprint(&rule.name, &known.labels), absent);
        }
        if figures.is_empty() && rule.enabled && rule.no_data == NoData::Alert {
            let missing = (Labels::new(), None, Verdict::Holds);
            verdicts.insert(fingerprint(&rule.name, &Labels::new()), missing);
        }
        for reading in figures {
            let holds = rule.condition.holds(reading.value, rule.threshold);
            let verdict = if holds { Verdict::Holds } else { Verdict::Fails };
            let mark = fingerprint(&rule.name, &reading.labels);
            verdicts.insert(mark, (reading.labels, Some(reading.value), verdict));
        }
        let waits = Waits { wait: rule.wait, keep_firing: rule.keep_firing };
        let judge = |(mark, (labels, value, verdict))| {
            self.judge(rule, book, &waits, mark, labels, value, verdict, now)
        };
        verdicts.into_iter().filter_map(judge).collect()
    }

    #[allow(clippy::too_many_arguments, reason = "one step of the loop above, which has them all at hand")]
    fn judge(
        &self,
        rule: &Rule,
        book: &mut Book,
        waits: &Waits,
        mark: String,
        labels: Labels,
        value: Option<f64>,
        verdict: Verdict,
        now: Timestamp,
    ) -> Option<Transition> {
        let known = book.alerts.get(&mark).cloned();
        let is_new = known.is_none();
        let mut alert =
            known.unwrap_or_else(|| Alert { rule: rule.name.clone(), labels, ..Alert::default() });
        let before = alert.state;
        alert.state = before.after(verdict, waits, now);
        if verdict != Verdict::Unknown && (value.is_some() || verdict == Verdict::Holds) {
            alert.value = value;
        }
        if is_new && alert.state.phase == Phase::Inactive {
            return None;
        }
        if is_new && !book.has_room(&rule.name) {
            book.dropped += 1;
            return None;
        }
        let changed = before.phase != alert.state.phase || before.fired != alert.state.fired;
        let transition = changed.then(|| Transition {
            alert: rule.name.clone(),
            labels: alert.labels.clone(),
            state: alert.state.phase,
            value: alert.value,
            threshold: rule.threshold,
            severity: rule.severity.name(),
            since: Timestamp::from_nanos(alert.state.since),
        });
        if changed && matches!(alert.state.phase, Phase::Firing | Phase::Resolved) {
            book.note(event(rule, &alert, now));
        }
        book.alerts.insert(mark, alert);
        transition
    }

    /// Tells whoever is due. Asks `is_mine` before each message whether the lease is still the caller's.
    ///
    /// # Errors
    /// When the book cannot be kept; nothing more is sent then.
    pub fn deliver(
        &self,
        courier: &dyn Courier,
        report: &mut Report,
        is_mine: &dyn Fn() -> bool,
    ) -> Result<()> {
        let began = self.clock.now();
        let silences: Silences = self.silences.load();
        let dues = due::all(self.rules, &self.book.load(), &silences, began);
        for due in dues {
            let now = self.clock.now();
            if now.since(began) > LONGEST_DELIVERY || !is_mine() {
                break;
            }
            self.tell(&due, courier, report, now)?;
        }
        Ok(())
    }

    fn tell(&self, due: &Due, courier: &dyn Courier, report: &mut Report, now: Timestamp) -> Result<()> {
        let Some(rule) = self.rules.get(due.rule) else { return Ok(()) };
        let Some(receiver) = rule.receivers.get(due.receiver) else { return Ok(()) };
        let id = receiver.id();
        let mut book: Book = self.book.load();
        let notice = self.notice(rule, due, &id, &book, now);
        // Written down first: a worker killed while it sends must not make the next one send at once.
        self.mark(&mut book, due, &id, |sent| {
            sent.attempts += 1;
            sent.not_before = now.plus(ATTEMPT).nanos();
        })?;
        let outcome = courier.deliver(receiver, &notice);
        let now = self.clock.now();
        let mut book: Book = self.book.load();
        self.mark(&mut book, due, &id, |sent| match &outcome {
            Outcome::Delivered => {
                *sent = Sent { told: due.phase, at: now.nanos(), attempts: 0, not_before: 0, ..*sent }
            }
            Outcome::Failed { .. } if sent.attempts >= due::MOST_ATTEMPTS => {
                *sent = Sent { told: due.phase, at: now.nanos(), attempts: 0, not_before: 0, ..*sent };
            }
            Outcome::Failed { after, .. } => {
                sent.not_before = now.plus(due::pause(sent.attempts, *after, (self.random)())).nanos();
            }
        })?;
        let (good, bad) = report.sent.entry(receiver.channel()).or_default();
        match outcome {
            Outcome::Delivered => *good += 1,
            Outcome::Failed { .. } => *bad += 1,
        }
        Ok(())
    }

    /// Changes what `receiver` knows of the alerts of `due`, and keeps the book.
    fn mark(&self, book: &mut Book, due: &Due, receiver: &str, change: impl Fn(&mut Sent)) -> Result<()> {
        for mark in &due.alerts {
            let Some(alert) = book.alerts.get_mut(mark) else { continue };
            let fired = alert.state.fired;
            let sent = alert.sent.entry(receiver.to_owned()).or_default();
            if sent.fired != fired {
                *sent = Sent { fired, ..Sent::default() };
            }
            change(sent);
        }
        book.generation += 1;
        self.book.store(book)
    }

    fn notice(&self, rule: &Rule, due: &Due, receiver: &str, book: &Book, now: Timestamp) -> Notice {
        let alerts: Vec<(&String, &Alert)> =
            due.alerts.iter().filter_map(|mark| Some((mark, book.alerts.get(mark)?))).collect();
        let told = alerts.iter().map(|(mark, alert)| Told {
            fingerprint: (*mark).clone(),
            labels: alert.labels.clone(),
            value: alert.value,
            message: message(rule, alert),
            fired: Timestamp::from_nanos(alert.state.fired),
            ended: (due.phase == Phase::Resolved).then(|| Timestamp::from_nanos(alert.state.since)),
        });
        let repeats =
            alerts.iter().filter_map(|(_, alert)| alert.sent.get(receiver)).map(|sent| sent.at).max();
        Notice {
            rule: rule.name.clone(),
            metric: rule.metric_as_written.clone(),
            severity: rule.severity.name(),
            threshold: rule.threshold,
            rule_labels: rule.labels.clone(),
            group_by: rule.group_by.clone(),
            phase: due.phase,
            alerts: told.collect(),
            instance: self.instance.to_owned(),
            site_url: self.site_url.to_owned(),
            at: now,
            id: delivery_id(due, receiver, &alerts, repeats.unwrap_or(0)),
        }
    }

    /// Writes the events that the history has not got yet.
    ///
    /// # Errors
    /// The database's; the events wait.
    pub fn record(&self, db: &dyn Database, table: &str) -> Result<()> {
        let written: Vec<Event> = self.book.load::<Book>().events;
        let Some(last) = written.last().map(|event| event.number) else { return Ok(()) };
        history::record(db, table, self.instance, &written, self.clock.now())?;
        let mut book: Book = self.book.load();
        book.events.retain(|event| event.number > last);
        book.generation += 1;
        self.book.store(&book)
    }

    /// What is known of every alert, and the silences in force.
    pub fn look(&self) -> (Book, Vec<Silence>) {
        let silences: Silences = self.silences.load();
        (self.book.load(), silences.current(self.clock.now()).cloned().collect())
    }
}

/// The same for every attempt at the same message.
fn delivery_id(due: &Due, receiver: &str, alerts: &[(&String, &Alert)], repeated_after: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(receiver.as_bytes())
        .update(due.phase.name().as_bytes())
        .update(&repeated_after.to_le_bytes());
    let outbreaks: BTreeSet<_> =
        alerts.iter().map(|(mark, alert)| (mark.as_str(), alert.state.fired)).collect();
    for (mark, fired) in outbreaks {
        hasher.update(mark.as_bytes()).update(&fired.to_le_bytes());
    }
    hasher.finalize().to_hex().get(..32).unwrap_or_default().to_owned()
}

/// What a person is told of `alert`.
pub fn message(rule: &Rule, alert: &Alert) -> String {
    rule.message.fill(&Facts {
        alert: &rule.name,
        metric: &rule.metric_as_written,
        severity: rule.severity.name(),
        value: alert.value,
        threshold: rule.threshold,
        labels: &alert.labels,
    })
}

fn event(rule: &Rule, alert: &Alert, now: Timestamp) -> Event {
    Event {
        number: 0,
        at: now.secs(),
        alert: rule.name.clone(),
        state: alert.state.phase,
        severity: rule.severity.name().to_owned(),
        metric: rule.metric_as_written.clone(),
        value: alert.value,
        threshold: rule.threshold,
        labels: alert.labels.clone(),
        message: message(rule, alert).chars().take(LONGEST_MESSAGE).collect(),
    }
}
