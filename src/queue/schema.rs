//! The queue's tables and how they came to be.
//!
//! Owns: the public table with the columns that existing sites have, our columns and indexes beside
//! them, our small tables, and the migrations from nothing, from the existing plugin's table, and
//! from every version of ours. Refuses to do: touch a row; [`super::adopt`] brings rows that know
//! only the public columns into the queue, in bounded pieces, while it works.
//!
//! Each step asks what is there before it adds anything, so it may be run twice, be interrupted,
//! and meet a table somebody else has changed. Steps run under a named lock: two web servers that
//! are updated together migrate once. Columns are added without a copy of the table (`INSTANT`)
//! and indexes without a lock on it (`INPLACE`), where the server can; the default algorithm is
//! the last resort.
//!
//! The index `slbp_claim (state, lane, sort_key, run_at)` serves every state: `lane` is what the
//! rows of a state wait for, `sort_key` the order in which it comes.
//!
//! | state | lane | sort_key |
//! |---|---|---|
//! | scheduled | | `run_at` |
//! | blocked, waiting | `after:ID` or `batch:NAME` | |
//! | gated | task type | [`super::order`] |
//! | ready | queue | [`super::order`] |
//! | leased | task type | end of the lease |
//! | held, done, dead, cancelled | | when that came about |

use crate::error::{Error, Result};
use crate::ports::{Database, DatabaseFault};

use super::sql;

/// The names of the queue's tables. They need no quoting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Tasks: the public table.
    pub tasks: String,
    /// What is set per task type: pause, concurrency, rate.
    pub types: String,
    /// Counters, and the few numbers that workers share.
    pub counters: String,
    /// Which charges were started and settled.
    pub ledger: String,
}

impl Tables {
    /// The public table `tasks` and ours, named after it.
    ///
    /// # Errors
    /// Invalid argument when the name would need quoting or leaves no room for ours.
    pub fn named(tasks: &str) -> Result<Self> {
        let plain = tasks.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$');
        if tasks.is_empty() || tasks.len() > 54 || !plain {
            let expected = format!("expected 1 to 54 letters, digits and _, got '{tasks}'");
            return Err(Error::invalid("table", expected));
        }
        Ok(Self {
            tasks: tasks.to_owned(),
            types: format!("{tasks}_types"),
            counters: format!("{tasks}_counters"),
            ledger: format!("{tasks}_ledger"),
        })
    }
}

/// The version that [`migrate`] leaves.
pub const VERSION: i64 = 1;

/// How long to wait for another process that migrates, seconds.
const LOCK_WAIT: u32 = 60;

/// The existing plugin's columns, without its single-column indexes: none serves a claim, and each
/// would be paid for on every change of a task.
const PUBLIC_COLUMNS: &str = "
    id bigint(20) NOT NULL AUTO_INCREMENT,
    task_type varchar(50) NOT NULL,
    task_data longtext NOT NULL,
    priority int(11) NOT NULL DEFAULT 10,
    status varchar(20) NOT NULL DEFAULT 'pending',
    retry_count int(11) NOT NULL DEFAULT 0,
    scheduled_at datetime NOT NULL,
    started_at datetime DEFAULT NULL,
    completed_at datetime DEFAULT NULL,
    error_message text DEFAULT NULL,
    created_at datetime DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id)";

/// Ours. Every one has a default, so that code that knows only the public columns can still insert;
/// `state` 0 then says that the row is to be adopted.
const OWN_COLUMNS: [(&str, &str); 19] = [
    ("state", "tinyint unsigned NOT NULL DEFAULT 0"),
    ("lane", "varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT ''"),
    ("sort_key", "bigint NOT NULL DEFAULT 0"),
    ("run_at", "bigint NOT NULL DEFAULT 0"),
    ("queue", "varchar(50) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'default'"),
    ("lease_token", "bigint unsigned DEFAULT NULL"),
    ("worker", "varchar(100) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL"),
    ("crash_count", "smallint unsigned NOT NULL DEFAULT 0"),
    ("on_crash", "tinyint unsigned DEFAULT NULL"),
    ("max_attempts", "smallint unsigned DEFAULT NULL"),
    ("timeout", "int unsigned DEFAULT NULL"),
    ("unique_key", "binary(32) DEFAULT NULL"),
    ("batch_id", "varchar(50) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL"),
    ("batch_open", "tinyint unsigned DEFAULT NULL"),
    ("after_tasks", "text CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL"),
    ("cancel_requested", "tinyint unsigned NOT NULL DEFAULT 0"),
    ("progress_done", "bigint unsigned NOT NULL DEFAULT 0"),
    ("progress_total", "bigint unsigned NOT NULL DEFAULT 0"),
    ("progress_message", "varchar(255) CHARACTER SET utf8mb4 NOT NULL DEFAULT ''"),
];

const OWN_INDEXES: [(&str, &str); 3] = [
    ("slbp_claim", "INDEX slbp_claim (state, lane, sort_key, run_at)"),
    ("slbp_unique", "UNIQUE INDEX slbp_unique (unique_key)"),
    ("slbp_batch", "INDEX slbp_batch (batch_id, batch_open)"),
];

type Step = fn(&dyn Database, &Tables) -> Result<(), DatabaseFault>;

/// From each version to the next.
const STEPS: [Step; VERSION as usize] = [create];

/// Whether the tables are those of this version.
pub fn is_current(db: &dyn Database, tables: &Tables) -> bool {
    version(db, tables).is_ok_and(|found| found == Some(VERSION))
}

