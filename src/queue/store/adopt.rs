//! Rows that other code wrote, or that were there before us, join the queue.
//!
//! Such a row knows only the public columns, so its `state` is 0. The existing plugin wrote its
//! times on the site's clock. What was `processing` when we came has nobody who finishes it: after
//! an hour it is treated like the task of a dead worker.

use super::Store;
use crate::ports::{DatabaseFault, Row};
use crate::queue::crash::{OnCrash, Verdict, judge};
use crate::queue::order;
use crate::queue::sql::{self, Columns, NOW, transaction};
use crate::queue::state::State;
use crate::queue::task::is_name;

/// How many rows one turn adopts, the newest first: work that waits is among the newest, and a
/// history of millions is taken in over an hour without anybody noticing.
const CHUNK: usize = 500;

/// How long the existing plugin may take over a task before it counts as abandoned, microseconds.
const PATIENCE: i64 = 3_600_000_000;

/// A row of the existing plugin.
struct Foreign {
    id: u64,
    task_type: String,
    status: String,
    scheduled_at: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
}

impl Store<'_> {
    /// Takes in a piece of what is to be adopted; answers how many rows it read.
    pub fn adopt(&self) -> Result<usize, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT id, task_type, status, scheduled_at, started_at, completed_at
             FROM {} FORCE INDEX (slbp_claim)
             WHERE state = {} AND lane = '' AND sort_key = 0 AND run_at = 0 ORDER BY id DESC LIMIT {CHUNK}",
            self.tables.tasks,
            State::Foreign.code()
        ))?;
        if rows.is_empty() {
            return Ok(0);
        }
        let foreign: Vec<Foreign> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let now = self.now()?;
        transaction(self.db, || {
            let mut changes = Vec::new();
            for row in &foreign {
                changes.extend(self.adopt_one(row, now)?);
            }
            self.count_ended(&changes)
        })?;
        Ok(foreign.len())
    }

    fn adopt_one(&self, row: &Foreign, now: i64) -> Result<Option<(State, i64)>, DatabaseFault> {
        let at = |text: &Option<String>| text.as_deref().and_then(|text| self.zone.read_column(text));
        let run_at = at(&row.scheduled_at).unwrap_or(now);
        let (changes, ended) = match row.status.as_str() {
            _ if !is_name(&row.task_type) && matches!(row.status.as_str(), "pending" | "processing") => {
                (self.ending(State::Dead, Some("its type is not a name that can run")), Some(State::Dead))
            }
            "pending" => (self.pending(run_at, now), None),
            "processing" if at(&row.started_at).is_some_and(|start| now - start < PATIENCE) => {
                return Ok(None);
            }
            "processing" => self.abandoned_by_others(row),
            "completed" => (history(State::Done, at(&row.completed_at), now), Some(State::Done)),
            "cancelled" => (history(State::Cancelled, at(&row.completed_at), now), Some(State::Cancelled)),
            _ => (history(State::Dead, at(&row.completed_at), now), Some(State::Dead)),
        };
        let statement = format!(
            "UPDATE {} SET run_at = {run_at}, {changes} WHERE id = {} AND state = {} AND status = {}",
            self.tables.tasks,
            row.id,
            State::Foreign.code(),
            sql::text(&row.status)
        );
        let affected = self.db.execute(&statement)?.affected;
        Ok(ended.map(|state| (state, affected as i64)))
    }

    fn pending(&self, run_at: i64, now: i64) -> String {
        if run_at > now {
            return format!("state = {}, lane = '', sort_key = {run_at}", State::Scheduled.code());
        }
        let key = order::key_sql("priority", NOW);
        format!("state = {}, lane = queue, sort_key = {key}", State::Ready.code())
    }

    fn abandoned_by_others(&self, row: &Foreign) -> (String, Option<State>) {
        let wish = OnCrash::default_for(&row.task_type);
        match judge(wish, 1, u32::MAX, "it was being processed when this queue took over") {
            Verdict::Again => (self.readying(), None),
            Verdict::Dead(why) => (self.ending(State::Dead, Some(&why)), Some(State::Dead)),
            Verdict::Held(why) => (self.holding(&why), None),
        }
    }
}

/// What ended before we came keeps its public columns as they are.
fn history(state: State, ended: Option<i64>, now: i64) -> String {
    format!("state = {}, lane = '', sort_key = {}", state.code(), ended.unwrap_or(now))
}

fn read(row: &Row) -> Result<Foreign, DatabaseFault> {
    let mut columns = Columns::of(row);
    Ok(Foreign {
        id: columns.number()?,
        task_type: columns.text()?.to_owned(),
        status: columns.text()?.to_owned(),
        scheduled_at: columns.optional_text()?.map(str::to_owned),
        started_at: columns.optional_text()?.map(str::to_owned),
        completed_at: columns.optional_text()?.map(str::to_owned),
    })
}
