//! Numbers that must not be counted anew each time: how many tasks ended, and how fast.
//!
//! Ended tasks are the many; counting their rows would cost a scan of the history. Their counters
//! change in the transaction that ends them, so they are exact. Each is spread over [`SLOTS`] rows,
//! because workers that end tasks at once would else wait for one another's commit.
//!
//! Live tasks are the few, and other code enqueues them; those are counted in the index
//! ([`super::inspect`]).

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::sql::{self, Columns, NOW};
use crate::queue::state::State;

/// Rows per counter.
const SLOTS: u64 = 16;

/// Microseconds in a minute.
const MINUTE: i64 = 60_000_000;

/// How many minutes of throughput are kept.
const MINUTES_KEPT: i64 = 60;

impl Store<'_> {
    /// Adds to the counters of final states, in the transaction that is open.
    pub(super) fn count_ended(&self, changes: &[(State, i64)]) -> Result<(), DatabaseFault> {
        let slot = super::super::random::token() % SLOTS;
        let mut rows = Vec::new();
        for (state, change) in changes.iter().filter(|(_, change)| *change != 0) {
            rows.push(format!("('{}', {slot}, {change})", name(*state)));
            if *state == State::Done && *change > 0 {
                rows.push(format!("(CONCAT('minute:', {NOW} DIV {MINUTE}), {slot}, {change})"));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let statement = format!(
            "INSERT INTO {} (name, slot, n) VALUES {} ON DUPLICATE KEY UPDATE n = n + VALUES(n)",
            self.tables.counters,
            rows.join(",")
        );
        self.db.execute(&statement).map(drop)
    }

    /// How many tasks are in the final state.
    pub(super) fn ended(&self, state: State) -> Result<u64, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT SUM(n) FROM {} WHERE name = '{}'",
            self.tables.counters,
            name(state)
        ))?;
        Ok(sql::first::<i64>(&rows)?.unwrap_or_default().max(0).unsigned_abs())
    }

    /// Tasks done per second over the last full minutes, at most five.
    pub(super) fn throughput(&self) -> Result<f64, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT {NOW} DIV {MINUTE} - SUBSTRING(name, 8), SUM(n) FROM {} WHERE name LIKE 'minute:%' GROUP BY name",
            self.tables.counters
        ))?;
        let mut done = 0;
        for row in &rows {
            let mut columns = Columns::of(row);
            let age: f64 = columns.number()?;
            if (1.0..=5.0).contains(&age) {
                done += columns.number::<i64>()?;
            }
        }
        Ok(done as f64 / 300.0)
    }

    /// Forgets the throughput of long ago.
    pub(super) fn forget_minutes(&self) -> Result<(), DatabaseFault> {
        let statement = format!(
            "DELETE FROM {} WHERE name LIKE 'minute:%' AND SUBSTRING(name, 8) < {NOW} DIV {MINUTE} - {MINUTES_KEPT}",
            self.tables.counters
        );
        self.db.execute(&statement).map(drop)
    }

    /// Whether this worker shall do what one of them does every `interval` microseconds: the first
    /// to ask after that time. Nobody waits for it, and nobody is needed to go on if it dies.
    pub fn is_elected(&self, duty: &str, interval: i64) -> Result<bool, DatabaseFault> {
        let counters = &self.tables.counters;
        let claimed = self.db.execute(&format!(
            "UPDATE {counters} SET n = {NOW} + {interval} WHERE name = 'duty:{duty}' AND slot = 0 AND n <= {NOW}"
        ))?;
        if claimed.affected > 0 {
            return Ok(true);
        }
        let first = format!(
            "INSERT IGNORE INTO {counters} (name, slot, n) VALUES ('duty:{duty}', 0, {NOW} + {interval})"
        );
        let is_new = self.number(&format!("duty:{duty}"))?.is_none();
        Ok(is_new && self.db.execute(&first)?.affected > 0)
    }

    /// A number that workers share.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, DatabaseFault> {
        let statement = format!("SELECT n FROM {} WHERE name = '{name}' AND slot = 0", self.tables.counters);
        sql::first(&self.db.query(&statement)?)
    }

    /// Sets a number that workers share.
    pub(super) fn set_number(&self, name: &str, n: i64) -> Result<(), DatabaseFault> {
        let statement = format!(
            "INSERT INTO {} (name, slot, n) VALUES ('{name}', 0, {n}) ON DUPLICATE KEY UPDATE n = {n}",
            self.tables.counters
        );
        self.db.execute(&statement).map(drop)
    }
}

fn name(state: State) -> &'static str {
    state.status()
}
