//! What a domain may ask of its host.
//!
//! Owns: the traits through which domains reach WordPress, PHP and the operating system's
//! configuration. Refuses to do: any work. `binding::wordpress` implements them over the real
//! host; tests use the in-memory [`Detached`] host, which is also what the extension uses when
//! WordPress is absent.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::error::Error;

/// Settings that come from outside a class' `$config`.
pub trait Environment {
    /// The PHP constant `name` as text, or `None` when it is not defined. `true` and `false` read
    /// as `"1"` and `""`.
    fn constant(&self, name: &str) -> Option<String>;
    /// The php.ini directive `name` as text, or `None` when it is not registered or empty.
    fn ini(&self, name: &str) -> Option<String>;
    /// The variable `name` of the process; hosts without one have none.
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Constants, directives and variables by their names, which differ: a directive's has a dot in it.
impl Environment for HashMap<&str, &str> {
    fn constant(&self, name: &str) -> Option<String> {
        self.get(name).map(|text| (*text).to_owned())
    }

    fn ini(&self, name: &str) -> Option<String> {
        self.constant(name)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.constant(name)
    }
}

/// Named documents that outlive the process: WordPress options.
pub trait Options {
    /// The option's value, or `None` when it was never set.
    fn get(&self, name: &str) -> Option<Value>;
    /// Stores the option; false when the host refused.
    fn set(&self, name: &str, value: &Value) -> bool;
}

/// Mail, as the host sends it.
pub trait Mailer {
    /// Sends plain text to every address of `to`.
    ///
    /// # Errors
    /// Why it was not taken, for a log.
    fn send(&self, to: &[String], subject: &str, body: &str) -> Result<(), String>;
}

/// One row of an answer: its columns as text in the order of the SELECT, NULL as `None`.
pub type Row = Vec<Option<String>>;

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Rows that were inserted, deleted or really changed; 2 for an updated duplicate.
    pub affected: u64,
    /// The last `AUTO_INCREMENT` value that the statement made or named, else 0.
    pub last_id: u64,
}

/// A statement that the database refused, or that it did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFault {
    /// The server's error number, or [`DatabaseFault::NO_ANSWER`].
    pub code: u16,
    /// What the server or the driver said.
    pub message: String,
}

impl DatabaseFault {
    /// The code of a fault in which no server answered.
    pub const NO_ANSWER: u16 = 0;

    /// Whether another transaction was in the way, and the same one may pass if tried again:
    /// lock wait timeout, deadlock, or a changed snapshot (MariaDB 11.6 and newer).
    pub fn is_conflict(&self) -> bool {
        matches!(self.code, 1205 | 1213 | 1020)
    }

    /// Whether the connection is gone: nothing is known about the last statement, and an open
    /// transaction was rolled back unless that statement was its COMMIT.
    pub fn is_lost(&self) -> bool {
        matches!(self.code, Self::NO_ANSWER | 1053 | 1927 | 2002..=2013)
    }

    /// Whether the same may work later, with nothing changed by anybody.
    pub fn may_pass(&self) -> bool {
        self.is_conflict() || self.is_lost()
    }
}

impl fmt::Display for DatabaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DatabaseFault {}

impl From<DatabaseFault> for Error {
    fn from(fault: DatabaseFault) -> Self {
        Error::store(fault.message)
    }
}

/// A connection to the site's database: WordPress' own, so that what is written takes part in the
/// caller's transaction, or one of ours.
///
/// Statements are complete texts: the domain quotes what it puts in them.
pub trait Database {
    /// Runs a statement that answers with rows.
    ///
    /// # Errors
    /// A [`DatabaseFault`] when the server refuses the statement or does not answer.
    fn query(&self, sql: &str) -> Result<Vec<Row>, DatabaseFault>;
    /// Runs a statement that answers with a count.
    ///
    /// # Errors
    /// A [`DatabaseFault`] when the server refuses the statement or does not answer.
    fn execute(&self, sql: &str) -> Result<Executed, DatabaseFault>;
}

/// A host with no constants, no directives, and options that live as long as it does.
#[derive(Debug, Default)]
pub struct Detached {
    options: Mutex<HashMap<String, Value>>,
}

impl Environment for Detached {
    fn constant(&self, _name: &str) -> Option<String> {
        None
    }

    fn ini(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Options for Detached {
    fn get(&self, name: &str) -> Option<Value> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn set(&self, name: &str, value: &Value) -> bool {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.clone());
        true
    }
}
