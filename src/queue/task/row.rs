//! A task as it stands in the table.

use serde::Serialize;
use serde_json::Value;

use crate::ports::{DatabaseFault, Row};
use crate::queue::crash::OnCrash;
use crate::queue::sql::{Columns, unreadable};
use crate::queue::state::State;

/// How far a task is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all; 0 when the task does not know.
    pub total: u64,
    /// What it is doing.
    pub message: String,
    /// Seconds until it is done at the speed so far; `None` while that cannot be told.
    pub eta: Option<u64>,
}

impl Progress {
    /// With the time left, for a task that began `elapsed` microseconds ago.
    #[must_use]
    pub fn estimated(mut self, elapsed: i64) -> Self {
        let left = self.total.saturating_sub(self.done);
        let per_unit = (self.done > 0 && self.total > 0).then(|| elapsed.max(0) as f64 / self.done as f64);
        self.eta = per_unit.map(|micros| (micros * left as f64 / 1e6).ceil() as u64);
        self
    }
}

/// One task. The names are those of PHP's arrays and of the public columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
    /// Its number.
    pub id: u64,
    /// What to do.
    pub task_type: String,
    /// With what.
    pub task_data: Value,
    /// Lower is sooner.
    pub priority: i32,
    /// The public word for `state`.
    pub status: &'static str,
    /// Where it is in its life.
    #[serde(serialize_with = "state_name")]
    pub state: State,
    /// Which workers take it.
    pub queue: String,
    /// How many attempts have failed.
    pub retry_count: u32,
    /// The attempt that runs or comes next, from 1.
    pub attempt: u32,
    /// How often it may run in all; `None` leaves it to the settings.
    pub max_attempts: Option<u32>,
    /// How often its worker died.
    pub crash_count: u32,
    /// What becomes of it when that happens; `None` leaves it to the type.
    #[serde(serialize_with = "wish_word")]
    pub on_crash: Option<OnCrash>,
    /// Seconds it may run; `None` leaves it to the type.
    pub timeout: Option<u32>,
    /// The batch it belongs to.
    pub batch_id: Option<String>,
    /// What it waits for, or waited for.
    pub after: Vec<String>,
    /// What a payment gateway should be given, so that a second try is no second charge.
    pub idempotency_key: String,
    /// When it may run: microseconds since the epoch, in PHP seconds.
    #[serde(serialize_with = "seconds")]
    pub run_at: i64,
    /// The same on the site's clock.
    pub scheduled_at: Option<String>,
    /// When a worker last took it, on the site's clock.
    pub started_at: Option<String>,
    /// When it ended, on the site's clock.
    pub completed_at: Option<String>,
    /// When it was queued, on the site's clock.
    pub created_at: Option<String>,
    /// Why it failed, or failed last.
    pub error_message: Option<String>,
    /// How far it is.
    pub progress: Progress,
    /// Whether somebody asked it to stop.
    pub cancel_requested: bool,
    /// Who runs it, or ran it last: host and process id.
    pub worker: Option<String>,
}

fn state_name<S: serde::Serializer>(state: &State, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&format!("{state:?}").to_ascii_lowercase())
}

fn seconds<S: serde::Serializer>(micros: &i64, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(*micros as f64 / 1e6)
}

fn wish_word<S: serde::Serializer>(wish: &Option<OnCrash>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_some(&wish.map(OnCrash::word))
}

impl Task {
    /// What [`Task::read`] reads, in its order.
    pub const COLUMNS: &'static str = "id, task_type, task_data, priority, state, queue, retry_count, max_attempts, \
        crash_count, on_crash, timeout, batch_id, after_tasks, run_at, scheduled_at, started_at, completed_at, \
        created_at, error_message, progress_done, progress_total, progress_message, cancel_requested, worker";

    /// Reads a row of [`Task::COLUMNS`]. `origin` sets this queue's keys apart from another site's.
    ///
    /// # Errors
    /// A fault when a column does not hold what it should.
    pub fn read(row: &Row, origin: &str) -> Result<Self, DatabaseFault> {
        let mut columns = Columns::of(row);
        let id = columns.number()?;
        let task_type = columns.text()?.to_owned();
        let task_data = payload(columns.text()?);
        let priority = columns.number()?;
        let state = State::from_code(columns.number()?).ok_or_else(|| unreadable("an unknown state"))?;
        let queue = columns.text()?.to_owned();
        let retry_count = columns.number()?;
        Ok(Self {
            idempotency_key: idempotency_key(&task_data, origin, id),
            id,
            task_type,
            task_data,
            priority,
            status: state.status(),
            state,
            queue,
            retry_count,
            attempt: retry_count.saturating_add(1),
            max_attempts: columns.optional()?,
            crash_count: columns.number()?,
            on_crash: columns.optional()?.and_then(OnCrash::from_code),
            timeout: columns.optional()?,
            batch_id: columns.optional_text()?.map(str::to_owned),
            after: columns.text()?.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            run_at: columns.number()?,
            scheduled_at: columns.optional_text()?.map(str::to_owned),
            started_at: columns.optional_text()?.map(str::to_owned),
            completed_at: columns.optional_text()?.map(str::to_owned),
            created_at: columns.optional_text()?.map(str::to_owned),
            error_message: columns.optional_text()?.map(str::to_owned),
            progress: Progress {
                done: columns.number()?,
                total: columns.number()?,
                message: columns.text()?.to_owned(),
                eta: None,
            },
            cancel_requested: columns.number::<u8>()? != 0,
            worker: columns.optional_text()?.map(str::to_owned),
        })
    }

    /// Whether this attempt is the last when `otherwise` attempts are the rule.
    pub fn is_last_attempt(&self, otherwise: u32) -> bool {
        self.attempt >= self.max_attempts.unwrap_or(otherwise)
    }
}

/// Rows of other code may hold text that is no JSON (PHP's serialize): it is shown as it is.
fn payload(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The same for every attempt of a task, after a crash too, because the attempt before may have
/// reached the gateway. A payload that names its own key has a reason: the key of a renewal is the
/// subscription and the period, so that two tasks for one period share it.
fn idempotency_key(data: &Value, origin: &str, id: u64) -> String {
    match data.get("idempotency_key").and_then(Value::as_str) {
        Some(key) => format!("{origin}-{key}"),
        None => format!("{origin}-task-{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_the_tasks_own_or_what_the_payload_names() {
        assert_eq!(idempotency_key(&json!({"a": 1}), "slbp", 7), "slbp-task-7");
        assert_eq!(
            idempotency_key(&json!({"idempotency_key": "renewal-5-2024-01"}), "x", 7),
            "x-renewal-5-2024-01"
        );
    }

    #[test]
    fn what_is_left_is_estimated_from_what_is_done() {
        let progress =
            |done, total| Progress { done, total, ..Progress::default() }.estimated(10_000_000).eta;
        assert_eq!(progress(25, 100), Some(30));
        assert_eq!(progress(100, 100), Some(0));
        assert_eq!(progress(0, 100), None);
        assert_eq!(progress(5, 0), None);
    }
}
