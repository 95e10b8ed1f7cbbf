//! Tasks whose lease ended while they ran: their worker is dead, frozen, or cut off.

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::crash::{OnCrash, Verdict, judge};
use crate::queue::sql::{self, Columns, NOW, transaction};
use crate::queue::state::State;

/// How many tasks one turn judges; the rest waits for the next.
const CHUNK: usize = 500;

/// A task with an ended lease.
struct Abandoned {
    id: u64,
    token: u64,
    on_crash: OnCrash,
    crashes: u32,
    cancel_requested: bool,
    batch_id: Option<String>,
    worker: String,
}

impl Store<'_> {
    /// Judges the tasks whose lease has ended; answers how many there were.
    pub fn recover(&self, max_crashes: u32) -> Result<usize, DatabaseFault> {
        let abandoned = self.abandoned()?;
        for task in &abandoned {
            let how = format!("worker {} died, froze or ran into the task's time limit", task.worker);
            let verdict = judge(task.on_crash, task.crashes + 1, max_crashes, &how);
            self.apply(task, &verdict)?;
        }
        Ok(abandoned.len())
    }

    /// Every leased row is read, but there are never more than workers times their batch.
    fn abandoned(&self) -> Result<Vec<Abandoned>, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT id, lease_token, on_crash, task_type, crash_count, cancel_requested, batch_id, worker
             FROM {} FORCE INDEX (slbp_claim) WHERE state = {} AND sort_key < {NOW} LIMIT {CHUNK}",
            self.tables.tasks,
            State::Leased.code()
        ))?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                let (id, token) = (columns.number()?, columns.number()?);
                let stored = columns.optional()?.and_then(OnCrash::from_code);
                let by_type = OnCrash::default_for(columns.text()?);
                Ok(Abandoned {
                    id,
                    token,
                    on_crash: stored.unwrap_or(by_type),
                    crashes: columns.number()?,
                    cancel_requested: columns.number::<u8>()? != 0,
                    batch_id: columns.optional_text()?.map(str::to_owned),
                    worker: columns.text()?.to_owned(),
                })
            })
            .collect()
    }

    /// The token and the end of the lease are asked for again: the worker may have shown signs of
    /// life, or another one may have judged, since the row was read.
    fn apply(&self, task: &Abandoned, verdict: &Verdict) -> Result<(), DatabaseFault> {
        let (changes, ended) = match verdict {
            Verdict::Held(why) => (self.holding(why), None),
            Verdict::Dead(why) => (self.ending(State::Dead, Some(why)), Some(State::Dead)),
            Verdict::Again if task.cancel_requested => {
                (self.ending(State::Cancelled, None), Some(State::Cancelled))
            }
            Verdict::Again => (self.readying(), None),
        };
        let affected = transaction(self.db, || {
            let statement = format!(
                "UPDATE {} SET crash_count = crash_count + 1, {changes}
                 WHERE id = {} AND state = {} AND lease_token = {} AND sort_key < {NOW}",
                self.tables.tasks,
                task.id,
                State::Leased.code(),
                task.token
            );
            let affected = self.db.execute(&statement)?.affected;
            self.count_ended(&ended.map(|state| (state, affected as i64)).into_iter().collect::<Vec<_>>())?;
            Ok(affected)
        })?;
        if affected > 0 && ended.is_some() {
            self.wake_after_tasks(&[task.id])?;
            self.wake_after_batches(&task.batch_id.iter().cloned().collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Keeps leases alive for another `lease`; answers which of `ids` are still ours.
    pub fn renew(
        &self,
        ids: &[u64],
        token: u64,
        lease: std::time::Duration,
    ) -> Result<Vec<u64>, DatabaseFault> {
        let (table, listed, leased) = (&self.tables.tasks, sql::list(ids), State::Leased.code());
        let ours = format!("id IN ({listed}) AND state = {leased} AND lease_token = {token}");
        let micros = lease.as_micros();
        self.db.execute(&format!("UPDATE {table} SET sort_key = {NOW} + {micros} WHERE {ours}"))?;
        sql::numbers(&self.db.query(&format!("SELECT id FROM {table} WHERE {ours}"))?)
    }

    /// Which of these running tasks somebody asked to stop.
    pub fn cancel_requests(&self, ids: &[u64]) -> Result<Vec<u64>, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT id FROM {} WHERE id IN ({}) AND cancel_requested = 1",
            self.tables.tasks,
            sql::list(ids)
        ))?;
        sql::numbers(&rows)
    }
}
