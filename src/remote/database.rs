//! Our own connection to the site's MySQL or MariaDB.
//!
//! Owns: where the database is ([`DatabaseSettings`]), one connection opened when it is first
//! needed, the session it runs in (utf8mb4, UTC, READ COMMITTED, strict), and that it is never
//! carried across a fork. Refuses to do: know any table; SQL belongs to the domains.
//!
//! Invariant: after a fault without an answer the connection is dropped, never used again; the
//! next statement opens a new one. Nothing is repeated here, because only the caller knows whether
//! a repeated statement does harm. A connection that has been idle is asked first whether it is
//! alive, because servers close those; but not inside a transaction, whose second half must not
//! run alone on a new one.
//!
//! READ COMMITTED is not a taste: under REPEATABLE READ a claim on an unlucky index locks gaps,
//! and an enqueue waits until error 1205 (measured; research queue traps 1 and 3).

mod address;
mod settings;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, SslOpts, Value};

pub use address::DatabaseAddress;
pub use settings::{DatabaseSettings, Tls};

use crate::ports::{Database, DatabaseFault, Executed, Row};

/// How a session is set up, whatever the server's defaults are. `NO_AUTO_VALUE_ON_ZERO` and its
/// like are left out on purpose: statements mean the same here and through WordPress.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
     time_zone = '+00:00', autocommit = 1, innodb_lock_wait_timeout = 5";

/// `SET TRANSACTION` is the spelling that MySQL and MariaDB share.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// A connection of this process, opened when first needed.
pub struct DatabaseLink {
    settings: DatabaseSettings,
    open: Mutex<Option<Opened>>,
}

struct Opened {
    process: u32,
    conn: Conn,
    used: Instant,
    in_transaction: bool,
}

/// After this long without a statement a connection may have been closed by the server.
const IDLE: Duration = Duration::from_secs(1);

impl Opened {
    fn new(settings: &DatabaseSettings) -> Result<Self, DatabaseFault> {
        let conn = connect(settings)?;
        Ok(Self { process: std::process::id(), conn, used: Instant::now(), in_transaction: false })
    }

    fn is_stale(&mut self) -> bool {
        !self.in_transaction && self.used.elapsed() > IDLE && self.conn.ping().is_err()
    }
}

impl DatabaseLink {
    /// A link that has not connected yet.
    pub fn new(settings: DatabaseSettings) -> Self {
        Self { settings, open: Mutex::new(None) }
    }

    /// Where it leads.
    pub fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }

    /// Closes the connection; the next statement opens a new one.
    pub fn close(&self) {
        drop(self.discard_foreign().take());
    }

    fn run<T>(&self, work: impl FnOnce(&mut Opened) -> mysql::Result<T>) -> Result<T, DatabaseFault> {
        let mut open = self.discard_foreign();
        drop(open.take_if(Opened::is_stale));
        let opened = match open.as_mut() {
            Some(opened) => opened,
            None => open.insert(Opened::new(&self.settings)?),
        };
        let result = work(opened);
        opened.used = Instant::now();
        result.map_err(|error| {
            let fault = fault(&error);
            if fault.is_lost() {
                open.take();
            }
            fault
        })
    }

    /// The connection if it is this process' own. One inherited through a fork belongs to the
    /// parent: dropping it would send COM_QUIT on the parent's session, so it is leaked.
    fn discard_foreign(&self) -> MutexGuard<'_, Option<Opened>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|opened| opened.process != std::process::id()) {
            std::mem::forget(open.take());
        }
        open
    }
}

impl Database for DatabaseLink {
    fn query(&self, sql: &str) -> Result<Vec<Row>, DatabaseFault> {
        let text = |row: mysql::Row| row.unwrap().into_iter().map(text_of).collect();
        self.run(|opened| opened.conn.query_map(sql, text))
    }

    fn execute(&self, sql: &str) -> Result<Executed, DatabaseFault> {
        self.run(|opened| {
            let done = opened.conn.query_iter(sql)?;
            let executed =
                Executed { affected: done.affected_rows(), last_id: done.last_insert_id().unwrap_or(0) };
            drop(done);
            match sql {
                "START TRANSACTION" => opened.in_transaction = true,
                "COMMIT" | "ROLLBACK" => opened.in_transaction = false,
                _ => {}
            }
            Ok(executed)
        })
    }
}

impl fmt::Debug for DatabaseLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseLink").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Opens a connection in the session that the crate's SQL is written for.
///
/// # Errors
/// A [`DatabaseFault`]: nobody answers, or the server refuses the login or the session.
pub fn connect(settings: &DatabaseSettings) -> Result<Conn, DatabaseFault> {
    let mut conn = Conn::new(options(settings)).map_err(|error| fault(&error))?;
    let names = format!("SET NAMES {}", settings.charset);
    for statement in [names.as_str(), SESSION, ISOLATION] {
        conn.query_drop(statement).map_err(|error| fault(&error))?;
    }
    Ok(conn)
}

/// How the driver is told.
pub fn options(settings: &DatabaseSettings) -> Opts {
    let builder = OptsBuilder::new()
        .user(Some(settings.user.as_str()))
        .pass(Some(settings.password.reveal()))
        .db_name(Some(settings.name.as_str()).filter(|name| !name.is_empty()))
        // The address says what is meant; switching from TCP to a socket behind it would not.
        .prefer_socket(false)
        .tcp_connect_timeout(Some(settings.timeout))
        .read_timeout(Some(settings.read_timeout))
        .write_timeout(Some(settings.read_timeout));
    match &settings.address {
        DatabaseAddress::Socket(path) => builder.socket(path.to_str()).into(),
        DatabaseAddress::Tcp { host, port } => builder
            .ip_or_hostname(Some(host.as_str()))
            .tcp_port(*port)
            .ssl_opts(settings.tls.as_ref().map(ssl_options))
            .into(),
    }
}

fn ssl_options(tls: &Tls) -> SslOpts {
    let options = SslOpts::default()
        .with_danger_accept_invalid_certs(!tls.verify)
        .with_danger_skip_domain_validation(!tls.verify);
    let options = match &tls.ca {
        Some(path) => options.with_root_cert_path(Some(path.clone())),
        None => options,
    };
    let identity =
        tls.identity.as_ref().map(|(cert, key)| mysql::ClientIdentity::new(cert.clone(), key.clone()));
    options.with_client_identity(identity)
}

fn fault(error: &mysql::Error) -> DatabaseFault {
    let code = match error {
        mysql::Error::MySqlError(refused) => refused.code,
        _ => DatabaseFault::NO_ANSWER,
    };
    DatabaseFault { code, message: error.to_string() }
}

/// The text protocol answers in bytes; anything else is a number the driver made itself.
fn text_of(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(broken) => String::from_utf8_lossy(broken.as_bytes()).into_owned(),
        }),
        other => Some(other.as_sql(true)),
    }
}
