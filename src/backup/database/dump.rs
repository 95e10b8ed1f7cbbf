//! Reading the database into a backup.
//!
//! Sessions of one snapshot take tables from a list, largest first. Each streams its table in key
//! order and never holds more than a few ranges, so memory does not grow with the data. A table
//! that is altered under the snapshot (error 1412) makes the whole snapshot worthless: it is taken
//! again, at most three times, and never skipped.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, Value};

use super::super::fault::{database, fault};
use super::super::format::{DatabasePart, Object, Sum, TablePart};
use super::super::gzip::{Pool, cores};
use super::super::id::BackupId;
use super::super::store::{Draft, hex};
use super::column::identifier;
use super::schema::{self, Table, TableFilter};
use super::snapshot::Snapshot;
use super::sql_file::{Removals, write_post, write_pre};
use super::table::{Batch, TableWriter, Written, bound_of, insert_head, range_size};
use crate::error::Result;

const ATTEMPTS: u32 = 3;

/// What to read and where to write it.
pub(crate) struct Dump<'a> {
    pub opts: &'a Opts,
    pub filter: &'a TableFilter,
    pub id: &'a BackupId,
    pub pool: &'a Pool,
}

/// Writes the database component into `draft`.
pub(crate) fn dump(work: &Dump<'_>, draft: &mut Draft) -> Result<DatabasePart> {
    let mut attempt = 1;
    loop {
        let moved = AtomicBool::new(false);
        match once(work, draft, &moved) {
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

fn once(work: &Dump<'_>, draft: &Draft, moved: &AtomicBool) -> Result<(DatabasePart, Vec<Sum>)> {
    let mut snapshot = Snapshot::take(work.opts, cores())?;
    let (name, server, tables, objects) = describe(&mut snapshot, work.filter)?;
    let stems = stems(&tables);
    let jobs = {
        let mut jobs: Vec<usize> = (0..tables.len()).collect();
        jobs.sort_by_key(|at| tables.get(*at).map(|table| table.estimated_bytes));
        Mutex::new(jobs)
    };
    let done: Mutex<Vec<(usize, Written)>> = Mutex::new(Vec::with_capacity(tables.len()));
    let stop = AtomicBool::new(false);

    let read_tables = |mut conn: Conn| -> Result<()> {
        while let Some(at) = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            let (Some(table), Some(stem)) = (tables.get(at), stems.get(at)) else { continue };
            let mut writer = TableWriter::new(draft, work.pool, work.id, stem)?;
            let read = read_table(&mut conn, table, &mut writer, &stop, moved);
            if let Err(error) = read {
                stop.store(true, Ordering::Relaxed);
                return Err(error.context(format!("table {}", table.name)));
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, writer.finish()?));
        }
        Ok(())
    };
    thread::scope(|scope| {
        let readers: Vec<_> =
            snapshot.sessions.drain(..).map(|conn| scope.spawn(|| read_tables(conn))).collect();
        let ended =
            readers.into_iter().map(|reader| reader.join().map_err(|_| fault("a dump thread panicked"))?);
        ended.collect::<Vec<Result<()>>>().into_iter().collect::<Result<()>>()
    })?;

    let mut written = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    written.sort_by_key(|(at, _)| *at);
    let mut sums =
        vec![write_pre(draft, &Removals::default(), tables.iter())?, write_post(draft, &objects, &tables)?];
    let mut parts = Vec::with_capacity(tables.len());
    let mut largest_statement = 0;
    for ((table, stem), (_, written)) in tables.into_iter().zip(stems).zip(written) {
        largest_statement = largest_statement.max(written.largest_statement);
        let in_snapshot = table.transactional();
        parts.push(TablePart {
            name: table.name,
            stem,
            engine: table.engine,
            create: table.create,
            auto_increment: table.auto_increment,
            columns: table.columns,
            key: table.key,
            rows: written.rows,
            bytes: written.bytes,
            stored: written.stored,
            recreated: true,
            in_snapshot,
        });
        sums.extend(written.sums);
    }
    let part = DatabasePart {
        name,
        server,
        snapshot_at: snapshot.at,
        binlog: snapshot.binlog,
        consistency: snapshot.consistency.to_owned(),
        largest_statement,
        tables: parts,
        objects,
    };
    Ok((part, sums))
}

type Description = (String, String, Vec<Table>, Vec<Object>);

fn describe(snapshot: &mut Snapshot, filter: &TableFilter) -> Result<Description> {
    let conn = snapshot.sessions.first_mut().ok_or_else(|| fault("the snapshot has no session"))?;
    let facts: Option<(Option<String>, String)> = conn
        .query_first("SELECT DATABASE(), VERSION()")
        .map_err(database("asking for the database's name"))?;
    let (name, server) = facts.unwrap_or_default();
    let name = name.ok_or_else(|| fault("the connection names no database"))?;
    Ok((name, server, schema::tables(conn, filter)?, schema::objects(conn, filter)?))
}

fn read_table(
    conn: &mut Conn,
    table: &Table,
    writer: &mut TableWriter<'_>,
    stop: &AtomicBool,
    moved: &AtomicBool,
) -> Result<()> {
    let head = insert_head(&table.name, &table.columns);
    let size = range_size(table.estimated_bytes);
    let mut batch = Batch::new(None);
    scan(conn, table, "1", moved, |row| {
        if batch.length() >= size {
            let next = Batch::new(Some(bound_of(table, row)));
            writer.push(std::mem::replace(&mut batch, next), None)?;
            if stop.load(Ordering::Relaxed) {
                return Err(fault("stopped because another table failed"));
            }
        }
        batch.push(&head, &table.columns, row);
        Ok(())
    })?;
    writer.push(batch, None)
}

/// Calls `each` for every row of `table` that meets `condition`, in key order.
fn scan(
    conn: &mut Conn,
    table: &Table,
    condition: &str,
    moved: &AtomicBool,
    mut each: impl FnMut(&[Value]) -> Result<()>,
) -> Result<()> {
    let failed = |error: mysql::Error| {
        if definition_changed(&error) {
            moved.store(true, Ordering::Relaxed);
        }
        database("reading rows")(error)
    };
    let mut rows = conn.query_iter(select(table, condition)).map_err(failed)?;
    while let Some(set) = rows.iter() {
        for row in set {
            each(&row.map_err(failed)?.unwrap())?;
        }
    }
    Ok(())
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
