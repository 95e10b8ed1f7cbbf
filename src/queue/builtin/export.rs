//! `data_export`: a table of the site as CSV or JSON Lines, in constant memory.
//!
//! Rows are read by key in pieces and written as they come, into a file that gets its name when it
//! is whole: a worker that dies leaves nothing that looks finished. The name cannot be guessed, the
//! folder is closed to the web server, and the link carries an end and a signature. A cell that a
//! spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV injection).

mod csv;
mod link;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{columns, quoted, text};
use crate::error::{Error, Kind, Result};
use crate::ports::Row;
use crate::queue::store::Store;
use crate::queue::task::Task;
use crate::queue::worker::Outcome;
use crate::queue::{Queue, random, sql};

pub use link::{Link, LinkKey};

/// How many rows are in memory at once.
const CHUNK: usize = 1000;

/// What may be exported, and from which table after the prefix.
const SOURCES: [(&str, &str); 2] =
    [("transactions", "slbp_transactions"), ("subscriptions", "slbp_subscriptions")];

/// An export that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// How many rows are in it.
    pub rows: u64,
}

/// What came of an export.
#[derive(Clone, Debug, PartialEq)]
pub enum Export {
    /// The file is there.
    Done(Exported),
    /// There is none, and why.
    Over(Outcome),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// What one task asks for.
struct Plan {
    table: String,
    columns: Vec<String>,
    condition: String,
    format: Format,
    stem: String,
}

/// Writes the export of `task` into `folder`; `is_cancelled` is asked between pieces.
///
/// # Errors
/// The database's, or [`Kind::Queue`] when the file cannot be written. Nothing of it is left then.
pub fn write(queue: &Queue, task: &Task, folder: &Path, is_cancelled: &dyn Fn() -> bool) -> Result<Export> {
    let store = queue.on(queue.link())?;
    let plan = match plan(queue, &store, &task.task_data)? {
        Ok(plan) => plan,
        Err(why) => return Ok(Export::Over(Outcome::Dead(why))),
    };
    let file = |error: io::Error| Error::new(Kind::Queue, format!("{}: {error}", folder.display()));
    protect(folder).map_err(file)?;
    let path = folder.join(plan.file_name());
    let partial = path.with_extension("part");
    let written = write_rows(&store, task, &plan, &partial, is_cancelled);
    match written {
        Ok(Some(rows)) => {
            fs::rename(&partial, &path).map_err(file)?;
            Ok(Export::Done(Exported { path, rows }))
        }
        Ok(None) => {
            fs::remove_file(&partial).map_err(file)?;
            Ok(Export::Over(Outcome::Cancelled))
        }
        Err(error) => {
            let _ = fs::remove_file(&partial);
            Err(error)
        }
    }
}

fn plan(queue: &Queue, store: &Store<'_>, data: &Value) -> Result<std::result::Result<Plan, String>> {
    let source = text(data, "type").unwrap_or("transactions");
    let Some((_, table)) = SOURCES.iter().find(|(name, _)| *name == source) else {
        return Ok(Err(format!("type: expected transactions or subscriptions, got '{source}'")));
    };
    let format = match text(data, "format").unwrap_or("csv") {
        "csv" => Format::Csv,
        "jsonl" => Format::JsonLines,
        other => return Ok(Err(format!("format: expected csv or jsonl, got '{other}'"))),
    };
    let table = format!("{}{table}", queue.settings().database.prefix);
    let columns = columns(store.db, &table)?;
    if !columns.iter().any(|name| name == "id") {
        return Ok(Err(format!("there is no table {table} with a column id")));
    }
    let range = data.get("date_range").unwrap_or(&Value::Null);
    let condition = match (text(range, "start"), text(range, "end")) {
        (Some(start), Some(end)) => {
            format!("AND created_at BETWEEN {} AND {}", sql::text(start), sql::text(end))
        }
        _ => String::new(),
    };
    let date = queue.zone().show(store.now()?);
    let stem = format!("{source}-{}", date.split(' ').next().unwrap_or_default());
    Ok(Ok(Plan { table, columns, condition, format, stem }))
}

impl Plan {
    fn file_name(&self) -> String {
        let extension = if self.format == Format::Csv { "csv" } else { "jsonl" };
        format!("{}-{:016x}{:016x}.{extension}", self.stem, random::token(), random::token())
    }

    fn piece_after(&self, last: u64) -> String {
        format!(
            "SELECT id, {} FROM {} WHERE id > {last} {} ORDER BY id LIMIT {CHUNK}",
            quoted(&self.columns),
            self.table,
            self.condition
        )
    }

    fn write_row(&self, out: &mut impl Write, row: &[Option<String>]) -> io::Result<()> {
        if self.format == Format::Csv {
            return csv::write_row(out, row.iter().map(|cell| cell.as_deref().unwrap_or_default()));
        }
        let values = row.iter().map(|cell| cell.clone().map_or(Value::Null, Value::from));
        let object: Map<String, Value> = self.columns.iter().cloned().zip(values).collect();
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")
    }
}

/// Writes every row; `None` when it was cancelled.
fn write_rows(
    store: &Store<'_>,
    task: &Task,
    plan: &Plan,
    path: &Path,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Option<u64>> {
    let file = |error: io::Error| Error::new(Kind::Queue, format!("{}: {error}", path.display()));
    let total: u64 = sql::first(
        &store.db.query(&format!("SELECT COUNT(*) FROM {} WHERE id > 0 {}", plan.table, plan.condition))?,
    )?
    .unwrap_or_default();
    let mut out = BufWriter::new(create(path).map_err(file)?);
    if plan.format == Format::Csv {
        csv::write_row(&mut out, plan.columns.iter().map(String::as_str)).map_err(file)?;
    }
    let (mut written, mut last) = (0, 0);
    loop {
        if is_cancelled() {
            return Ok(None);
        }
        let rows = store.db.query(&plan.piece_after(last))?;
        for row in &rows {
            let (id, cells) = split(row)?;
            plan.write_row(&mut out, cells).map_err(file)?;
            last = id;
        }
        written += rows.len() as u64;
        store.progress(task.id, written, total.max(written), "rows")?;
        if rows.len() < CHUNK {
            break;
        }
    }
    out.into_inner().map_err(|error| file(error.into_error()))?.sync_all().map_err(file)?;
    Ok(Some(written))
}

fn split(row: &Row) -> Result<(u64, &[Option<String>])> {
    let id = sql::Columns::of(row).number()?;
    Ok((id, row.get(1..).unwrap_or_default()))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes the folder and closes it to web servers that read `.htaccess`; for nginx the names are
/// secret, and the site's configuration is told to deny it.
fn protect(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, content) in [(".htaccess", "Require all denied\nDeny from all\n"), ("index.html", "")] {
        let path = folder.join(name);
        if !path.exists() {
            fs::write(path, content)?;
        }
    }
    Ok(())
}
