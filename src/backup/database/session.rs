//! One connection, set up so that what it reads and writes is exact.

use std::time::Duration;

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};

use super::super::fault::{database, fault};
use super::column::quoted;
use crate::error::Result;

/// How long the server may take to answer: it may sort a large table before its first row, but one
/// that is gone must not hold the backup for ever.
const PATIENCE: Duration = Duration::from_secs(600);

/// A session that reads: UTC, utf8mb4, standard quoting, and no time limit that a slow disk on
/// our side could run into (the server waits while we compress).
pub(crate) fn reader(opts: &Opts) -> Result<Conn> {
    let mut conn = connect(opts)?;
    run(&mut conn, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    run(&mut conn, "SET sql_mode='', sql_quote_show_create=1, net_write_timeout=3600")?;
    Ok(conn)
}

/// A session that loads rows which were checked when they were first stored.
pub(crate) fn writer(opts: &Opts) -> Result<Conn> {
    let mut conn = connect(opts)?;
    run(&mut conn, "SET sql_mode='NO_AUTO_VALUE_ON_ZERO', foreign_key_checks=0, unique_checks=0")?;
    // MariaDB only: MySQL has no such switch.
    let _ = conn.query_drop("SET check_constraint_checks=0");
    Ok(conn)
}

/// A session that loads rows, and that holds the server-wide `name` until its last statement has ended,
/// which may be after the process that sent it: whoever cleans up after that process waits for the name.
pub(crate) fn named_writer(opts: &Opts, name: &str) -> Result<Conn> {
    let mut conn = writer(opts)?;
    hold(&mut conn, name)?;
    Ok(conn)
}

/// Waits until nobody else holds `name`.
pub(crate) fn hold(conn: &mut Conn, name: &str) -> Result<()> {
    let seconds = PATIENCE.as_secs();
    let held: Option<Option<i64>> = conn
        .query_first(format!("SELECT GET_LOCK({}, {seconds})", quoted(name)))
        .map_err(database("waiting for another restore"))?;
    match held.flatten() {
        Some(1) => Ok(()),
        _ => Err(fault("a statement of a restore that died is still running")),
    }
}

/// Runs a statement without a result.
pub(crate) fn run(conn: &mut Conn, sql: &str) -> Result<()> {
    conn.query_drop(sql).map_err(database(sql.chars().take(80).collect::<String>()))
}

fn connect(opts: &Opts) -> Result<Conn> {
    let patient =
        OptsBuilder::from_opts(opts.clone()).read_timeout(Some(PATIENCE)).write_timeout(Some(PATIENCE));
    let mut conn = Conn::new(patient).map_err(database("connecting to the database"))?;
    run(&mut conn, "SET NAMES utf8mb4")?;
    run(&mut conn, "SET time_zone='+00:00', wait_timeout=28800")?;
    // MariaDB only: a site's limit for page queries must not end a backup.
    let _ = conn.query_drop("SET max_statement_time=0");
    Ok(conn)
}
