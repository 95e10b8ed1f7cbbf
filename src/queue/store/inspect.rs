//! What the queue shows of itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Store;
use crate::config::{Section, lax};
use crate::error::{Error, Result};
use crate::ports::{DatabaseFault, Detached};
use crate::queue::sql::{self, Columns, NOW};
use crate::queue::state::State;
use crate::queue::task::{DEFAULT_QUEUE, Task};

/// How many rows are counted one by one. Beyond it a count is what the last turn of
/// [`Store::recount`] found.
const COUNTED: u64 = 50_000;

/// The live states, whose rows are counted.
const LIVE: [State; 8] = [
    State::Foreign,
    State::Scheduled,
    State::Blocked,
    State::Gated,
    State::Ready,
    State::Leased,
    State::Waiting,
    State::Held,
];

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only these states; all when empty.
    pub states: Vec<State>,
    /// Only this type.
    pub task_type: Option<String>,
    /// Only this queue.
    pub queue: Option<String>,
    /// Only this batch.
    pub batch_id: Option<String>,
    /// Only tasks with a lower number: where the page before ended.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: u32,
}

const FILTERS: Section = Section {
    name: "$filters",
    keys: &["status", "task_type", "queue", "batch_id", "before", "limit"],
    fallbacks: &[],
};

/// How many tasks are listed when nobody says.
const PAGE: u64 = 50;

#[derive(Deserialize)]
#[serde(default)]
struct RawFilter {
    #[serde(deserialize_with = "lax::list")]
    status: Vec<String>,
    #[serde(deserialize_with = "lax::text")]
    task_type: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    queue: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    batch_id: Option<String>,
    #[serde(deserialize_with = "lax::u64")]
    before: u64,
    #[serde(deserialize_with = "lax::u64")]
    limit: u64,
}

impl Default for RawFilter {
    fn default() -> Self {
        Self { status: Vec::new(), task_type: None, queue: None, batch_id: None, before: 0, limit: PAGE }
    }
}

impl TaskFilter {
    /// Reads the filters of `get_tasks`. The status `scheduled` is the part of `pending` that waits
    /// for its time.
    ///
    /// # Errors
    /// Invalid argument for an unknown filter or a wrong value.
    pub fn read(filters: Value) -> Result<Self> {
        let raw: RawFilter = FILTERS.read(filters, &Detached::default())?;
        let mut states = Vec::new();
        for word in &raw.status {
            let found = match word.as_str() {
                "scheduled" => vec![State::Scheduled],
                status => State::with_status(status),
            };
            if found.is_empty() {
                let known = "pending, scheduled, processing, completed, failed, held or cancelled";
                return Err(Error::invalid("status", format!("expected {known}, got '{word}'")));
            }
            states.extend(found);
        }
        let limit = u32::try_from(raw.limit).ok().filter(|limit| (1..=1000).contains(limit));
        Ok(Self {
            states,
            task_type: raw.task_type,
            queue: raw.queue,
            batch_id: raw.batch_id,
            before: Some(raw.before).filter(|id| *id > 0),
            limit: limit
                .ok_or_else(|| Error::invalid("limit", format!("expected 1 to 1000, got {}", raw.limit)))?,
        })
    }
}

/// The queue in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Tasks that wait for anything, those of the future included.
    pub pending: u64,
    /// Tasks that run, or wait for tasks they started.
    pub processing: u64,
    /// Tasks that ended well.
    pub completed: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Of the pending, those of the future.
    pub scheduled: u64,
    /// Tasks that a person must decide about.
    pub held: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Seconds for which the next ready task has been due.
    pub oldest_pending_age: f64,
    /// Tasks done per second over the last five minutes.
    pub throughput: f64,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchSummary {
    /// Tasks that ended well.
    pub completed: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tasks that a person must decide about.
    pub held: u64,
    /// All others.
    pub open: u64,
}

impl BatchSummary {
    /// Tasks that have ended.
    pub fn ended(&self) -> u64 {
        self.completed + self.failed + self.cancelled
    }

    /// All tasks.
    pub fn total(&self) -> u64 {
        self.ended() + self.held + self.open
    }
}

impl fmt::Display for BatchSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} completed", self.completed)?;
        let others = [
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.held, "held"),
            (self.open, "open"),
        ];
        others
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, word)| write!(f, ", {count} {word}"))
    }
}

