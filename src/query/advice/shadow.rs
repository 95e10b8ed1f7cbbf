//! A sample of a table in a temporary one, to try indexes on.
//!
//! The sample is taken in ranges of the primary key spread over the table, not by `MOD(id)`, which
//! follows patterns of the data. A question is built from what is wanted, with values that rows of the
//! sample have, and asked without and with the index; what counts is how many rows the server read for
//! it (`Handler_read_*` of our session), which no optimizer's opinion changes.

use std::fmt::Write as _;
use std::time::Instant;

use super::candidate::Candidate;
use super::catalog::Table;
use super::want::{Compared, Want};
use super::{Evidence, Limits, sql};
use crate::ports::{Database, DatabaseFault, Row};

/// Its name; it is our session's own.
const NAME: &str = "`slbp_shadow`";

/// Ranges of the primary key that a sample is made of.
const RANGES: u64 = 10;

/// Rows whose values are asked for.
const PROBES: u64 = 3;

pub(super) struct Shadow<'a> {
    db: &'a dyn Database,
    rows: u64,
}

/// A question without the index and with it.
pub(super) struct Measured {
    sample_rows: u64,
    before: Look,
    after: Look,
}

#[derive(Default)]
struct Look {
    read: u64,
    cost: f64,
    key: String,
}

impl<'a> Shadow<'a> {
    /// Copies a sample of `table`.
    pub fn fill(db: &'a dyn Database, table: &Table, limits: &Limits) -> Result<Self, DatabaseFault> {
        limit_statements(db, limits);
        db.execute(&format!("DROP TEMPORARY TABLE IF EXISTS {NAME}"))?;
        db.execute(&format!("CREATE TEMPORARY TABLE {NAME} LIKE {}", sql::name(&table.name)))?;
        // From here on whatever fails drops it.
        let mut shadow = Self { db, rows: 0 };
        let started = Instant::now();
        let each = (limits.sample / RANGES).max(1);
        for start in starts(db, table)? {
            db.execute(&copy(table, start.as_deref(), each))?;
            if started.elapsed() > limits.statement {
                break;
            }
        }
        db.query(&format!("ANALYZE TABLE {NAME}"))?;
        shadow.rows = number(&db.query(&format!("SELECT COUNT(*) FROM {NAME}"))?);
        Ok(shadow)
    }

