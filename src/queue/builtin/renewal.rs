//! `subscription_renewal`: one charge of one subscription for one period, at most once.
//!
//! Before: is it still due, and does the ledger allow it? Then the host charges. After: what the
//! gateway said goes into the ledger first, then into the task. A worker that dies in between
//! leaves an entry that is begun and not settled; the task is held, and only it may go on.

use serde_json::{Map, Value};

use super::{columns, number, quoted, text};
use crate::error::Result;
use crate::queue::Queue;
use crate::queue::crash::OnCrash;
use crate::queue::store::Charge;
use crate::queue::task::Task;
use crate::queue::worker::Outcome;

/// What to do about a renewal.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewal {
    /// Charge it.
    Charge {
        /// The subscription, every column as text or null.
        subscription: Map<String, Value>,
        /// What the ledger knows the charge by.
        key: String,
        /// What the gateway should know it by: the same, set apart from other sites' keys.
        idempotency_key: String,
    },
    /// There is nothing to charge.
    Over(Outcome),
}

/// What the host's charge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeResult {
    /// Money has moved.
    Charged {
        /// The gateway's number for it.
        reference: Option<String>,
    },
    /// The gateway refused; no money has moved.
    Refused(String),
    /// The host does not know whether money has moved (an exception, a time-out).
    Unknown(String),
    /// Nobody charges subscriptions on this site.
    Unhandled,
}

/// What a renewal is known by, in its payload and in the ledger.
pub fn key(subscription: u64, period: &str) -> String {
    format!("renewal-{subscription}-{period}")
}

pub(super) fn subscriptions(queue: &Queue) -> String {
    format!("{}slbp_subscriptions", queue.settings().database.prefix)
}

/// Decides whether to charge, and enters the charge in the ledger.
///
/// # Errors
/// The database's; nothing may then be charged.
pub fn begin(queue: &Queue, task: &Task) -> Result<Renewal> {
    let Some(id) = number(&task.task_data, "subscription_id").filter(|id| *id > 0) else {
        return Ok(Renewal::Over(Outcome::Dead("task_data has no subscription_id".to_owned())));
    };
    let Some(subscription) = load(queue, id)? else {
        return Ok(Renewal::Over(Outcome::Dead(format!("there is no subscription {id}"))));
    };
    let status = subscription.get("status").and_then(Value::as_str).unwrap_or_default();
    if !matches!(status, "active" | "past_due") {
        return Ok(Renewal::Over(Outcome::Cancelled));
    }
    let store = queue.on(queue.link())?;
    let due = billing_date(&subscription);
    let period = match text(&task.task_data, "period") {
        // The date has moved on: this period has been billed, by whomever.
        Some(period) if due.as_deref().is_some_and(|due| due > period) => {
            return Ok(Renewal::Over(Outcome::Done));
        }
        Some(period) => period.to_owned(),
        None => due.map_or_else(|| store.now().map(|now| date_of(&queue.zone().show(now))), Ok)?,
    };
    let key = key(id, &period);
    Ok(match store.begin_charge(&key, task.id)? {
        Charge::Allowed => {
            let idempotency_key = format!("{}-{key}", store.origin()?);
            Renewal::Charge { subscription, key, idempotency_key }
        }
        Charge::AlreadySettled { .. } => Renewal::Over(Outcome::Done),
        Charge::InDoubt { task_id } => Renewal::Over(Outcome::Held(format!(
            "task {task_id} began this charge and did not say how it ended; look it up at the gateway"
        ))),
    })
}

/// Writes what came of the charge. One that may or may not have moved money is as a crash in the
/// middle of it, and treated by the same wish.
///
/// # Errors
/// The database's. The entry then stays begun, and the task must not be reported as done.
pub fn settle(
    queue: &Queue,
    task: &Task,
    key: &str,
    result: ChargeResult,
    on_crash: OnCrash,
) -> Result<Outcome> {
    let store = queue.on(queue.link())?;
    match result {
        ChargeResult::Charged { reference } => {
            store.settle_charge(key, task.id, reference.as_deref())?;
            Ok(Outcome::Done)
        }
        ChargeResult::Refused(message) => {
            store.fail_charge(key, task.id)?;
            Ok(Outcome::Failed(message))
        }
        ChargeResult::Unknown(message) if on_crash == OnCrash::Retry => Ok(Outcome::Failed(message)),
        ChargeResult::Unknown(message) => Ok(Outcome::Held(format!(
            "{message}; held, because money may have moved: look it up at the gateway"
        ))),
        ChargeResult::Unhandled => {
            store.fail_charge(key, task.id)?;
            let message = "nobody charges: add a filter for slbp_charge_subscription, then retry this task";
            Ok(Outcome::Held(message.to_owned()))
        }
    }
}

fn load(queue: &Queue, id: u64) -> Result<Option<Map<String, Value>>> {
    let store = queue.on(queue.link())?;
    let table = subscriptions(queue);
    let names = match queue.subscription_columns.get() {
        Some(known) => known,
        None => {
            let found = columns(store.db, &table)?;
            if found.is_empty() {
                return Ok(None);
            }
            queue.subscription_columns.get_or_init(|| found)
        }
    };
    let rows = store.db.query(&format!("SELECT {} FROM {table} WHERE id = {id}", quoted(names)))?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    Ok(Some(names.iter().cloned().zip(row.into_iter().map(Value::from)).collect()))
}

fn billing_date(subscription: &Map<String, Value>) -> Option<String> {
    let text = subscription.get("next_billing_date")?.as_str()?;
    Some(date_of(text)).filter(|date| !date.starts_with("0000"))
}

fn date_of(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}