impl Store<'_> {
    /// One task.
    pub fn task(&self, id: u64) -> Result<Option<Task>, DatabaseFault> {
        let rows =
            self.db.query(&format!("SELECT {} FROM {} WHERE id = {id}", Task::COLUMNS, self.tables.tasks))?;
        let Some(row) = rows.first() else { return Ok(None) };
        self.with_progress(Task::read(row, self.origin()?)?).map(Some)
    }

    /// Tasks, the newest first.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<Task>, DatabaseFault> {
        let mut conditions = vec!["1 = 1".to_owned()];
        if !filter.states.is_empty() {
            conditions.push(format!("state IN ({})", sql::states(&filter.states)));
        }
        for (column, wanted) in
            [("task_type", &filter.task_type), ("queue", &filter.queue), ("batch_id", &filter.batch_id)]
        {
            conditions.extend(wanted.as_ref().map(|wanted| format!("{column} = {}", sql::text(wanted))));
        }
        conditions.extend(filter.before.map(|id| format!("id < {id}")));
        let rows = self.db.query(&format!(
            "SELECT {} FROM {} WHERE {} ORDER BY id DESC LIMIT {}",
            Task::COLUMNS,
            self.tables.tasks,
            conditions.join(" AND "),
            filter.limit.clamp(1, 1000)
        ))?;
        let origin = self.origin()?;
        rows.iter().map(|row| self.with_progress(Task::read(row, origin)?)).collect()
    }

    /// The queues that have ready tasks, and the default one. One seek in the index for each: a
    /// DISTINCT reads every ready row, 19 ms of 100,000.
    pub fn queues(&self) -> Result<Vec<String>, DatabaseFault> {
        let mut queues: Vec<String> = Vec::new();
        loop {
            let last = queues.last().map_or("", String::as_str);
            let rows = self.db.query(&format!(
                "SELECT lane FROM {} FORCE INDEX (slbp_claim) WHERE state = {} AND lane > {} ORDER BY lane LIMIT 1",
                self.tables.tasks,
                State::Ready.code(),
                sql::text(last)
            ))?;
            let Some(next) = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()) else {
                break;
            };
            queues.push(next);
        }
        if !queues.iter().any(|queue| queue == DEFAULT_QUEUE) {
            queues.push(DEFAULT_QUEUE.to_owned());
        }
        Ok(queues)
    }

    /// The queue in numbers.
    pub fn stats(&self) -> Result<Stats, DatabaseFault> {
        let mut live = [0; LIVE.len()];
        for (count, state) in live.iter_mut().zip(LIVE) {
            *count = self.count_live(state)?;
        }
        let of = |status: &str| -> u64 {
            LIVE.iter().zip(live).filter(|(state, _)| state.status() == status).map(|(_, count)| count).sum()
        };
        let [_, scheduled, ..] = live;
        Ok(Stats {
            pending: of("pending"),
            processing: of("processing"),
            held: of("held"),
            scheduled,
            completed: self.ended(State::Done)?,
            failed: self.ended(State::Dead)?,
            cancelled: self.ended(State::Cancelled)?,
            oldest_pending_age: self.oldest_pending_age()?,
            throughput: self.throughput()?,
        })
    }

    /// How the tasks of a batch stand.
    pub fn batch_summary(&self, batch: &str) -> Result<BatchSummary, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT state, COUNT(*) FROM {} WHERE batch_id = {} GROUP BY state",
            self.tables.tasks,
            sql::text(batch)
        ))?;
        let mut summary = BatchSummary::default();
        for row in &rows {
            let mut columns = Columns::of(row);
            let state = State::from_code(columns.number()?);
            let count: u64 = columns.number()?;
            match state {
                Some(State::Done) => summary.completed += count,
                Some(State::Dead) => summary.failed += count,
                Some(State::Cancelled) => summary.cancelled += count,
                Some(State::Held) => summary.held += count,
                _ => summary.open += count,
            }
        }
        Ok(summary)
    }

    /// Counts the live states that have too many rows to be counted at every question.
    pub fn recount(&self) -> Result<(), DatabaseFault> {
        for state in LIVE {
            if self.count_up_to(state, COUNTED)? == COUNTED {
                let rows = self.db.query(&format!(
                    "SELECT COUNT(*) FROM {} WHERE state = {}",
                    self.tables.tasks,
                    state.code()
                ))?;
                let count = sql::first(&rows)?.unwrap_or_default();
                self.set_number(&format!("count:{}", state.code()), count)?;
            }
        }
        self.forget_minutes()
    }

    fn count_live(&self, state: State) -> Result<u64, DatabaseFault> {
        let counted = self.count_up_to(state, COUNTED)?;
        if counted < COUNTED {
            return Ok(counted);
        }
        let known = self.number(&format!("count:{}", state.code()))?.unwrap_or_default();
        Ok(known.unsigned_abs().max(counted))
    }

    fn count_up_to(&self, state: State, most: u64) -> Result<u64, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} FORCE INDEX (slbp_claim) WHERE state = {} LIMIT {most}) live",
            self.tables.tasks,
            state.code()
        ))?;
        Ok(sql::first(&rows)?.unwrap_or_default())
    }

    fn oldest_pending_age(&self) -> Result<f64, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT {NOW} - run_at FROM {} FORCE INDEX (slbp_claim) WHERE state = {} ORDER BY lane, sort_key, run_at
             LIMIT 1",
            self.tables.tasks,
            State::Ready.code()
        ))?;
        Ok(sql::first::<i64>(&rows)?.unwrap_or_default().max(0) as f64 / 1e6)
    }

    /// A running task with the time it has left; one that waits for a batch with the batch's state.
    fn with_progress(&self, mut task: Task) -> Result<Task, DatabaseFault> {
        if task.state == State::Waiting {
            let lane =
                self.db.query(&format!("SELECT lane FROM {} WHERE id = {}", self.tables.tasks, task.id))?;
            let batch = lane.first().and_then(|row| row.first()?.as_deref()?.strip_prefix("batch:"));
            if let Some(batch) = batch {
                let summary = self.batch_summary(batch)?;
                (task.progress.done, task.progress.total) = (summary.ended(), summary.total());
                task.progress.message = summary.to_string();
            }
        }
        if task.status == State::Leased.status() {
            let began = task.started_at.as_deref().and_then(|text| self.zone.read_column(text));
            let elapsed = began.map_or(Ok(0), |began| self.now().map(|now| now - began))?;
            task.progress = task.progress.estimated(elapsed);
        }
        Ok(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_are_read_as_php_writes_them() {
        let filter =
            TaskFilter::read(json!({"status": "held,scheduled", "before": "9", "limit": 5})).unwrap();
        assert_eq!(filter.states, [State::Held, State::Scheduled]);
        assert_eq!((filter.before, filter.limit), (Some(9), 5));
        let all = TaskFilter::read(json!([])).unwrap();
        assert!(all.states.is_empty() && all.before.is_none() && all.limit == 50);
        for (wrong, named) in [
            (json!({"status": "done"}), "status"),
            (json!({"state": "held"}), "did you mean 'status'"),
            (json!({"limit": 0}), "limit"),
        ] {
            let error = TaskFilter::read(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
