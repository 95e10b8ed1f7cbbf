//! What waited for its time, or for a gate that is gone, becomes ready.
//!
//! Scheduled tasks are kept apart from ready ones, because a claim that had to step over them would
//! read them all (measured with one index for both: 100,052 rows and 350 ms for ten tasks). Workers
//! take turns at this once a second; rows are moved in bounded pieces, and a piece that another
//! worker is at is skipped.

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::order;
use crate::queue::sql::{self, NOW, transaction};
use crate::queue::state::State;

/// How many rows one statement moves.
const CHUNK: usize = 1000;

/// How many pieces one turn moves; the rest waits for the next.
const MOST_CHUNKS: usize = 20;

impl Store<'_> {
    /// Makes ready what is due; answers how many tasks.
    pub fn promote(&self, skip_locked: bool) -> Result<usize, DatabaseFault> {
        let key = order::key_sql("priority", "run_at");
        let due = format!(
            "state = {} AND lane = '' AND sort_key <= {NOW} ORDER BY sort_key",
            State::Scheduled.code()
        );
        self.move_to_ready(&due, &key, State::Scheduled, skip_locked)
    }

    /// Lets out what waits at a gate that is no more.
    pub fn open_gates(&self, skip_locked: bool) -> Result<usize, DatabaseFault> {
        let lanes = self.db.query(&format!(
            "SELECT DISTINCT lane FROM {} WHERE state = {}",
            self.tables.tasks,
            State::Gated.code()
        ))?;
        let gates = self.gates()?;
        let mut moved = 0;
        for lane in lanes.into_iter().filter_map(|row| row.into_iter().next().flatten()) {
            if gates.iter().all(|gate| gate.task_type != lane) {
                let waiting = format!("state = {} AND lane = {}", State::Gated.code(), sql::text(&lane));
                moved += self.move_to_ready(&waiting, "sort_key", State::Gated, skip_locked)?;
            }
        }
        Ok(moved)
    }

    fn move_to_ready(&self, which: &str, key: &str, from: State, skip: bool) -> Result<usize, DatabaseFault> {
        let mut moved = 0;
        for _ in 0..MOST_CHUNKS {
            let piece = transaction(self.db, || self.move_piece(which, key, from, skip))?;
            moved += piece;
            if piece < CHUNK {
                break;
            }
        }
        Ok(moved)
    }

    fn move_piece(&self, which: &str, key: &str, from: State, skip: bool) -> Result<usize, DatabaseFault> {
        let table = &self.tables.tasks;
        let lock = if skip { "FOR UPDATE SKIP LOCKED" } else { "" };
        let rows = self.db.query(&format!(
            "SELECT id FROM {table} FORCE INDEX (slbp_claim) WHERE {which} LIMIT {CHUNK} {lock}"
        ))?;
        let ids: Vec<u64> = sql::numbers(&rows)?;
        if !ids.is_empty() {
            self.db.execute(&format!(
                "UPDATE {table} SET sort_key = {key}, lane = queue, state = {} WHERE id IN ({}) AND state = {}",
                State::Ready.code(),
                sql::list(&ids),
                from.code()
            ))?;
        }
        Ok(ids.len())
    }
}
