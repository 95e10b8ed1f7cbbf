//! A worker is through with a task: what came of it is written, if the worker still has the lease.

use std::time::Duration;

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::order;
use crate::queue::sql::{self, NOW, transaction};
use crate::queue::state::State;

/// What comes of a task when its worker is through with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    /// It is done.
    Done,
    /// It failed and is tried again after a while.
    Retry {
        /// The while.
        after: Duration,
        /// Why it failed.
        message: String,
    },
    /// It failed for good, and why.
    Dead(String),
    /// A person decides, and why.
    Held(String),
    /// It is done when this batch is.
    Waiting(String),
    /// It is not through: it goes on later, with other data, and this was no failure.
    Again {
        /// The pause.
        after: Duration,
        /// What to go on with, JSON.
        data: String,
    },
    /// It stopped because somebody asked it to.
    Cancelled,
    /// It was not begun, and others may have it.
    Released,
}

/// One task and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The task.
    pub id: u64,
    /// The lease under which it ran.
    pub token: u64,
    /// Its batch.
    pub batch_id: Option<String>,
    /// What came of it.
    pub how: Finish,
}

impl Store<'_> {
    /// Writes what came of tasks; answers how many leases were lost, whose results are dropped.
    pub fn finish(&self, finished: &[Finished]) -> Result<u64, DatabaseFault> {
        let lost = transaction(self.db, || self.write_finished(finished))?;
        self.wake_after(finished);
        Ok(lost)
    }

    /// [`Store::finish`] inside an open transaction, which [`Store::wake_after`] must follow.
    pub(super) fn write_finished(&self, finished: &[Finished]) -> Result<u64, DatabaseFault> {
        let mut written = 0;
        let mut changes = Vec::new();
        for (token, ids) in done_by_lease(finished) {
            let affected = self.finish_where(&ids, token, &self.ending(State::Done, None))?;
            changes.push((State::Done, affected as i64));
            written += affected;
        }
        for one in finished.iter().filter(|one| one.how != Finish::Done) {
            let affected = self.finish_where(&[one.id], one.token, &self.changes(&one.how))?;
            match one.how {
                Finish::Dead(_) => changes.push((State::Dead, affected as i64)),
                Finish::Cancelled => changes.push((State::Cancelled, affected as i64)),
                _ => {}
            }
            written += affected;
        }
        self.count_ended(&changes)?;
        Ok((finished.len() as u64).saturating_sub(written))
    }

    /// Lets go on what waited for these tasks or for the end of their batches. The results are
    /// committed already, so a fault here is none of theirs: what is not woken now is found by
    /// [`Store::settle_some`].
    pub(super) fn wake_after(&self, finished: &[Finished]) {
        let _ = self.wake_all_after(finished);
    }

    fn wake_all_after(&self, finished: &[Finished]) -> Result<(), DatabaseFault> {
        let has_ended =
            |one: &&Finished| matches!(one.how, Finish::Done | Finish::Dead(_) | Finish::Cancelled);
        let ended: Vec<&Finished> = finished.iter().filter(has_ended).collect();
        if !ended.is_empty() {
            self.wake_after_tasks(&ended.iter().map(|one| one.id).collect::<Vec<_>>())?;
        }
        let mut batches: Vec<String> = ended.iter().filter_map(|one| one.batch_id.clone()).collect();
        batches.extend(finished.iter().filter_map(awaited_batch));
        batches.sort_unstable();
        batches.dedup();
        self.wake_after_batches(&batches)
    }

    /// Ends tasks that waited for their batch, with `outcome` set.
    pub(super) fn complete(&self, ids: &[u64], outcome: &str) -> Result<(), DatabaseFault> {
        let waiting = State::Waiting.code();
        let listed = sql::list(ids);
        let affected = transaction(self.db, || {
            let statement = format!(
                "UPDATE {} SET {}, {outcome} WHERE id IN ({listed}) AND state = {waiting}",
                self.tables.tasks,
                self.ending(State::Done, None)
            );
            let affected = self.db.execute(&statement)?.affected;
            self.count_ended(&[(State::Done, affected as i64)])?;
            Ok(affected)
        })?;
        if affected == 0 {
            return Ok(());
        }
        self.wake_after_tasks(ids)?;
        let rows = self.db.query(&format!(
            "SELECT DISTINCT batch_id FROM {} WHERE id IN ({listed}) AND batch_id IS NOT NULL",
            self.tables.tasks
        ))?;
        let batches: Vec<String> =
            rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
        self.wake_after_batches(&batches)
    }

    fn finish_where(&self, ids: &[u64], token: u64, changes: &str) -> Result<u64, DatabaseFault> {
        let statement = format!(
            "UPDATE {} SET {changes} WHERE id IN ({}) AND state = {} AND lease_token = {token}",
            self.tables.tasks,
            sql::list(ids),
            State::Leased.code()
        );
        Ok(self.db.execute(&statement)?.affected)
    }

    fn changes(&self, how: &Finish) -> String {
        match how {
            Finish::Done => self.ending(State::Done, None),
            Finish::Dead(message) => self.ending(State::Dead, Some(message)),
            Finish::Cancelled => self.ending(State::Cancelled, None),
            Finish::Held(message) => self.holding(message),
            Finish::Waiting(batch) => format!(
                "state = {}, status = '{}', lane = {}, sort_key = 0, lease_token = NULL, error_message = NULL",
                State::Waiting.code(),
                State::Waiting.status(),
                sql::text(&format!("batch:{batch}"))
            ),
            Finish::Retry { after, message } => format!(
                "{}, retry_count = retry_count + 1, error_message = {}",
                self.rescheduling(*after),
                sql::text(message)
            ),
            Finish::Again { after, data } => format!(
                "{}, task_data = {}, crash_count = 0, error_message = NULL",
                self.rescheduling(*after),
                sql::text(data)
            ),
            Finish::Released => self.readying(),
        }
    }

    /// The changes that end a task. Its unique key is free again, and its batch has one less.
    pub(super) fn ending(&self, state: State, message: Option<&str>) -> String {
        format!(
            "state = {}, status = '{}', lane = '', sort_key = {NOW}, completed_at = {}, lease_token = NULL,
             unique_key = NULL, batch_open = IF(batch_id IS NULL, NULL, 0), error_message = {}",
            state.code(),
            state.status(),
            self.local_now(),
            sql::optional_text(message)
        )
    }

    /// The changes that hold a task. It keeps its unique key: it may yet run.
    pub(super) fn holding(&self, message: &str) -> String {
        format!(
            "state = {}, status = '{}', lane = '', sort_key = {NOW}, lease_token = NULL, error_message = {}",
            State::Held.code(),
            State::Held.status(),
            sql::text(message)
        )
    }

    /// The changes that make a task ready, as if it had become so now.
    pub(super) fn readying(&self) -> String {
        let key = order::key_sql("priority", NOW);
        format!(
            "state = {}, status = '{}', lane = queue, sort_key = {key}, lease_token = NULL",
            State::Ready.code(),
            State::Ready.status()
        )
    }

    fn rescheduling(&self, after: Duration) -> String {
        if after.is_zero() {
            return format!("{}, run_at = {NOW}", self.readying());
        }
        let micros = after.as_micros();
        format!(
            "state = {}, status = '{}', lane = '', run_at = {NOW} + {micros}, sort_key = {NOW} + {micros},
             scheduled_at = {} + INTERVAL {micros} MICROSECOND, lease_token = NULL",
            State::Scheduled.code(),
            State::Scheduled.status(),
            self.local_now()
        )
    }
}

/// The batch that a task has begun to wait for: it may be over already.
fn awaited_batch(finished: &Finished) -> Option<String> {
    match &finished.how {
        Finish::Waiting(batch) => Some(batch.clone()),
        _ => None,
    }
}

/// The ids of the tasks that are done, by lease, so that each lease is one statement.
fn done_by_lease(finished: &[Finished]) -> Vec<(u64, Vec<u64>)> {
    let mut leases: Vec<(u64, Vec<u64>)> = Vec::new();
    for one in finished.iter().filter(|one| one.how == Finish::Done) {
        match leases.iter_mut().find(|(token, _)| *token == one.token) {
            Some((_, ids)) => ids.push(one.id),
            None => leases.push((one.token, vec![one.id])),
        }
    }
    leases
}
