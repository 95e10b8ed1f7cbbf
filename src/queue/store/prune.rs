//! Ended tasks are deleted after a while, in small pieces with pauses, so that pruning a history
//! of millions never holds a lock for long and never outruns a replica.

use std::thread;
use std::time::{Duration, Instant};

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::sql::{self, NOW, transaction};
use crate::queue::state::State;

/// How many rows one transaction deletes.
const CHUNK: usize = 1000;

/// The pause between pieces.
const PAUSE: Duration = Duration::from_millis(5);

/// How long each kind of ended task is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those done and those cancelled.
    pub ended_well: Duration,
    /// Those that failed: longer, because a person may want to replay them.
    pub failed: Duration,
}

impl Retention {
    /// Everything for `days`.
    pub fn days(days: u32) -> Self {
        let time = Duration::from_secs(u64::from(days) * 86_400);
        Self { ended_well: time, failed: time }
    }
}

impl Store<'_> {
    /// Deletes tasks that ended long enough ago, for at most `budget`; answers how many.
    pub fn prune(&self, retention: Retention, budget: Duration) -> Result<u64, DatabaseFault> {
        let start = Instant::now();
        let mut deleted = 0;
        for (state, age) in [
            (State::Done, retention.ended_well),
            (State::Cancelled, retention.ended_well),
            (State::Dead, retention.failed),
        ] {
            while start.elapsed() < budget {
                let piece = transaction(self.db, || self.prune_piece(state, age))?;
                deleted += piece as u64;
                if piece < CHUNK {
                    break;
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(deleted)
    }

    fn prune_piece(&self, state: State, age: Duration) -> Result<usize, DatabaseFault> {
        let (table, code) = (&self.tables.tasks, state.code());
        let rows = self.db.query(&format!(
            "SELECT id FROM {table} FORCE INDEX (slbp_claim)
             WHERE state = {code} AND lane = '' AND sort_key < {NOW} - {} ORDER BY sort_key LIMIT {CHUNK}",
            age.as_micros()
        ))?;
        let ids: Vec<u64> = sql::numbers(&rows)?;
        if ids.is_empty() {
            return Ok(0);
        }
        let statement = format!("DELETE FROM {table} WHERE id IN ({}) AND state = {code}", sql::list(&ids));
        let deleted = self.db.execute(&statement)?.affected;
        self.count_ended(&[(state, -(deleted as i64))])?;
        Ok(ids.len())
    }
}
