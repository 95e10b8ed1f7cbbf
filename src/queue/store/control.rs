//! What a person or a handler may change about a task.

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::sql::{self, NOW, transaction};
use crate::queue::state::State;

/// The states of a task that nobody runs: it is cancelled at once.
const NOT_RUNNING: [State; 6] =
    [State::Scheduled, State::Blocked, State::Gated, State::Ready, State::Waiting, State::Held];

/// The states of a task that may be run again by a person's wish.
const REPLAYABLE: [State; 3] = [State::Held, State::Dead, State::Cancelled];

/// How many tasks one statement replays.
const CHUNK: usize = 500;

impl Store<'_> {
    /// Cancels a task: at once when nobody runs it, else its handler is asked to stop. False when
    /// there is no such task or it has ended.
    ///
    /// With a task that waits for the tasks it started, those that do not run are cancelled too.
    pub fn cancel(&self, id: u64) -> Result<bool, DatabaseFault> {
        let started = self.batch_awaited_by(id)?;
        if self.cancel_where(id, &NOT_RUNNING, "cancelled")? {
            started.iter().try_for_each(|batch| self.cancel_batch(batch, id))?;
            return Ok(true);
        }
        let asked = self.db.execute(&format!(
            "UPDATE {} SET cancel_requested = 1 WHERE id = {id} AND state = {} AND cancel_requested = 0",
            self.tables.tasks,
            State::Leased.code()
        ))?;
        Ok(asked.affected > 0)
    }

    fn batch_awaited_by(&self, id: u64) -> Result<Option<String>, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT SUBSTRING(lane, 7) FROM {} WHERE id = {id} AND state = {} AND lane LIKE 'batch:%'",
            self.tables.tasks,
            State::Waiting.code()
        ))?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    fn cancel_batch(&self, batch: &str, starter: u64) -> Result<(), DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT id FROM {} WHERE batch_id = {} AND batch_open = 1 AND state IN ({})",
            self.tables.tasks,
            sql::text(batch),
            sql::states(&NOT_RUNNING)
        ))?;
        let why = format!("task {starter}, which started it, was cancelled");
        for id in sql::numbers(&rows)? {
            self.cancel_where(id, &NOT_RUNNING, &why)?;
        }
        Ok(())
    }

    /// Cancels a task that is in one of `states`, and what waited for it.
    pub(super) fn cancel_where(&self, id: u64, states: &[State], why: &str) -> Result<bool, DatabaseFault> {
        let affected = transaction(self.db, || {
            let statement = format!(
                "UPDATE {} SET {} WHERE id = {id} AND state IN ({})",
                self.tables.tasks,
                self.ending(State::Cancelled, Some(why)),
                sql::states(states)
            );
            let affected = self.db.execute(&statement)?.affected;
            self.count_ended(&[(State::Cancelled, affected as i64)])?;
            Ok(affected)
        })?;
        if affected == 0 {
            return Ok(false);
        }
        self.wake_after_tasks(&[id])?;
        let rows = self.db.query(&format!(
            "SELECT batch_id FROM {} WHERE id = {id} AND batch_id IS NOT NULL",
            self.tables.tasks
        ))?;
        let batches: Vec<String> =
            rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
        self.wake_after_batches(&batches)?;
        Ok(true)
    }

    /// Runs a failed, held or cancelled task again, with all its attempts. False when it is none
    /// of these.
    pub fn retry(&self, id: u64) -> Result<bool, DatabaseFault> {
        Ok(self.replay(&[id])? > 0)
    }

    /// Runs every failed task again, or those of one type; answers how many.
    pub fn retry_failed(&self, task_type: Option<&str>) -> Result<u64, DatabaseFault> {
        let of_type =
            task_type.map_or_else(String::new, |name| format!("AND task_type = {}", sql::text(name)));
        let mut replayed = 0;
        let mut last = 0;
        loop {
            let ids: Vec<u64> = sql::numbers(&self.db.query(&format!(
                "SELECT id FROM {} WHERE state = {} AND id > {last} {of_type} ORDER BY id LIMIT {CHUNK}",
                self.tables.tasks,
                State::Dead.code()
            ))?)?;
            let Some(end) = ids.last() else { return Ok(replayed) };
            last = *end;
            replayed += self.replay(&ids)?;
        }
    }

    fn replay(&self, ids: &[u64]) -> Result<u64, DatabaseFault> {
        transaction(self.db, || {
            let mut replayed = 0;
            for from in REPLAYABLE {
                let statement = format!(
                    "UPDATE {} SET {}, run_at = {NOW}, retry_count = 0, crash_count = 0, cancel_requested = 0,
                     completed_at = NULL, batch_open = IF(batch_id IS NULL, NULL, 1)
                     WHERE id IN ({}) AND state = {}",
                    self.tables.tasks,
                    self.readying(),
                    sql::list(ids),
                    from.code()
                );
                let affected = self.db.execute(&statement)?.affected;
                if from.is_final() {
                    self.count_ended(&[(from, -(affected as i64))])?;
                }
                replayed += affected;
            }
            Ok(replayed)
        })
    }

    /// Notes how far a running task is. False when it does not run, or when it was asked to stop.
    pub fn progress(&self, id: u64, done: u64, total: u64, message: &str) -> Result<bool, DatabaseFault> {
        let (table, running) = (&self.tables.tasks, sql::states(&[State::Leased, State::Waiting]));
        let message: String = message.chars().take(255).collect();
        self.db.execute(&format!(
            "UPDATE {table} SET progress_done = {done}, progress_total = {total}, progress_message = {}
             WHERE id = {id} AND state IN ({running})",
            sql::text(&message)
        ))?;
        let rows = self.db.query(&format!(
            "SELECT 1 FROM {table} WHERE id = {id} AND state IN ({running}) AND cancel_requested = 0"
        ))?;
        Ok(!rows.is_empty())
    }
}