/// Brings the tables to this version, from whatever is there. Does nothing to tables that have
/// everything, so it is also the repair of a table that a restored backup has replaced.
///
/// # Errors
/// The fault of a step: no permission, no room, or the lock was not given in a minute.
pub fn migrate(db: &dyn Database, tables: &Tables) -> Result<(), DatabaseFault> {
    let lock = sql::text(&format!("slbp:{}", tables.tasks));
    let taken: Option<u8> = sql::first(&db.query(&format!("SELECT GET_LOCK({lock}, {LOCK_WAIT})"))?)?;
    if taken != Some(1) {
        let message = format!("another process has been migrating {} for {LOCK_WAIT} s", tables.tasks);
        return Err(DatabaseFault { code: 1205, message });
    }
    let result = STEPS.iter().try_for_each(|step| step(db, tables)).and_then(|()| set_version(db, tables));
    db.query(&format!("SELECT RELEASE_LOCK({lock})"))?;
    result
}

fn version(db: &dyn Database, tables: &Tables) -> Result<Option<i64>, DatabaseFault> {
    sql::first(&db.query(&format!("SELECT n FROM {} WHERE name = 'schema' AND slot = 0", tables.counters))?)
}

fn set_version(db: &dyn Database, tables: &Tables) -> Result<(), DatabaseFault> {
    let statement = "(name, slot, n) VALUES ('schema', 0, {VERSION}) ON DUPLICATE KEY UPDATE n = {VERSION}";
    let statement = statement.replace("{VERSION}", &VERSION.to_string());
    db.execute(&format!("INSERT INTO {} {statement}", tables.counters)).map(drop)
}

fn create(db: &dyn Database, tables: &Tables) -> Result<(), DatabaseFault> {
    let Tables { tasks, types, counters, ledger } = tables;
    for (table, columns) in [
        (tasks, PUBLIC_COLUMNS),
        (
            types,
            "task_type varchar(50) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
             paused tinyint unsigned NOT NULL DEFAULT 0,
             concurrency int unsigned DEFAULT NULL,
             rate_limit int unsigned DEFAULT NULL,
             rate_window int unsigned DEFAULT NULL,
             rate_word bigint unsigned NOT NULL DEFAULT 0",
        ),
        (
            counters,
            "name varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
             slot tinyint unsigned NOT NULL,
             n bigint NOT NULL,
             PRIMARY KEY (name, slot)",
        ),
        (
            ledger,
            "idempotency_key varchar(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
             task_id bigint unsigned NOT NULL,
             status varchar(10) CHARACTER SET ascii NOT NULL,
             reference varchar(191) CHARACTER SET utf8mb4 DEFAULT NULL,
             started_at bigint NOT NULL,
             settled_at bigint DEFAULT NULL",
        ),
    ] {
        let options = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4";
        db.execute(&format!("CREATE TABLE IF NOT EXISTS {table} ({columns}) {options}"))?;
    }
    make_transactional(db, tasks)?;
    add_columns(db, tasks)?;
    add_indexes(db, tasks)?;
    let origin = super::random::token();
    db.execute(&format!("INSERT IGNORE INTO {counters} (name, slot, n) VALUES ('origin', 0, {origin})"))
        .map(drop)
}

/// A claim on a table without row locks and rollback would run tasks twice.
fn make_transactional(db: &dyn Database, table: &str) -> Result<(), DatabaseFault> {
    let engine = db.query(&format!(
        "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
    ))?;
    let is_innodb =
        engine.first().and_then(|row| row.first()?.as_deref()).is_some_and(|name| name == "InnoDB");
    if is_innodb {
        return Ok(());
    }
    db.execute(&format!("ALTER TABLE {table} ENGINE=InnoDB")).map(drop)
}

fn add_columns(db: &dyn Database, table: &str) -> Result<(), DatabaseFault> {
    let present = names(db, table, "COLUMN_NAME", "COLUMNS")?;
    let missing = OWN_COLUMNS.iter().filter(|(name, _)| !present.iter().any(|found| found == name));
    let changes: Vec<String> = missing.map(|(name, kind)| format!("ADD COLUMN {name} {kind}")).collect();
    alter(db, table, &changes, &["ALGORITHM=INSTANT", "ALGORITHM=INPLACE, LOCK=NONE"])
}

fn add_indexes(db: &dyn Database, table: &str) -> Result<(), DatabaseFault> {
    let present = names(db, table, "INDEX_NAME", "STATISTICS")?;
    let missing = OWN_INDEXES.iter().filter(|(name, _)| !present.iter().any(|found| found == name));
    let changes: Vec<String> = missing.map(|(_, index)| format!("ADD {index}")).collect();
    alter(db, table, &changes, &["ALGORITHM=INPLACE, LOCK=NONE"])
}

fn names(db: &dyn Database, table: &str, column: &str, view: &str) -> Result<Vec<String>, DatabaseFault> {
    let rows = db.query(&format!(
        "SELECT {column} FROM information_schema.{view} WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
    ))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// One statement for all `changes`, by the gentlest of `algorithms` that the server accepts.
fn alter(
    db: &dyn Database,
    table: &str,
    changes: &[String],
    algorithms: &[&str],
) -> Result<(), DatabaseFault> {
    if changes.is_empty() {
        return Ok(());
    }
    let statement = format!("ALTER TABLE {table} {}", changes.join(", "));
    for algorithm in algorithms {
        match db.execute(&format!("{statement}, {algorithm}")) {
            Err(fault) if is_unsupported(&fault) => {}
            result => return result.map(drop),
        }
    }
    db.execute(&statement).map(drop)
}

/// The server knows no such algorithm (syntax, unknown value), or cannot use it here.
fn is_unsupported(fault: &DatabaseFault) -> bool {
    matches!(fault.code, 1064 | 1800 | 1845 | 1846)
}
