//! Which charges were begun and which are settled, by idempotency key.
//!
//! Rows of tasks are pruned and tasks can be queued twice; this table is what outlives them. A
//! charge is entered before the gateway is called, and settled after. An entry that is begun and
//! not settled belongs to a handler that died in between: whether money moved is not known, and
//! only the task that began it, released by a person or by an idempotent handler, may go on.

use std::collections::HashSet;

use super::Store;
use crate::ports::DatabaseFault;
use crate::queue::sql::{self, Columns, NOW};

/// Whether a charge may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charge {
    /// It may: nobody has begun it, or this task has, or it failed cleanly before.
    Allowed,
    /// It has been made.
    AlreadySettled {
        /// The gateway's number for it.
        reference: Option<String>,
    },
    /// Another task has begun it and not said how it ended.
    InDoubt {
        /// That task.
        task_id: u64,
    },
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The task that began it.
    pub task_id: u64,
    /// `started`, `settled` or `failed`.
    pub status: String,
    /// The gateway's number for it.
    pub reference: Option<String>,
}

impl Store<'_> {
    /// Enters a charge before it is made.
    pub fn begin_charge(&self, key: &str, task_id: u64) -> Result<Charge, DatabaseFault> {
        let (ledger, literal) = (&self.tables.ledger, sql::text(key));
        let entered = self.db.execute(&format!(
            "INSERT IGNORE INTO {ledger} (idempotency_key, task_id, status, started_at)
             VALUES ({literal}, {task_id}, 'started', {NOW})"
        ))?;
        if entered.affected > 0 {
            return Ok(Charge::Allowed);
        }
        let taken_over = self.db.execute(&format!(
            "UPDATE {ledger} SET task_id = {task_id}, status = 'started', started_at = {NOW}
             WHERE idempotency_key = {literal} AND (status = 'failed' OR status = 'started' AND task_id = {task_id})"
        ))?;
        if taken_over.affected > 0 {
            return Ok(Charge::Allowed);
        }
        Ok(match self.charge_entry(key)? {
            Some(entry) if entry.status == "settled" => Charge::AlreadySettled { reference: entry.reference },
            Some(entry) => Charge::InDoubt { task_id: entry.task_id },
            None => Charge::InDoubt { task_id: 0 },
        })
    }

    /// Notes that a charge was made.
    pub fn settle_charge(
        &self,
        key: &str,
        task_id: u64,
        reference: Option<&str>,
    ) -> Result<(), DatabaseFault> {
        self.close_charge(key, task_id, "settled", reference)
    }

    /// Notes that a charge was refused, and that no money moved.
    pub fn fail_charge(&self, key: &str, task_id: u64) -> Result<(), DatabaseFault> {
        self.close_charge(key, task_id, "failed", None)
    }

    /// Which of these charges are settled.
    pub fn settled_charges(&self, keys: &[String]) -> Result<HashSet<String>, DatabaseFault> {
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = self.db.query(&format!(
            "SELECT idempotency_key FROM {} WHERE idempotency_key IN ({}) AND status = 'settled'",
            self.tables.ledger,
            sql::list(keys.iter().map(|key| sql::text(key)))
        ))?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// What the ledger says of a charge.
    pub fn charge_entry(&self, key: &str) -> Result<Option<LedgerEntry>, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT task_id, status, reference FROM {} WHERE idempotency_key = {}",
            self.tables.ledger,
            sql::text(key)
        ))?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut columns = Columns::of(row);
        Ok(Some(LedgerEntry {
            task_id: columns.number()?,
            status: columns.text()?.to_owned(),
            reference: columns.optional_text()?.map(str::to_owned),
        }))
    }

    fn close_charge(
        &self,
        key: &str,
        task: u64,
        status: &str,
        reference: Option<&str>,
    ) -> Result<(), DatabaseFault> {
        let statement = format!(
            "UPDATE {} SET status = '{status}', reference = {}, settled_at = {NOW}
             WHERE idempotency_key = {} AND task_id = {task} AND status = 'started'",
            self.tables.ledger,
            sql::optional_text(reference),
            sql::text(key)
        );
        self.db.execute(&statement).map(drop)
    }
}