    /// How many values each column of `want` has in the sample.
    pub fn distinct(&self, want: &Want) -> Result<Vec<(String, u64)>, DatabaseFault> {
        let mut found = Vec::new();
        for column in want.columns() {
            let count = self.db.query(&format!("SELECT COUNT(DISTINCT {}) FROM {NAME}", sql::name(column)));
            match count {
                Ok(rows) => found.push((column.clone(), number(&rows))),
                Err(fault) if fault.is_lost() => return Err(fault),
                // No such column: the question is left to the server that is asked it.
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// Asks what `want` asks without `candidate` and with it. `None` when the sample has no row to ask
    /// for.
    pub fn measure(
        &self,
        table: &Table,
        want: &Want,
        candidate: &Candidate,
    ) -> Result<Option<Measured>, DatabaseFault> {
        let probes = self.probes(want, candidate)?;
        if probes.is_empty() {
            return Ok(None);
        }
        let before = self.look(&probes)?;
        let names: Vec<String> = candidate.columns.iter().map(|part| part.definition(table)).collect();
        self.db.execute(&format!("ALTER TABLE {NAME} ADD INDEX slbp_tried ({})", names.join(", ")))?;
        let tried = self.db.query(&format!("ANALYZE TABLE {NAME}")).and_then(|_| self.look(&probes));
        self.db.execute(&format!("ALTER TABLE {NAME} DROP INDEX slbp_tried"))?;
        Ok(Some(Measured { sample_rows: self.rows, before, after: tried? }))
    }

    /// Questions with the values of a few rows spread over the sample.
    fn probes(&self, want: &Want, candidate: &Candidate) -> Result<Vec<String>, DatabaseFault> {
        let names = candidate.names();
        let asked: Vec<&(String, Compared)> = want
            .conditions
            .iter()
            .filter(|(column, _)| names.iter().any(|name| name.eq_ignore_ascii_case(column)))
            .collect();
        let columns: Vec<String> = asked.iter().map(|(column, _)| sql::name(column)).collect();
        let tail = tail(want);
        if columns.is_empty() {
            return Ok(vec![format!("SELECT * FROM {NAME}{tail} LIMIT 20")]);
        }
        let mut probes = Vec::new();
        for nth in 0..PROBES {
            let offset = self.rows.saturating_mul(2 * nth + 1) / (2 * PROBES);
            let rows = self
                .db
                .query(&format!("SELECT {} FROM {NAME} LIMIT 1 OFFSET {offset}", columns.join(", ")))?;
            let Some(values) = rows.first() else { continue };
            probes.push(format!("SELECT * FROM {NAME} WHERE {}{tail}", conditions(&asked, values)));
        }
        Ok(probes)
    }

    fn look(&self, probes: &[String]) -> Result<Look, DatabaseFault> {
        let mut sum = Look::default();
        for probe in probes {
            let plan = self.db.query(&format!("EXPLAIN {probe}"))?;
            sum.cost += cost(self.db);
            // table, type, possible_keys, key: the key is the sixth column in MariaDB, the seventh in MySQL.
            let at = if plan.first().is_some_and(|row| row.len() > 10) { 6 } else { 5 };
            sum.key = plan.first().and_then(|row| row.get(at).cloned().flatten()).unwrap_or_default();
            let (from, _) = (self.read_until_now()?, self.db.query(probe)?);
            sum.read += self.read_until_now()?.saturating_sub(from);
        }
        Ok(sum)
    }

    fn read_until_now(&self) -> Result<u64, DatabaseFault> {
        let rows = self.db.query("SHOW SESSION STATUS LIKE 'Handler\\_read\\_%'")?;
        Ok(rows.iter().filter_map(|row| row.get(1)?.as_ref()?.parse::<u64>().ok()).sum())
    }
}

impl Drop for Shadow<'_> {
    fn drop(&mut self) {
        // When this fails the connection is gone, and the table with it.
        let _ = self.db.execute(&format!("DROP TEMPORARY TABLE IF EXISTS {NAME}"));
    }
}

impl Measured {
    /// Whether the index is worth having: at most `share` of the rows are read, in percent.
    pub fn pays(&self, share: u64) -> bool {
        self.after.read.saturating_mul(100) <= self.before.read.saturating_mul(share)
    }

    pub fn evidence(self, table: &Table) -> Evidence {
        Evidence {
            sample_rows: self.sample_rows,
            table_rows: table.rows,
            rows_read_before: self.before.read,
            rows_read_after: self.after.read,
            cost_before: self.before.cost,
            cost_after: self.after.cost,
            key_before: self.before.key,
            // What the trial index is called means nothing to anybody.
            key_after: if self.after.key == "slbp_tried" {
                "the new index".to_owned()
            } else {
                self.after.key
            },
        }
    }
}

/// MariaDB and MySQL call it differently, and each refuses the other's name.
fn limit_statements(db: &dyn Database, limits: &Limits) {
    let seconds = limits.statement.as_secs_f64();
    if db.execute(&format!("SET SESSION max_statement_time = {seconds}")).is_err() {
        let _ = db.execute(&format!("SET SESSION max_execution_time = {}", limits.statement.as_millis()));
    }
}

/// Where the ranges of the sample begin, by the first column of the primary key where that is a number;
/// else only the table's beginning.
fn starts(db: &dyn Database, table: &Table) -> Result<Vec<Option<String>>, DatabaseFault> {
    let Some(key) = table.primary_key().first().map(|name| sql::name(name)) else { return Ok(vec![None]) };
    let rows = db.query(&format!("SELECT MIN({key}), MAX({key}) FROM {}", sql::name(&table.name)))?;
    let end = |at: usize| rows.first()?.get(at)?.as_ref()?.parse::<i64>().ok();
    let (Some(first), Some(last)) = (end(0), end(1)) else { return Ok(vec![None]) };
    let step = last.saturating_sub(first) / RANGES as i64;
    if step < 1 {
        return Ok(vec![None]);
    }
    Ok((0..RANGES as i64).map(|nth| Some(first.saturating_add(nth * step).to_string())).collect())
}

fn copy(table: &Table, start: Option<&str>, rows: u64) -> String {
    let from = sql::name(&table.name);
    match (start, table.primary_key().first()) {
        (Some(start), Some(key)) => {
            let key = sql::name(key);
            format!(
                "INSERT IGNORE INTO {NAME} SELECT * FROM {from} WHERE {key} >= {start} ORDER BY {key} LIMIT {rows}"
            )
        }
        _ => format!("INSERT IGNORE INTO {NAME} SELECT * FROM {from} LIMIT {}", rows.saturating_mul(RANGES)),
    }
}

fn conditions(asked: &[&(String, Compared)], values: &Row) -> String {
    let one = asked.iter().zip(values).map(|((column, compared), value)| {
        let column = sql::name(column);
        match (compared, value) {
            (_, None) => format!("{column} IS NULL"),
            (Compared::Range, Some(value)) => format!("{column} >= {}", sql::text(value)),
            (Compared::Listed, Some(value)) => format!("{column} IN ({})", sql::text(value)),
            (Compared::Equal, Some(value)) => format!("{column} = {}", sql::text(value)),
        }
    });
    one.collect::<Vec<_>>().join(" AND ")
}

fn tail(want: &Want) -> String {
    let list =
        |columns: &[String]| columns.iter().map(|column| sql::name(column)).collect::<Vec<_>>().join(", ");
    let mut tail = String::new();
    // Writing into a String does not fail.
    let _ = match (want.group.is_empty(), want.order.is_empty()) {
        (false, _) => write!(tail, " GROUP BY {}", list(&want.group)),
        (true, false) => write!(tail, " ORDER BY {}", list(&want.order)),
        (true, true) => Ok(()),
    };
    tail
}

/// What the optimizer reckoned of the last EXPLAIN; 0 where it does not say.
fn cost(db: &dyn Database) -> f64 {
    let rows = db.query("SHOW SESSION STATUS LIKE 'Last_query_cost'").unwrap_or_default();
    rows.first().and_then(|row| row.get(1)?.as_ref()?.parse().ok()).unwrap_or(0.0)
}

fn number(rows: &[Row]) -> u64 {
    rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0)
}
