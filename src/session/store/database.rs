//! Sessions in MySQL or MariaDB: one InnoDB row each, in a table that is made when it is missing.
//!
//! Opening is a `SELECT` and, to take the lock, an `UPDATE` that names what it saw; closing is one
//! such `UPDATE`. No transaction stays open and no row locked while a request runs, so a session
//! never keeps another statement waiting. Locks and expiry go by the server's clock.
//!
//! Expired rows are found by an index and deleted in chunks, so no statement holds many locks.

use std::fmt::Write as _;
use std::time::Duration;

use super::cells::{Cells, Entry, Loaded, Next};
use super::{Kind, Receipt, Token};
use crate::ports::{Database, DatabaseFault, Executed, Row};
use crate::remote::database::DatabaseLink;
use crate::remote::{Fault, FaultKind};
use crate::session::name::Name;
use crate::session::policy::{Head, State};

/// Rows of one DELETE.
const CHUNK: u64 = 500;
/// Such DELETEs at once.
const CHUNKS: u64 = 10;
/// How often a statement that met another transaction is tried.
const ATTEMPTS: usize = 3;

const NO_SUCH_TABLE: u16 = 1146;

const NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)";

/// The sessions in a table.
pub struct DatabaseCells {
    link: DatabaseLink,
    table: String,
    name: String,
}

impl DatabaseCells {
    /// The sessions in `table`, a plain name, on a connection of their own.
    pub fn new(link: DatabaseLink, table: &str) -> Self {
        let name = format!("mysql {} {table}", link.settings().address);
        Self { link, table: format!("`{table}`"), name }
    }

    /// Runs a statement; makes the table if there is none, and tries again what another transaction
    /// was in the way of.
    fn run<T>(&self, run: impl Fn(&DatabaseLink) -> Result<T, DatabaseFault>) -> Result<T, Fault> {
        let mut outcome = run(&self.link);
        for _ in 0..ATTEMPTS {
            match &outcome {
                Err(fault) if fault.code == NO_SUCH_TABLE => {
                    _ = self.link.execute(&self.schema()).map_err(fault_of)?
                }
                Err(fault) if fault.is_conflict() => {}
                _ => break,
            }
            outcome = run(&self.link);
        }
        outcome.map_err(fault_of)
    }

    fn query(&self, sql: &str) -> Result<Vec<Row>, Fault> {
        self.run(|link| link.query(sql))
    }

    fn execute(&self, sql: &str) -> Result<Executed, Fault> {
        self.run(|link| link.execute(sql))
    }

    fn schema(&self) -> String {
        let table = &self.table;
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (\
             name CHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, \
             version BIGINT UNSIGNED NOT NULL, \
             token CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', \
             locked_until BIGINT UNSIGNED NOT NULL DEFAULT 0, \
             state TINYINT UNSIGNED NOT NULL DEFAULT 0, \
             data MEDIUMBLOB NULL, \
             expires BIGINT UNSIGNED NOT NULL, \
             KEY expires (expires)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC"
        )
    }

    /// Makes a row, in the place of one that has expired if need be.
    fn insert(&self, name: &Name, next: &Next<'_>) -> String {
        let Columns { version, token, until, state } = Columns::of(&next.head);
        let mut sql = format!(
            "INSERT INTO {} (name, version, token, locked_until, state, data, expires) \
             VALUES ('{}', {version}, '{token}', {until}, {state}, {}, {})",
            self.table,
            name.as_str(),
            literal(next.sealed),
            expires(next.ttl)
        );
        sql.push_str(" ON DUPLICATE KEY UPDATE ");
        for column in ["version", "token", "locked_until", "state", "data"] {
            // Fails on no String.
            let _ = write!(sql, "{column} = IF(expires <= {NOW}, VALUES({column}), {column}), ");
        }
        // Last, for the others look at it.
        let _ = write!(sql, "expires = IF(expires <= {NOW}, VALUES(expires), expires)");
        sql
    }

    /// Changes a row that is still as it was.
    fn update(&self, name: &Name, was: &Head, next: &Next<'_>) -> String {
        let Columns { version, token, until, state } = Columns::of(&next.head);
        let data = match next.is_new {
            true => format!("data = {}, ", literal(next.sealed)),
            false => String::new(),
        };
        format!(
            "UPDATE {} SET version = {version}, token = '{token}', locked_until = {until}, state = {state}, \
             {data}expires = {} WHERE {}",
            self.table,
            expires(next.ttl),
            self.is_still(name, was)
        )
    }

    fn is_still(&self, name: &Name, was: &Head) -> String {
        let Columns { version, token, until, state } = Columns::of(was);
        format!(
            "name = '{}' AND version = {version} AND token = '{token}' AND locked_until = {until} AND state = {state}",
            name.as_str()
        )
    }
}

