//! Which index a table lacks, which it has for nothing, and the proof.
//!
//! Owns: what a query wants of a table ([`want`]), what the table has ([`catalog`]), the index between
//! the two ([`candidate`]), and measuring it ([`shadow`]). Refuses to do: change a live table. The proof
//! is made on a sample of the rows in a temporary table of our own connection, which the server drops
//! when the connection ends, however it ends: no crash of ours leaves one behind, no other session and
//! no replica sees it, and no backup has it.
//!
//! Invariant: an index is recommended as proven only if the same questions read at most half as many
//! rows with it, or three quarters where a person asked about these very columns. A table too small to measure says so (`verified` is false).

pub mod candidate;
pub mod catalog;
mod shadow;
pub mod sql;
pub mod want;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::ports::{Database, DatabaseFault};
use candidate::Candidate;
use catalog::{Fragmentation, Redundant, Table, Unused};
use shadow::Shadow;
use want::Want;

/// An index for queries that were seen pays when it leaves at most so many rows of a hundred to read.
const SEEN: u64 = 50;

/// One that a person asked about is worth telling of earlier.
const ASKED: u64 = 75;

/// How much work advice may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of the sample.
    pub sample: u64,
    /// Fewer rows than this prove nothing.
    pub least_rows: u64,
    /// One statement.
    pub statement: Duration,
    /// All of it; what comes after is recommended without proof.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sample: 20_000,
            least_rows: 1_000,
            statement: Duration::from_secs(3),
            total: Duration::from_secs(10),
        }
    }
}

/// An index to create.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recommendation {
    /// On which table.
    pub table: String,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// Its name.
    pub name: String,
    /// Creates it, without locking the table where the server can.
    pub ddl: String,
    /// Undoes that.
    pub rollback_ddl: String,
    /// In words.
    pub reason: String,
    /// Whether it was measured.
    pub verified: bool,
    /// What was measured.
    pub evidence: Option<Evidence>,
    /// Bytes it will take, about.
    pub estimated_size: u64,
    /// In words: what every insert pays.
    pub write_cost: String,
    /// The shapes of the queries that it serves; empty when it was asked for by columns.
    pub queries: Vec<String>,
}

/// The same questions to a sample of the table, without the index and with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Rows of the sample.
    pub sample_rows: u64,
    /// Rows of the table, as the server estimates them.
    pub table_rows: u64,
    /// Rows that the server read (the sum of its `Handler_read_*`).
    pub rows_read_before: u64,
    /// With the index.
    pub rows_read_after: u64,
    /// What its optimizer reckoned.
    pub cost_before: f64,
    /// With the index.
    pub cost_after: f64,
    /// Index that it used before.
    pub key_before: String,
    /// Index that it used after.
    pub key_after: String,
}

/// All about one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The table's name in the database.
    pub table: String,
    /// To create.
    pub missing_indexes: Vec<Recommendation>,
    /// To drop, because another one does the same.
    pub redundant_indexes: Vec<Redundant>,
    /// That nobody used; `None` where the server does not know.
    pub unused_indexes: Option<Vec<Unused>>,
    /// How much of its file is empty.
    pub fragmentation: Fragmentation,
}

/// Looks at `table` for what `wants` want of it. `None`: there is no such table.
///
/// # Errors
/// The database's.
pub fn advise(
    db: &dyn Database,
    prefix: &str,
    table: &str,
    wants: &[Want],
    limits: &Limits,
) -> Result<Option<Advice>> {
    let Some(table) = Table::read(db, table)? else { return Ok(None) };
    Ok(Some(Advice {
        missing_indexes: recommend(db, prefix, &table, wants, limits)?,
        redundant_indexes: table.redundant(),
        unused_indexes: table.unused(db)?,
        fragmentation: table.fragmentation(),
        table: table.name,
    }))
}

/// The indexes that `wants` lack on `table`.
fn recommend(
    db: &dyn Database,
    prefix: &str,
    table: &Table,
    wants: &[Want],
    limits: &Limits,
) -> Result<Vec<Recommendation>> {
    let started = Instant::now();
    let open: Vec<&Want> = wants.iter().filter(|want| Candidate::of(want, table, &[]).is_some()).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let sample = match table.rows >= limits.least_rows {
        true => Shadow::fill(db, table, limits).map(Some).or_else(go_on_without)?,
        false => None,
    };
    let mut found: Vec<Recommendation> = Vec::new();
    for want in open {
        let distinct = sample.as_ref().map(|sample| sample.distinct(want)).transpose()?.unwrap_or_default();
        let Some(candidate) = Candidate::of(want, table, &distinct) else { continue };
        if let Some(known) = found.iter_mut().find(|known| candidate.is_served_by(&known.columns)) {
            known.queries.extend(want.shape.clone());
            continue;
        }
        let measured = match &sample {
            Some(sample) if started.elapsed() < limits.total => {
                sample.measure(table, want, &candidate).or_else(go_on_without)?
            }
            _ => None,
        };
        let share = if want.shape.is_some() { SEEN } else { ASKED };
        if measured.as_ref().is_none_or(|measured| measured.pays(share)) {
            found.push(recommendation(prefix, table, want, &candidate, measured.map(|m| m.evidence(table))));
        }
    }
    Ok(found)
}

/// A sample that cannot be made (no right to, no time) is no reason to say nothing; a lost connection is.
fn go_on_without<T>(fault: DatabaseFault) -> Result<Option<T>> {
    if fault.is_lost() { Err(Error::from(fault)) } else { Ok(None) }
}

fn recommendation(
    prefix: &str,
    table: &Table,
    want: &Want,
    candidate: &Candidate,
    evidence: Option<Evidence>,
) -> Recommendation {
    let name = candidate.name(prefix, table);
    let (quoted, on) = (sql::name(&name), sql::name(&table.name));
    let columns: Vec<String> = candidate.columns.iter().map(|column| column.definition(table)).collect();
    let list = columns.join(", ");
    Recommendation {
        ddl: format!("ALTER TABLE {on} ADD INDEX {quoted} ({list}), ALGORITHM=INPLACE, LOCK=NONE"),
        rollback_ddl: format!("ALTER TABLE {on} DROP INDEX {quoted}, ALGORITHM=INPLACE, LOCK=NONE"),
        reason: candidate.reason(want, evidence.as_ref()),
        verified: evidence.is_some(),
        estimated_size: candidate.size(table),
        write_cost: format!(
            "one more index beside {} to keep up at every insert and delete",
            table.indexes.len()
        ),
        columns: candidate.names(),
        queries: want.shape.clone().into_iter().collect(),
        table: table.name.clone(),
        name,
        evidence,
    }
}
