//! Reading the database into a backup.
//!
//! Sessions of one snapshot take tables from a list, largest first. Each streams its table in key
//! order and never holds more than a few ranges, so memory does not grow with the data. A table
//! that is altered under the snapshot (error 1412) makes the whole snapshot worthless: it is taken
//! again, at most three times, and never skipped.
//!
//! With a parent, a table of the same definition is read range by range of the parent, and only
//! ranges with another hash are stored. Deletes need no log: a range that lost a row has another
//! hash. Any other table is dropped and created again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use mysql::prelude::Queryable;
use mysql::{Conn, Opts};

use super::super::chain::Chain;
use super::super::fault::{database, fault};
use super::super::format::{DatabasePart, Lineage, Object, RangeReader, Sum, TablePart};
use super::super::gzip::{Pool, cores};
use super::super::id::BackupId;
use super::super::progress::Progress;
use super::super::store::{Draft, hex};
use super::read::TableReader;
use super::schema::{self, Table, TableFilter};
use super::snapshot::Snapshot;
use super::sql_file::{Removals, write_deletes, write_post, write_pre};
use super::table::{TableWriter, Written, insert_head, range_size, ranges_path};
use crate::error::Result;

const ATTEMPTS: u32 = 3;

/// What to read and what it builds on.
pub(crate) struct Dump<'a> {
    pub opts: &'a Opts,
    pub filter: &'a TableFilter,
    pub id: &'a BackupId,
    pub pool: &'a Pool,
    pub parent: Option<&'a Chain>,
    pub progress: &'a Progress<'a>,
}