impl Cells for DatabaseCells {
    fn load(&self, name: &Name) -> Result<Loaded, Fault> {
        // A row of the server's time in any case.
        let sql = format!(
            "SELECT n.now, s.version, s.token, s.locked_until, s.state, s.expires, HEX(s.data) \
             FROM (SELECT {NOW} AS now) n LEFT JOIN {} s ON s.name = '{}'",
            self.table,
            name.as_str()
        );
        let rows = self.query(&sql)?;
        rows.first()
            .and_then(|row| read(row))
            .ok_or_else(|| Fault::new(FaultKind::Command, format!("{} is no table of sessions", self.table)))
    }

    fn swap(&self, name: &Name, was: Option<Receipt>, next: Option<&Next<'_>>) -> Result<Option<u64>, Fault> {
        let sql = match (was, next) {
            (None, None) => return Ok(Some(0)),
            (None, Some(next)) => self.insert(name, next),
            (Some(was), Some(next)) => self.update(name, &was.head, next),
            (Some(was), None) => {
                format!("DELETE FROM {} WHERE {}", self.table, self.is_still(name, &was.head))
            }
        };
        Ok((self.execute(&sql)?.affected > 0).then_some(0))
    }

    fn collect(&self) -> Result<u64, Fault> {
        let sql = format!("DELETE FROM {} WHERE expires <= {NOW} ORDER BY expires LIMIT {CHUNK}", self.table);
        let mut deleted = 0;
        for _ in 0..CHUNKS {
            let chunk = self.execute(&sql)?.affected;
            deleted += chunk;
            if chunk < CHUNK {
                break;
            }
        }
        Ok(deleted)
    }

    fn count(&self) -> Result<Option<u64>, Fault> {
        let sql = format!("SELECT COUNT(*) FROM {} WHERE expires > {NOW} AND state = 0", self.table);
        let rows = self.query(&sql)?;
        Ok(rows.first().and_then(|row| number(row, 0)))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

struct Columns {
    version: u64,
    token: String,
    until: u64,
    state: u8,
}

impl Columns {
    fn of(head: &Head) -> Self {
        let state = match head.state {
            State::Live => 0,
            State::Dead(Kind::Destroyed) => 1,
            State::Dead(Kind::Moved) => 2,
        };
        Self { version: head.version, token: head.token.to_hex(), until: head.until, state }
    }
}

fn read(row: &[Option<String>]) -> Option<Loaded> {
    let now = number(row, 0)?;
    let expires = match number(row, 5) {
        Some(expires) if expires > now => expires,
        _ => return Some(Loaded { now, unique: 0, entry: None }),
    };
    let state = match number(row, 4)? {
        0 => State::Live,
        1 => State::Dead(Kind::Destroyed),
        _ => State::Dead(Kind::Moved),
    };
    let token = Token::from_hex(row.get(2)?.as_deref()?);
    let head = Head { version: number(row, 1)?, token, until: number(row, 3)?, state };
    let sealed = match row.get(6)?.as_deref() {
        Some(hex) => Some(unhex(hex)?),
        None => None,
    };
    let entry = Entry { head, sealed, left: Duration::from_millis(expires - now) };
    Some(Loaded { now, unique: 0, entry: Some(entry) })
}

fn number(row: &[Option<String>], column: usize) -> Option<u64> {
    row.get(column)?.as_deref()?.parse().ok()
}

/// Whole milliseconds from now, by the server's clock.
fn expires(ttl: Duration) -> String {
    format!("{NOW} + {}", ttl.as_millis())
}

fn literal(bytes: Option<&[u8]>) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let Some(bytes) = bytes else { return "NULL".to_owned() };
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or('0');
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    bytes.iter().for_each(|byte| text.extend([digit(byte >> 4), digit(byte & 15)]));
    text.push('\'');
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| (byte as char).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

fn fault_of(fault: DatabaseFault) -> Fault {
    let kind = match fault.code {
        DatabaseFault::NO_ANSWER => FaultKind::Down,
        // Denied, unknown database, too many connections, read-only.
        1040 | 1044 | 1045 | 1049 | 1129 | 1130 | 1290 => FaultKind::Refused,
        _ if fault.is_lost() => FaultKind::Down,
        _ => FaultKind::Command,
    };
    Fault::new(kind, fault.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_survive_their_hexadecimal(bytes: Vec<u8>) {
            let text = literal(Some(&bytes));
            prop_assert_eq!(unhex(&text[2..text.len() - 1]), Some(bytes));
        }
    }
}
