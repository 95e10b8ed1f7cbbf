//! Reports as text: plain JSON, and `application/health+json` (draft-inadarei-api-health-check-06).
//!
//! Owns: what the public gets to see. That is a word for the whole and one for each check: no
//! version, path, host, number or message.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::report::{Entry, Report};
use super::state::{Group, State};
use crate::clock::Timestamp;

/// The media type of plain answers.
pub const JSON: &str = "application/json";

/// The media type of the draft.
pub const HEALTH_JSON: &str = "application/health+json";

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// [`JSON`].
    #[default]
    Plain,
    /// [`HEALTH_JSON`].
    HealthJson,
}

impl Format {
    /// What a client that sends `accept` gets: the draft's format only if it names it.
    pub fn for_accept(accept: Option<&str>) -> Self {
        let names = |range: &str| {
            range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(HEALTH_JSON))
        };
        if accept.is_some_and(|accept| accept.split(',').any(names)) { Self::HealthJson } else { Self::Plain }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Plain => JSON,
            Self::HealthJson => HEALTH_JSON,
        }
    }
}

/// A report, with details for whoever runs the site or without for everybody.
pub fn render(report: &Report, format: Format, instance: &str) -> Value {
    let is_detailed = report.group == Group::Detailed;
    let mut body = Map::new();
    match format {
        Format::Plain => {
            body.insert("status".to_owned(), word(report).into());
            let entries =
                report.entries.iter().map(|entry| (entry.profile.name.to_string(), plain(entry, report)));
            if report.group != Group::Live {
                body.insert("checks".to_owned(), Value::Object(entries.collect()));
            }
            body.insert("timestamp".to_owned(), iso(report.at).into());
            if is_detailed {
                body.insert("instance_id".to_owned(), instance.into());
            }
        }
        Format::HealthJson => {
            body.insert("status".to_owned(), report.state.inadarei().into());
            if is_detailed {
                body.insert("serviceId".to_owned(), instance.into());
            }
            let entries = report.entries.iter().map(|entry| (health_name(entry), health(entry, is_detailed)));
            if report.group != Group::Live {
                body.insert("checks".to_owned(), Value::Object(entries.collect()));
            }
        }
    }
    Value::Object(body)
}

/// The word for the whole: a probe's own where it has one.
fn word(report: &Report) -> &'static str {
    match (report.group, report.state) {
        (Group::Live, _) => "alive",
        (Group::Ready, State::Unhealthy) => "not_ready",
        (Group::Ready, _) => "ready",
        (Group::Health | Group::Detailed, state) => state.name(),
    }
}

fn plain(entry: &Entry, report: &Report) -> Value {
    let (outcome, finding) = (&entry.finding.outcome, &entry.finding);
    if report.group != Group::Detailed {
        return outcome.state.name().into();
    }
    json!({
        "status": outcome.state.name(),
        "critical": entry.profile.critical,
        "value": outcome.value.map(|(value, _)| value),
        "unit": outcome.value.map(|(_, unit)| unit.name()),
        "message": outcome.message,
        "checked_at": iso(finding.at),
        "age": report.at.since(finding.at).as_secs_f64(),
        "duration": finding.took.as_secs_f64(),
    })
}

fn health_name(entry: &Entry) -> String {
    format!("{}:{}", entry.profile.name, entry.profile.measurement)
}

fn health(entry: &Entry, is_detailed: bool) -> Value {
    let outcome = &entry.finding.outcome;
    let mut check = Map::new();
    check.insert("componentType".to_owned(), entry.profile.component.into());
    check.insert("status".to_owned(), outcome.state.inadarei().into());
    check.insert("time".to_owned(), iso(entry.finding.at).into());
    if let Some((value, unit)) = outcome.value.filter(|_| is_detailed) {
        check.insert("observedValue".to_owned(), value.into());
        check.insert("observedUnit".to_owned(), unit.name().into());
    }
    // §4.7: no output where the check passes.
    if is_detailed && outcome.state != State::Healthy {
        check.insert("output".to_owned(), outcome.message.clone().into());
    }
    json!([check])
}

/// ISO 8601 in UTC.
pub fn iso(instant: Timestamp) -> String {
    let nanos = i64::try_from(instant.nanos()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::Secs, true)
}