/// Writes the database component into `draft`.
pub(crate) fn dump(work: &Dump<'_>, draft: &mut Draft) -> Result<DatabasePart> {
    let mut attempt = 1;
    loop {
        let moved = AtomicBool::new(false);
        match Attempt::begin(work, draft, &moved).and_then(Attempt::run) {
            Ok((part, sums)) => {
                sums.into_iter().for_each(|sum| draft.keep(sum));
                return Ok(part);
            }
            Err(_) if moved.load(Ordering::Relaxed) && attempt < ATTEMPTS => {
                draft.clear("db")?;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// One snapshot and what is in it.
struct Attempt<'a> {
    work: &'a Dump<'a>,
    draft: &'a Draft,
    moved: &'a AtomicBool,
    stop: AtomicBool,
    snapshot: Snapshot,
    name: String,
    server: String,
    tables: Vec<Table>,
    stems: Vec<String>,
    objects: Vec<Object>,
}

/// A table in the backup: what was written, and whether it is dropped and created again.
struct Outcome {
    written: Written,
    range_size: usize,
    recreated: bool,
}

impl<'a> Attempt<'a> {
    fn begin(work: &'a Dump<'a>, draft: &'a Draft, moved: &'a AtomicBool) -> Result<Self> {
        let mut snapshot = Snapshot::take(work.opts, cores())?;
        let conn = snapshot.sessions.first_mut().ok_or_else(|| fault("the snapshot has no session"))?;
        let facts: Option<(Option<String>, String)> = conn
            .query_first("SELECT DATABASE(), VERSION()")
            .map_err(database("asking for the database's name"))?;
        let (name, server) = facts.unwrap_or_default();
        let name = name.ok_or_else(|| fault("the connection names no database"))?;
        let tables = schema::tables(conn, work.filter)?;
        let objects = schema::objects(conn, work.filter)?;
        let stems = if draft.is_encrypted() { numbers(&tables) } else { stems(&tables) };
        work.progress.expect(tables.iter().map(|table| table.estimated_bytes).sum(), tables.len() as u64);
        let stop = AtomicBool::new(false);
        Ok(Self { work, draft, moved, stop, snapshot, name, server, tables, stems, objects })
    }

    fn run(mut self) -> Result<(DatabasePart, Vec<Sum>)> {
        let outcomes = self.read_tables()?;
        let mut sums = self.write_around(&outcomes)?;
        let lineage = Lineage::of(self.work.id, self.parent().map(|part| &part.lineage));
        let mut tables = Vec::with_capacity(self.tables.len());
        let mut largest_statement = 0;
        for ((table, stem), outcome) in self.tables.into_iter().zip(self.stems).zip(outcomes) {
            largest_statement = largest_statement.max(outcome.written.largest_statement);
            tables.push(part(table, stem, &outcome));
            sums.extend(outcome.written.sums);
        }
        let part = DatabasePart {
            lineage,
            name: self.name,
            filter: self.work.filter.clone(),
            server: self.server,
            snapshot_at: self.snapshot.at,
            binlog: self.snapshot.binlog,
            consistency: self.snapshot.consistency.to_owned(),
            largest_statement,
            tables,
            objects: self.objects,
        };
        Ok((part, sums))
    }

    /// Reads every table, in as many threads as there are sessions.
    fn read_tables(&mut self) -> Result<Vec<Outcome>> {
        let sessions = std::mem::take(&mut self.snapshot.sessions);
        let mut order: Vec<usize> = (0..self.tables.len()).collect();
        order.sort_by_key(|at| self.tables.get(*at).map(|table| table.estimated_bytes));
        let jobs = Mutex::new(order);
        let done: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::with_capacity(self.tables.len()));
        let this = &*self;
        let read = |mut conn: Conn| -> Result<()> {
            loop {
                let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(at) = next else { return Ok(()) };
                let outcome = this
                    .read_table(&mut conn, at)
                    .inspect_err(|_| this.stop.store(true, Ordering::Relaxed))?;
                done.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
            }
        };
        thread::scope(|scope| {
            let readers: Vec<_> = sessions.into_iter().map(|conn| scope.spawn(|| read(conn))).collect();
            let ended: Vec<Result<()>> = readers
                .into_iter()
                .map(|reader| reader.join().unwrap_or_else(|_| Err(fault("a dump thread panicked"))))
                .collect();
            ended.into_iter().collect::<Result<()>>()
        })?;
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        Ok(done.into_iter().map(|(_, outcome)| outcome).collect())
    }

    fn read_table(&self, conn: &mut Conn, at: usize) -> Result<Outcome> {
        let (Some(table), Some(stem)) = (self.tables.get(at), self.stems.get(at)) else {
            return Err(fault("a table was lost from the list"));
        };
        let parent = self.parent_of(table);
        let size = parent
            .as_ref()
            .map_or_else(|| range_size(table.estimated_bytes), |part| part.range_size as usize);
        let head = insert_head(&table.name, &table.columns);
        let progress = self.work.progress;
        let mut reader =
            TableReader { conn, table, head, size, stop: &self.stop, moved: self.moved, progress };
        let mut writer = TableWriter::new(self.draft, self.work.pool, self.work.id, stem)?;
        let recreated = match parent {
            None => reader.read_all(&mut writer).map(|()| true),
            Some(part) if table.key.is_empty() => self.read_keyless(&mut reader, part, &mut writer),
            Some(part) => reader.read_changes(self.parent_ranges(part)?, &mut writer).map(|()| false),
        };
        let recreated = recreated.map_err(|error| error.context(format!("table {}", table.name)))?;
        progress.part_done();
        Ok(Outcome { written: writer.finish()?, range_size: size, recreated })
    }

    /// Without a key, rows cannot be told apart: the table is the parent's or it is new.
    fn read_keyless(
        &self,
        reader: &mut TableReader<'_>,
        parent: &TablePart,
        writer: &mut TableWriter<'_>,
    ) -> Result<bool> {
        if !reader.unchanged(self.parent_ranges(parent)?)? {
            return reader.read_all(writer).map(|()| true);
        }
        for range in self.parent_ranges(parent)? {
            writer.refer(&range?)?;
        }
        Ok(false)
    }

    /// The table in the parent, when it had the same definition.
    fn parent_of(&self, table: &Table) -> Option<&'a TablePart> {
        let same = |part: &&TablePart| {
            part.name == table.name
                && part.create == table.create
                && part.columns == table.columns
                && part.key == table.key
        };
        self.parent()?.tables.iter().find(same)
    }

    fn parent(&self) -> Option<&'a DatabasePart> {
        self.work.parent.and_then(Chain::database)
    }

    fn parent_ranges(&self, table: &TablePart) -> Result<RangeReader> {
        let parent = self.work.parent.ok_or_else(|| fault("there is no parent"))?;
        parent.lines(&ranges_path(&table.stem))
    }

    /// Writes the SQL before and after the rows.
    fn write_around(&self, outcomes: &[Outcome]) -> Result<Vec<Sum>> {
        let parent = self.parent();
        let gone = |part: &&TablePart| !self.tables.iter().any(|table| table.name == part.name);
        let removals = Removals {
            objects: parent.map(|part| part.objects.as_slice()).unwrap_or_default(),
            tables: parent
                .iter()
                .flat_map(|part| &part.tables)
                .filter(gone)
                .map(|part| part.name.as_str())
                .collect(),
        };
        let pairs = || self.tables.iter().zip(outcomes);
        let recreated = pairs().filter(|(_, outcome)| outcome.recreated).map(|(table, _)| table);
        let changed = pairs().filter(|(_, outcome)| !outcome.recreated);
        let mut sums = vec![
            write_pre(self.draft, &removals, recreated)?,
            write_post(self.draft, &self.objects, &self.tables)?,
        ];
        if parent.is_some() {
            let runs = changed.map(|(table, outcome)| (table, outcome.written.changed.as_slice()));
            sums.push(write_deletes(self.draft, runs)?);
        }
        Ok(sums)
    }
}

fn part(table: Table, stem: String, outcome: &Outcome) -> TablePart {
    TablePart {
        in_snapshot: table.transactional(),
        name: table.name,
        stem,
        engine: table.engine,
        create: table.create,
        auto_increment: table.auto_increment,
        columns: table.columns,
        key: table.key,
        range_size: outcome.range_size as u64,
        rows: outcome.written.rows,
        bytes: outcome.written.bytes,
        stored: outcome.written.stored,
        recreated: outcome.recreated,
    }
}

/// File stems that say nothing of the tables.
fn numbers(tables: &[Table]) -> Vec<String> {
    (1..=tables.len()).map(|number| format!("100-{number:05}")).collect()
}

/// File stems, one for each table: `100-` sorts them between what goes before and after, and a
/// name that is not plain ASCII gets a hash so that no two tables share a stem.
fn stems(tables: &[Table]) -> Vec<String> {
    let mut taken = HashSet::new();
    tables.iter().map(|table| stem(&table.name, &mut taken)).collect()
}

fn stem(name: &str, taken: &mut HashSet<String>) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let safe: String = name.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
    let mut stem = format!("100-{safe}");
    if safe != name || !taken.insert(stem.to_ascii_lowercase()) {
        let hash = blake3::hash(name.as_bytes());
        stem.push('-');
        stem.push_str(&hex(hash.as_bytes().get(..6).unwrap_or_default()));
    }
    stem
}
