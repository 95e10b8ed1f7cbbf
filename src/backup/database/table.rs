//! One table on its way into a backup: rows become statements, statements become ranges, ranges
//! become gzip members or references.
//!
//! The bytes of a range's `INSERT` are its identity: they are what is hashed, compared with the
//! parent's and loaded at a restore. One range is one statement.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use mysql::Value;

use super::super::fault::file;
use super::super::format::{LineWriter, RANGES, Range, SQL_HEADER, Stored, Sum};
use super::super::gzip::{LEVEL, Pending, Pool, member};
use super::super::id::BackupId;
use super::super::store::{Draft, SummedFile};
use super::column::{Column, identifier};
use super::key::Bound;
use super::schema::Table;
use crate::error::Result;

/// The size of a range's SQL. Small ranges make small incrementals; the number of ranges stays
/// near 4096 for large tables, which bounds the memory that lists of ranges take.
pub(crate) fn range_size(table_bytes: u64) -> usize {
    const SMALLEST: u64 = 192 * 1024;
    const LARGEST: u64 = 1024 * 1024;
    (table_bytes / 4096).clamp(SMALLEST, LARGEST) as usize
}

/// The head of every `INSERT` for a table. A restore replaces it to load under another name.
pub(crate) fn insert_head(table: &str, columns: &[Column]) -> String {
    let names: Vec<String> = columns.iter().map(|column| identifier(&column.name)).collect();
    format!("INSERT INTO {} ({}) VALUES\n", identifier(table), names.join(","))
}

/// The path of a table's ranges in a backup.
pub(crate) fn ranges_path(stem: &str) -> String {
    format!("db/{stem}{RANGES}")
}

/// Rows of one range as they gather.
pub(crate) struct Batch {
    /// The key the range begins with.
    pub lower: Option<Bound>,
    /// Rows so far.
    pub rows: u64,
    sql: Vec<u8>,
}

impl Batch {
    /// An empty range from `lower`.
    pub fn new(lower: Option<Bound>) -> Self {
        Self { lower, rows: 0, sql: Vec::new() }
    }

    /// Bytes of the statement when it is finished.
    pub fn length(&self) -> usize {
        if self.rows == 0 { 0 } else { self.sql.len() + ";\n".len() }
    }

    /// Appends a row.
    pub fn push(&mut self, head: &str, columns: &[Column], row: &[Value]) {
        self.sql.extend_from_slice(if self.rows == 0 { head.as_bytes() } else { b",\n" });
        for (index, (column, value)) in columns.iter().zip(row).enumerate() {
            self.sql.push(if index == 0 { b'(' } else { b',' });
            column.write_literal(value, &mut self.sql);
        }
        self.sql.push(b')');
        self.rows += 1;
    }

    /// The statement.
    pub fn into_sql(mut self) -> Vec<u8> {
        if self.rows > 0 {
            self.sql.extend_from_slice(b";\n");
        }
        self.sql
    }
}

/// The literals of `row`'s key.
pub(crate) fn bound_of(table: &Table, row: &[Value]) -> Bound {
    let literal = |name: &String| {
        let at = table.columns.iter().position(|column| column.name == *name)?;
        Some(table.columns.get(at)?.key_literal(row.get(at)?))
    };
    table.key.iter().filter_map(literal).collect()
}

/// A run of ranges `[lower, upper)`.
pub(crate) type Run = (Option<Bound>, Option<Bound>);

/// What was written of a table.
pub(crate) struct Written {
    pub rows: u64,
    pub bytes: u64,
    pub stored: u64,
    pub largest_statement: u64,
    /// Runs of ranges that are not the parent's, as `[lower, upper)`.
    pub changed: Vec<Run>,
    pub sums: Vec<Sum>,
}

/// Writes a table's two files. At most `pool.depth()` ranges are in memory.
pub(crate) struct TableWriter<'a> {
    pool: &'a Pool,
    draft: &'a Draft,
    id: &'a BackupId,
    stem: &'a str,
    rows_file: Option<SummedFile>,
    ranges: LineWriter<SummedFile>,
    pending: VecDeque<Waiting>,
    written: Written,
    open_run: Option<Option<Bound>>,
}

