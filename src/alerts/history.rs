//! What has been: the table `{prefix}slbp_alerts`.
//!
//! Owns: its columns, and that it stays small. Refuses to do: hold anything that alerting needs; a
//! site without it, or without a database, is alerted all the same.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::book::Event;
use super::machine::Phase;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ports::{Database, DatabaseFault, Row};

/// How long an event is kept.
const KEPT_SECONDS: u64 = 90 * 24 * 3600;

/// The most events that are kept.
const MOST: u64 = 10_000;

/// The server's number for a table that does not exist.
const NO_TABLE: u16 = 1146;

/// Writes `events`, makes the table where it is missing, and removes what is too old or too much.
///
/// # Errors
/// What the database refuses, or that it does not answer; the events may be written again, they are
/// known by their host and number.
pub fn record(
    db: &dyn Database,
    table: &str,
    instance: &str,
    events: &[Event],
    now: Timestamp,
) -> Result<()> {
    check(table)?;
    if events.is_empty() {
        return Ok(());
    }
    let insert = insertion(table, instance, events);
    match db.execute(&insert) {
        Err(fault) if fault.code == NO_TABLE => {
            create(db, table)?;
            db.execute(&insert)?;
        }
        other => _ = other?,
    }
    prune(db, table, now)?;
    Ok(())
}

/// The newest events, newest first.
///
/// # Errors
/// When the database does not answer. A table that is not there yet has no events.
pub fn recent(db: &dyn Database, table: &str, limit: u32) -> Result<Vec<Value>> {
    check(table)?;
    let select = format!(
        "SELECT alert_name, state, severity, metric, current_value, threshold, labels, message, instance_id, occurred_at \
         FROM {table} ORDER BY occurred_at DESC, id DESC LIMIT {limit}"
    );
    match db.query(&select) {
        Err(fault) if fault.code == NO_TABLE => Ok(Vec::new()),
        rows => Ok(rows?.iter().map(shown).collect()),
    }
}

fn shown(row: &Row) -> Value {
    let text = |at: usize| row.get(at).cloned().flatten();
    let number = |at: usize| text(at).and_then(|text| text.parse::<f64>().ok());
    let labels = text(6).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    json!({
        "alert_name": text(0), "state": text(1), "severity": text(2), "metric": text(3),
        "current_value": number(4), "threshold": number(5), "labels": labels.unwrap_or(json!({})),
        "message": text(7), "instance_id": text(8),
        "timestamp": text(9).and_then(|text| text.parse::<u64>().ok()),
    })
}

fn create(db: &dyn Database, table: &str) -> Result<(), DatabaseFault> {
    db.execute(&format!(
        "CREATE TABLE IF NOT EXISTS {table} (
            id bigint unsigned NOT NULL AUTO_INCREMENT,
            event varchar(80) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
            alert_name varchar(64) NOT NULL,
            state varchar(10) NOT NULL,
            severity varchar(10) NOT NULL,
            metric varchar(200) NOT NULL,
            current_value double DEFAULT NULL,
            threshold double NOT NULL,
            labels text NOT NULL,
            message text NOT NULL,
            instance_id varchar(100) NOT NULL,
            occurred_at bigint unsigned NOT NULL,
            PRIMARY KEY (id),
            UNIQUE KEY event (event),
            KEY occurred_at (occurred_at)
        ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
    ))?;
    Ok(())
}

/// An event that is there already is left as it is.
fn insertion(table: &str, instance: &str, events: &[Event]) -> String {
    let row = |event: &Event| {
        let value = event
            .value
            .filter(|value| value.is_finite())
            .map_or("NULL".to_owned(), |value| value.to_string());
        let labels = serde_json::to_string(&event.labels).unwrap_or_default();
        let name = event_name(instance, event);
        let state = if event.state == Phase::Resolved { "resolved" } else { "firing" };
        format!(
            "({}, {}, '{state}', {}, {}, {value}, {}, {}, {}, {}, {})",
            text(&name),
            text(&event.alert),
            text(&event.severity),
            text(&event.metric),
            event.threshold,
            text(&labels),
            text(&event.message),
            text(&cut(instance, 100)),
            event.at,
        )
    };
    let rows: Vec<String> = events.iter().map(row).collect();
    format!(
        "INSERT IGNORE INTO {table} (event, alert_name, state, severity, metric, current_value, threshold, labels, \
         message, instance_id, occurred_at) VALUES {}",
        rows.join(", ")
    )
}

fn event_name(instance: &str, event: &Event) -> String {
    let host = blake3::hash(instance.as_bytes()).to_hex();
    format!("{}-{}-{}", host.get(..16).unwrap_or_default(), event.at, event.number)
}

fn prune(db: &dyn Database, table: &str, now: Timestamp) -> Result<(), DatabaseFault> {
    let oldest = now.secs().saturating_sub(KEPT_SECONDS);
    db.execute(&format!("DELETE FROM {table} WHERE occurred_at < {oldest} LIMIT 1000"))?;
    let last = db.query(&format!("SELECT id FROM {table} ORDER BY id DESC LIMIT 1 OFFSET {MOST}"))?;
    let last = last.first().and_then(|row| row.first()?.as_ref()?.parse::<u64>().ok());
    if let Some(last) = last {
        db.execute(&format!("DELETE FROM {table} WHERE id <= {last} LIMIT 1000"))?;
    }
    Ok(())
}

/// As hexadecimal digits, which mean the same under every character set and SQL mode.
fn text(text: &str) -> String {
    let mut literal = String::from("_utf8mb4 x'");
    text.bytes().for_each(|byte| _ = write!(literal, "{byte:02x}"));
    literal.push('\'');
    literal
}

fn cut(text: &str, longest: usize) -> String {
    text.get(..text.floor_char_boundary(longest)).unwrap_or(text).to_owned()
}

fn check(table: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    match !table.is_empty() && table.len() <= 64 && table.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(Error::invalid("table", format!("expected letters, digits and _, got '{table}'"))),
    }
}
