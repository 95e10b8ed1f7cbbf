//! What waited for a task or a batch goes on when that has ended.
//!
//! A blocked task stands in the lane of the first dependency that is not met, and moves from lane
//! to lane until none is left. It is looked at when that dependency ends, after the commit, so that
//! of two workers which end the last two at once the later one sees both. What slips through (a
//! worker killed in between, a task enqueued in a transaction that commits later) the promoter
//! finds: [`Store::settle_some`].

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::order;
use crate::queue::sql::{self, Columns, NOW};
use crate::queue::state::State;
use crate::queue::task::Dependency;

/// How many rows one statement looks at.
const CHUNK: usize = 500;

/// Where a dependency stands.
enum Met {
    Yes,
    NotYet,
    Never,
}

impl Store<'_> {
    /// Wakes what waited for these tasks.
    pub fn wake_after_tasks(&self, ids: &[u64]) -> Result<(), DatabaseFault> {
        let lanes = sql::list(ids.iter().map(|id| sql::text(&Dependency::Task(*id).lane())));
        self.wake_lanes(&lanes)
    }

    /// Wakes what waited for these batches, where no task of theirs is left.
    pub fn wake_after_batches(&self, batches: &[String]) -> Result<(), DatabaseFault> {
        for batch in batches {
            if !self.is_batch_open(batch)? {
                self.wake_lanes(&sql::text(&Dependency::Batch(batch.clone()).lane()))?;
                self.complete_waiting(batch)?;
            }
        }
        Ok(())
    }

    /// Looks at some of the blocked and waiting tasks, in case nobody woke them, and goes on there
    /// next time.
    pub fn settle_some(&self) -> Result<(), DatabaseFault> {
        let after = self.number("settled")?.unwrap_or_default();
        let states = sql::states(&[State::Blocked, State::Waiting]);
        let rows = self.db.query(&format!(
            "SELECT id FROM {} WHERE state IN ({states}) AND id > {after} ORDER BY id LIMIT {CHUNK}",
            self.tables.tasks
        ))?;
        let ids: Vec<u64> = sql::numbers(&rows)?;
        self.settle(&ids)?;
        for batch in self.batches_awaited(&ids)? {
            self.wake_after_batches(&[batch])?;
        }
        let last = ids.last().filter(|_| ids.len() == CHUNK).map_or(Ok(0), |id| i64::try_from(*id));
        self.set_number("settled", last.unwrap_or_default())
    }

    /// Lets each of these blocked tasks go on as far as its dependencies allow.
    pub fn settle(&self, ids: &[u64]) -> Result<(), DatabaseFault> {
        if ids.is_empty() {
            return Ok(());
        }
        let rows = self.db.query(&format!(
            "SELECT id, after_tasks FROM {} WHERE id IN ({}) AND state = {}",
            self.tables.tasks,
            sql::list(ids),
            State::Blocked.code()
        ))?;
        for row in &rows {
            let mut columns = Columns::of(row);
            let id = columns.number()?;
            self.settle_one(id, columns.text()?)?;
        }
        Ok(())
    }

    /// What is met is forgotten: the task it was may be pruned while another is waited for.
    fn settle_one(&self, id: u64, after: &str) -> Result<(), DatabaseFault> {
        let dependencies: Vec<Dependency> = after.split(',').filter_map(Dependency::parse).collect();
        for (at, dependency) in dependencies.iter().enumerate() {
            match self.is_met(dependency)? {
                Met::Yes => {}
                Met::NotYet => return self.wait_for(id, dependencies.get(at..).unwrap_or_default()),
                Met::Never => {
                    let why = format!("task {dependency}, which it waited for, was cancelled or deleted");
                    return self.cancel_where(id, &[State::Blocked], &why).map(drop);
                }
            }
        }
        self.unblock(id)
    }

    fn is_met(&self, dependency: &Dependency) -> Result<Met, DatabaseFault> {
        let id = match dependency {
            Dependency::Batch(batch) => {
                return Ok(if self.is_batch_open(batch)? { Met::NotYet } else { Met::Yes });
            }
            Dependency::Task(id) => id,
        };
        let rows = self.db.query(&format!("SELECT state FROM {} WHERE id = {id}", self.tables.tasks))?;
        let state = sql::first::<u8>(&rows)?.and_then(State::from_code);
        Ok(match state {
            Some(State::Done) => Met::Yes,
            Some(State::Cancelled) | None => Met::Never,
            Some(_) => Met::NotYet,
        })
    }

    fn is_batch_open(&self, batch: &str) -> Result<bool, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT 1 FROM {} WHERE batch_id = {} AND batch_open = 1 LIMIT 1",
            self.tables.tasks,
            sql::text(batch)
        ))?;
        Ok(!rows.is_empty())
    }

    fn wake_lanes(&self, lanes: &str) -> Result<(), DatabaseFault> {
        let mut last = 0;
        loop {
            let rows = self.db.query(&format!(
                "SELECT id FROM {} WHERE state = {} AND lane IN ({lanes}) AND id > {last} ORDER BY id LIMIT {CHUNK}",
                self.tables.tasks,
                State::Blocked.code()
            ))?;
            let ids: Vec<u64> = sql::numbers(&rows)?;
            self.settle(&ids)?;
            match ids.last() {
                Some(id) if ids.len() == CHUNK => last = *id,
                _ => return Ok(()),
            }
        }
    }

    fn wait_for(&self, id: u64, unmet: &[Dependency]) -> Result<(), DatabaseFault> {
        let lane = unmet.first().map(Dependency::lane).unwrap_or_default();
        let after = sql::text(&sql::list(unmet));
        self.change_blocked(id, &format!("lane = {}, after_tasks = {after}", sql::text(&lane)))
    }

    fn unblock(&self, id: u64) -> Result<(), DatabaseFault> {
        let (ready, scheduled) = (State::Ready.code(), State::Scheduled.code());
        let key = order::key_sql("priority", NOW);
        self.change_blocked(
            id,
            &format!(
                "sort_key = IF(run_at <= {NOW}, {key}, run_at), lane = IF(run_at <= {NOW}, queue, ''),
                 state = IF(run_at <= {NOW}, {ready}, {scheduled})"
            ),
        )
    }

    fn change_blocked(&self, id: u64, changes: &str) -> Result<(), DatabaseFault> {
        let blocked = State::Blocked.code();
        let statement =
            format!("UPDATE {} SET {changes} WHERE id = {id} AND state = {blocked}", self.tables.tasks);
        self.db.execute(&statement).map(drop)
    }

    /// Completes the tasks that started this batch and waited for its end.
    fn complete_waiting(&self, batch: &str) -> Result<(), DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT id FROM {} WHERE state = {} AND lane = {}",
            self.tables.tasks,
            State::Waiting.code(),
            sql::text(&Dependency::Batch(batch.to_owned()).lane())
        ))?;
        let ids: Vec<u64> = sql::numbers(&rows)?;
        if ids.is_empty() {
            return Ok(());
        }
        let summary = self.batch_summary(batch)?;
        let outcome = format!(
            "progress_done = {}, progress_total = {}, progress_message = {}",
            summary.ended(),
            summary.total(),
            sql::text(&summary.to_string())
        );
        self.complete(&ids, &outcome)
    }

    fn batches_awaited(&self, ids: &[u64]) -> Result<Vec<String>, DatabaseFault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.db.query(&format!(
            "SELECT DISTINCT lane FROM {} WHERE id IN ({}) AND lane LIKE 'batch:%'",
            self.tables.tasks,
            sql::list(ids)
        ))?;
        let lanes = rows.iter().filter_map(|row| row.first()?.as_deref()?.strip_prefix("batch:"));
        Ok(lanes.map(str::to_owned).collect())
    }
}
