//! Several sessions that see the same instant.
//!
//! `START TRANSACTION WITH CONSISTENT SNAPSHOT` fixes what one session sees. For several to see
//! the same, no commit may fall between their starts, so they start under a lock that lasts
//! milliseconds (2-41 ms measured): `FLUSH TABLES WITH READ LOCK`, or without the RELOAD
//! privilege `LOCK TABLES … READ`, or, without that too, one session alone.

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, Row};

use super::super::fault::database;
use super::column::identifier;
use super::session::{reader, run};
use crate::error::Result;

/// How long a session may wait for the lock: every writer of the site waits behind it.
const LOCK_WAIT_SECONDS: u32 = 5;

/// Sessions inside one snapshot.
pub(crate) struct Snapshot {
    /// At least one.
    pub sessions: Vec<Conn>,
    /// How they came to see the same instant, for the manifest.
    pub consistency: &'static str,
    /// Seconds since the epoch on the server's clock.
    pub at: u64,
    /// The binary log's file and position, where the server tells.
    pub binlog: Option<(String, u64)>,
}

impl Snapshot {
    /// Up to `wanted` sessions that see one instant.
    pub fn take(opts: &Opts, wanted: usize) -> Result<Self> {
        let mut locker = reader(opts)?;
        run(&mut locker, &format!("SET lock_wait_timeout={LOCK_WAIT_SECONDS}"))?;
        let consistency = if wanted > 1 { lock(&mut locker)? } else { None };
        let count = if consistency.is_some() { wanted } else { 1 };
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            let mut session = reader(opts)?;
            run(&mut session, "START TRANSACTION WITH CONSISTENT SNAPSHOT")?;
            sessions.push(session);
        }
        let binlog = binlog(&mut locker);
        let at = locker.query_first("SELECT UNIX_TIMESTAMP()").map_err(database("reading the clock"))?;
        run(&mut locker, "UNLOCK TABLES")?;
        Ok(Self { sessions, consistency: consistency.unwrap_or("one session"), at: at.unwrap_or(0), binlog })
    }
}

fn lock(conn: &mut Conn) -> Result<Option<&'static str>> {
    if conn.query_drop("FLUSH TABLES WITH READ LOCK").is_ok() {
        return Ok(Some("global read lock"));
    }
    let names: Vec<String> = conn
        .query("SELECT table_name FROM information_schema.tables WHERE table_schema=DATABASE() AND table_type='BASE TABLE'")
        .map_err(database("listing tables"))?;
    if names.is_empty() {
        return Ok(None);
    }
    let tables: Vec<String> = names.iter().map(|name| format!("{} READ", identifier(name))).collect();
    let locked = conn.query_drop(format!("LOCK TABLES {}", tables.join(", "))).is_ok();
    Ok(locked.then_some("table read locks"))
}

fn binlog(conn: &mut Conn) -> Option<(String, u64)> {
    // Needs a privilege that many hosts do not grant; the position is only informative.
    let row: Row = conn.query_first("SHOW MASTER STATUS").ok()??;
    Some((row.get(0)?, row.get(1)?))
}