struct Waiting {
    range: Range,
    parent: Option<Range>,
    sealed: Pending,
}

impl<'a> TableWriter<'a> {
    /// Begins the files of a table.
    pub fn new(draft: &'a Draft, pool: &'a Pool, id: &'a BackupId, stem: &'a str) -> Result<Self> {
        let ranges = LineWriter::new(draft.create(&ranges_path(stem))?);
        let written = Written {
            rows: 0,
            bytes: 0,
            stored: 0,
            largest_statement: 0,
            changed: Vec::new(),
            sums: Vec::new(),
        };
        let pending = VecDeque::with_capacity(pool.depth());
        Ok(Self { pool, draft, id, stem, rows_file: None, ranges, pending, written, open_run: None })
    }

    /// Takes the next range. When its hash is `parent`'s, the parent's copy is referred to.
    pub fn push(&mut self, batch: Batch, parent: Option<Range>) -> Result<()> {
        if self.pending.len() >= self.pool.depth() {
            self.settle()?;
        }
        let (lower, rows) = (batch.lower.clone(), batch.rows);
        let sql = batch.into_sql();
        let known = parent.as_ref().map(|range| range.hash);
        let range = Range {
            lower,
            rows,
            bytes: sql.len() as u64,
            hash: blake3::Hash::from_bytes([0; 32]),
            stored: None,
        };
        let sealed = self.pool.seal(sql, known)?;
        self.pending.push_back(Waiting { range, parent, sealed });
        Ok(())
    }

    /// Takes a range that was found to be the parent's.
    pub fn refer(&mut self, range: &Range) -> Result<()> {
        self.count(range);
        self.ranges.push(range).map_err(file("write", Path::new(self.stem)))
    }

    /// Finishes the files.
    pub fn finish(mut self) -> Result<Written> {
        while !self.pending.is_empty() {
            self.settle()?;
        }
        if let Some(lower) = self.open_run.take() {
            self.written.changed.push((lower, None));
        }
        if let Some(rows_file) = self.rows_file {
            self.written.stored = rows_file.length();
            self.written.sums.push(rows_file.finish()?);
        }
        self.written.sums.push(self.ranges.finish().map_err(file("write", Path::new(self.stem)))?.finish()?);
        Ok(self.written)
    }

    fn settle(&mut self) -> Result<()> {
        let Some(Waiting { mut range, parent, sealed }) = self.pending.pop_front() else { return Ok(()) };
        let sealed = sealed.wait()?;
        range.hash = sealed.hash;
        self.count(&range);
        match (sealed.member, parent) {
            (None, Some(parent)) => {
                range.stored = parent.stored;
                if let Some(lower) = self.open_run.take() {
                    self.written.changed.push((lower, range.lower.clone()));
                }
            }
            (member, _) => {
                self.open_run.get_or_insert_with(|| range.lower.clone());
                if range.rows > 0 {
                    range.stored = Some(self.store(&member.unwrap_or_default())?);
                }
            }
        }
        self.ranges.push(&range).map_err(file("write", Path::new(self.stem)))
    }

    fn count(&mut self, range: &Range) {
        self.written.rows += range.rows;
        self.written.bytes += range.bytes;
        self.written.largest_statement = self.written.largest_statement.max(range.bytes);
    }

    fn store(&mut self, member: &[u8]) -> Result<Stored> {
        let path = format!("db/{}.sql.gz", self.stem);
        let writing = |error| file("write", Path::new(&path))(error);
        let rows_file = match &mut self.rows_file {
            Some(rows_file) => rows_file,
            none => {
                let new = none.insert(self.draft.create(&path)?);
                new.write_all(&header().map_err(writing)?).map_err(writing)?;
                new
            }
        };
        let offset = rows_file.length();
        rows_file.write_all(member).map_err(writing)?;
        let length = member.len() as u64;
        Ok(Stored { backup: self.id.clone(), stem: self.stem.to_owned(), offset, length })
    }
}

fn header() -> std::io::Result<Vec<u8>> {
    member(SQL_HEADER.as_bytes(), Compression::new(LEVEL))
}
