//! Reading one table into its writer: whole, or only what its parent does not have.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use mysql::prelude::Queryable;
use mysql::{Conn, Value};

use super::super::fault::{database, fault};
use super::super::format::{Range, RangeReader};
use super::super::progress::Progress;
use super::column::identifier;
use super::key::{Bound, condition};
use super::schema::Table;
use super::table::{Batch, TableWriter, bound_of};
use crate::error::Result;

/// A table being read by one session of the snapshot.
pub(crate) struct TableReader<'a> {
    pub conn: &'a mut Conn,
    pub table: &'a Table,
    /// How its statements begin.
    pub head: String,
    /// The size at which a range is closed.
    pub size: usize,
    /// Set by another reader that failed: the dump is lost, so go no further.
    pub stop: &'a AtomicBool,
    /// Set here when the table is no longer what it was at the snapshot.
    pub moved: &'a AtomicBool,
    pub progress: &'a Progress<'a>,
}

impl TableReader<'_> {
    /// Reads the whole table in one ordered scan.
    pub fn read_all(&mut self, writer: &mut TableWriter<'_>) -> Result<()> {
        self.ranges(None, None, 0, |batch, _| writer.push(batch, None))
    }

    /// Reads the table range by range of its parent. A range that outgrew the size is split.
    pub fn read_changes(&mut self, parent: RangeReader, writer: &mut TableWriter<'_>) -> Result<()> {
        self.by_range(parent, |batch, parent| writer.push(batch, parent))
    }

    /// Whether the table has exactly the rows of `ranges`.
    pub fn has_rows_of(&mut self, ranges: RangeReader) -> Result<bool> {
        if self.table.key.is_empty() {
            return self.unchanged(ranges);
        }
        let mut same = true;
        self.by_range(ranges, |batch, range| {
            same &= range.is_some_and(|range| range.hash == blake3::hash(&batch.into_sql()));
            Ok(())
        })?;
        Ok(same)
    }

    /// Calls `each` with the rows of every range of `ranges` and the range itself; without it when
    /// it outgrew the size and comes in parts.
    fn by_range(
        &mut self,
        ranges: RangeReader,
        mut each: impl FnMut(Batch, Option<Range>) -> Result<()>,
    ) -> Result<()> {
        let mut ranges = ranges.peekable();
        while let Some(range) = ranges.next().transpose()? {
            let upper = match ranges.peek() {
                Some(Ok(next)) => next.lower.clone(),
                // An error is met again, and returned, in the next round.
                Some(Err(_)) | None => None,
            };
            let lower = range.lower.clone();
            self.ranges(lower.as_ref(), upper.as_ref(), range.bytes as usize, |batch, whole| {
                each(batch, whole.then(|| range.clone()))
            })?;
        }
        Ok(())
    }

    /// Whether a table without a usable key still has exactly the ranges of `parent`.
    pub fn unchanged(&mut self, parent: RangeReader) -> Result<bool> {
        let mut parent = parent;
        let same = Cell::new(true);
        self.ranges(None, None, 0, |batch, _| {
            let expected: Option<Range> = parent.next().transpose()?;
            let hash = blake3::hash(&batch.into_sql());
            same.set(same.get() && expected.is_some_and(|range| range.hash == hash));
            Ok(())
        })?;
        Ok(same.get() && parent.next().is_none())
    }

    /// Reads `[lower, upper)` and calls `each` with every batch and whether it is the only one. A
    /// batch is closed when it has the size and more than `at_least` bytes.
    fn ranges(
        &mut self,
        lower: Option<&Bound>,
        upper: Option<&Bound>,
        at_least: usize,
        mut each: impl FnMut(Batch, bool) -> Result<()>,
    ) -> Result<()> {
        let (table, size) = (self.table, self.size);
        let (head, progress) = (self.head.clone(), self.progress);
        let mut batch = Batch::new(lower.cloned());
        let mut whole = true;
        self.scan(&condition(&table.key, lower, upper), |row| {
            if batch.length() >= size && batch.length() > at_least {
                let next = Batch::new(Some(bound_of(table, row)));
                whole = false;
                progress.add(batch.length() as u64);
                each(std::mem::replace(&mut batch, next), whole)?;
            }
            batch.push(&head, &table.columns, row);
            Ok(())
        })?;
        progress.add(batch.length() as u64);
        each(batch, whole)
    }

    /// Calls `each` for every row that meets `condition`, in key order.
    fn scan(&mut self, condition: &str, mut each: impl FnMut(&[Value]) -> Result<()>) -> Result<()> {
        let failed = |error: mysql::Error| {
            if definition_changed(&error) {
                self.moved.store(true, Ordering::Relaxed);
            }
            database("reading rows")(error)
        };
        let mut rows = self.conn.query_iter(select(self.table, condition)).map_err(failed)?;
        while let Some(set) = rows.iter() {
            for row in set {
                each(&row.map_err(failed)?.unwrap())?;
                if self.stop.load(Ordering::Relaxed) {
                    return Err(fault("stopped because another table failed"));
                }
            }
        }
        Ok(())
    }
}

fn select(table: &Table, condition: &str) -> String {
    let expressions: Vec<String> = table.columns.iter().map(|column| column.expression()).collect();
    let order: Vec<String> = table.key.iter().map(|name| identifier(name)).collect();
    let mut sql = format!("SELECT {} FROM {}", expressions.join(","), identifier(&table.name));
    if table.index == "PRIMARY" {
        sql.push_str(" FORCE INDEX (PRIMARY)");
    }
    sql.push_str(&format!(" WHERE {condition}"));
    if !order.is_empty() {
        sql.push_str(&format!(" ORDER BY {}", order.join(",")));
    }
    sql
}

/// 1412: the table was altered after the snapshot. 1146: it was dropped since it was listed.
fn definition_changed(error: &mysql::Error) -> bool {
    matches!(error, mysql::Error::MySqlError(error) if matches!(error.code, 1412 | 1146))
}
