//! Loading a backup's tables beside the site's, under other names.
//!
//! Nothing of the site is touched: a range whose bytes are damaged, a row the server refuses or a
//! full disk ends with the shadows dropped and the site as it was. Each range is loaded once, from
//! whichever backup has its newest copy; a chain is not replayed. Commits come every few megabytes:
//! one transaction for each table took 2.4 times as long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use mysql::prelude::Queryable;
use mysql::{Conn, Opts};
use serde::{Deserialize, Serialize};

use super::super::chain::Chain;
use super::super::fault::{database, fault};
use super::super::format::TablePart;
use super::super::gzip::cores;
use super::super::progress::Progress;
use super::super::rewrite::{Rewrite, Rows};
use super::super::verify::read_range;
use super::column::identifier;
use super::definition::{renamed, without_foreign_keys};
use super::read::TableReader;
use super::schema::{RESTORE_TABLES, Table};
use super::session::{hold, named_writer, run, writer};
use super::table::{insert_head, ranges_path};
use crate::error::Result;

/// How much is loaded between commits.
const COMMIT_BYTES: u64 = 4 * 1024 * 1024;

/// A table beside the one it will replace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shadow {
    /// The table's own name.
    pub table: String,
    /// The shadow's name.
    pub shadow: String,
    /// The name that the present table gets at the swap.
    pub old: String,
    /// Clauses that add its foreign keys.
    pub foreign_keys: Vec<String>,
}

impl Shadow {
    /// Names for the `number`th table of the restore `token`, far from any real table's name.
    pub fn new(table: &TablePart, token: &str, number: usize, rewrite: Option<&Rewrite>) -> Self {
        let (_, mut foreign_keys) = without_foreign_keys(&table.create);
        if let Some(rewrite) = rewrite {
            foreign_keys = foreign_keys.iter().map(|clause| rewrite.foreign_key(clause)).collect();
        }
        Self {
            table: rewrite.map_or_else(|| table.name.clone(), |rewrite| rewrite.name(&table.name)),
            shadow: format!("{RESTORE_TABLES}{token}_new_{number}"),
            old: format!("{RESTORE_TABLES}{token}_old_{number}"),
            foreign_keys,
        }
    }
}

/// Sessions that a restore may have at work, whatever the machine.
const SESSIONS: usize = 8;

/// What the `number`th session of a restore holds while it works.
fn session_name(shadows: &[Shadow], number: usize) -> Option<String> {
    shadows.first().map(|first| format!("{} {number}", first.shadow))
}

/// A session that changes the site for the restore of `shadows`: it is alone at that.
pub(crate) fn sole_writer(opts: &Opts, shadows: &[Shadow]) -> Result<Conn> {
    let mut conn = writer(opts)?;
    for name in (0..SESSIONS).filter_map(|number| session_name(shadows, number)) {
        hold(&mut conn, &name)?;
    }
    Ok(conn)
}

/// Loading the tables of a backup.
pub(crate) struct Load<'a> {
    pub opts: &'a Opts,
    pub chain: &'a Chain,
    pub tables: Vec<(&'a TablePart, &'a Shadow)>,
    pub progress: &'a Progress<'a>,
    /// What shall be different from the backup.
    pub rewrite: Option<&'a Rewrite>,
}

impl Load<'_> {
    /// Loads every table into its shadow.
    pub fn run(&self) -> Result<()> {
        let mut order = self.tables.clone();
        order.sort_by_key(|(table, _)| table.bytes);
        self.progress.expect(order.iter().map(|(table, _)| table.bytes).sum(), order.len() as u64);
        let jobs = Mutex::new(order);
        let stop = AtomicBool::new(false);
        let shadows: Vec<Shadow> = self.tables.iter().map(|(_, shadow)| (*shadow).clone()).collect();
        let work = |number: usize| -> Result<()> {
            let name = session_name(&shadows, number).unwrap_or_default();
            let mut conn = named_writer(self.opts, &name)?;
            loop {
                let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some((table, shadow)) = next else { return Ok(()) };
                self.table(&mut conn, table, shadow, &stop).map_err(|error| {
                    stop.store(true, Ordering::Relaxed);
                    error.context(format!("table {}", table.name))
                })?;
                self.progress.part_done();
            }
        };
        thread::scope(|scope| {
            let loaders: Vec<_> =
                (0..cores().min(SESSIONS)).map(|number| scope.spawn(move || work(number))).collect();
            let panicked = |_| Err(fault("a load thread panicked"));
            let ended = loaders.into_iter().map(|loader| loader.join().unwrap_or_else(panicked));
            ended.collect::<Vec<Result<()>>>().into_iter().collect()
        })
    }

    fn table(&self, conn: &mut Conn, table: &TablePart, shadow: &Shadow, stop: &AtomicBool) -> Result<()> {
        create_shadow(conn, table, shadow)?;
        let head = insert_head(&table.name, &table.columns);
        let new_head = insert_head(&shadow.shadow, &table.columns);
        let mut rows = 0;
        let mut uncommitted = 0;
        let rewrite = self.rewrite.map(|rewrite| (rewrite, rewrite.rows(table)));
        run(conn, "SET autocommit=0")?;
        for range in self.chain.lines(&ranges_path(&table.stem))? {
            let range = range?;
            let sql = read_range(self.chain, &range)?;
            if !sql.is_empty() {
                let values = std::str::from_utf8(&sql).ok().and_then(|sql| sql.strip_prefix(head.as_str()));
                let values = values.ok_or_else(|| fault("a range is not an insert into it"))?;
                let statement = match &rewrite {
                    None => [new_head.as_str(), values].concat(),
                    Some((rewrite, rows)) => rewritten(&new_head, values, rewrite, rows)?,
                };
                conn.query_drop(statement).map_err(database("loading rows"))?;
                rows += conn.affected_rows();
                uncommitted += range.bytes;
                self.progress.add(range.bytes);
            }
            if uncommitted >= COMMIT_BYTES {
                run(conn, "COMMIT")?;
                uncommitted = 0;
            }
            if stop.load(Ordering::Relaxed) {
                return Err(fault("stopped because another table failed"));
            }
        }
        run(conn, "COMMIT")?;
        run(conn, "SET autocommit=1")?;
        if rows != table.rows {
            return Err(fault(format!("{rows} rows were loaded, the backup has {}", table.rows)));
        }
        Ok(())
    }
}

/// Counts what `rewrite` would change in `table`.
pub(crate) fn count_rewrites(chain: &Chain, table: &TablePart, rewrite: &Rewrite) -> Result<()> {
    let (head, rows) = (insert_head(&table.name, &table.columns), rewrite.rows(table));
    for range in chain.lines(&ranges_path(&table.stem))? {
        let sql = read_range(chain, &range?)?;
        if let Some(values) = std::str::from_utf8(&sql).ok().and_then(|sql| sql.strip_prefix(head.as_str())) {
            rewritten("", values, rewrite, &rows)?;
        }
    }
    Ok(())
}

fn rewritten(head: &str, values: &str, rewrite: &Rewrite, rows: &Rows<'_>) -> Result<String> {
    let mut statement = Vec::with_capacity(head.len() + values.len() + 1024);
    statement.extend_from_slice(head.as_bytes());
    let tally = rows.rewrite(values.as_bytes(), &mut statement);
    rewrite.count(tally.ok_or_else(|| fault("a range is not made of rows"))?);
    String::from_utf8(statement).map_err(|_| fault("a range is not text"))
}

fn create_shadow(conn: &mut Conn, table: &TablePart, shadow: &Shadow) -> Result<()> {
    let (create, _) = without_foreign_keys(&table.create);
    let create = renamed(&create, &table.name, &shadow.shadow);
    run(conn, &create.ok_or_else(|| fault("its definition is malformed"))?)?;
    match table.auto_increment {
        Some(counter) => {
            run(conn, &format!("ALTER TABLE {} AUTO_INCREMENT={counter}", identifier(&shadow.shadow)))
        }
        None => Ok(()),
    }
}

/// Whether the shadow of `table` holds exactly what the backup has, read back row by row.
pub(crate) fn is_exact(
    conn: &mut Conn,
    chain: &Chain,
    (table, shadow): (&TablePart, &Shadow),
    progress: &Progress<'_>,
) -> Result<bool> {
    let described = Table {
        name: shadow.shadow.clone(),
        engine: table.engine.clone(),
        create: table.create.clone(),
        auto_increment: table.auto_increment,
        columns: table.columns.clone(),
        key: table.key.clone(),
        index: String::new(),
        estimated_bytes: table.bytes,
    };
    let still = AtomicBool::new(false);
    let mut reader = TableReader {
        conn,
        table: &described,
        head: insert_head(&table.name, &table.columns),
        size: table.range_size as usize,
        stop: &still,
        moved: &still,
        progress,
    };
    reader.has_rows_of(chain.lines(&ranges_path(&table.stem))?)
}

/// Drops the shadows, whether or not they were created.
pub(crate) fn drop_shadows(conn: &mut Conn, shadows: &[Shadow]) -> Result<()> {
    drop_tables(conn, shadows.iter().map(|shadow| shadow.shadow.as_str()))
}

/// Drops `tables` where they exist.
pub(crate) fn drop_tables<'a>(conn: &mut Conn, tables: impl Iterator<Item = &'a str>) -> Result<()> {
    for table in tables {
        run(conn, &format!("DROP TABLE IF EXISTS {}", identifier(table)))?;
    }
    Ok(())
}
