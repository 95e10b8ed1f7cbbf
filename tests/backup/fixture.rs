//! A site's database with everything a dump can get wrong, and how to compare two of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, Row};
use slbp::backup::create::{Request, create};
use slbp::backup::format::{BackupType, Component, Manifest};
use slbp::backup::{Locked, Store};
use slbp::clock::SystemClock;
use slbp::error::Result;
use tempfile::TempDir;

use crate::common::mariadb::{Database, MariaDb};

/// The server of these tests: they kill clients, not the server, so it need not sync each commit.
pub fn server() -> &'static MariaDb {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    SERVER.get_or_init(|| {
        MariaDb::start_with(&["--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0"])
    })
}

/// A database filled from `schema.sql` by the `mariadb` client.
pub fn filled_database() -> Database {
    let database = server().database();
    run_sql(&database, include_str!("schema.sql"));
    database
}

/// Runs `sql`, one statement for each line that ends with `;` at the end of the statement.
pub fn run_sql(database: &Database, sql: &str) {
    // The bodies of triggers and procedures hold semicolons: those are single lines.
    let mut conn = database.connect();
    let mut statement = String::new();
    for line in sql.lines().filter(|line| !line.starts_with("--")) {
        statement.push_str(line);
        statement.push('\n');
        if line.ends_with(';') {
            conn.query_drop(statement.trim_end().trim_end_matches(';'))
                .unwrap_or_else(|e| panic!("{statement}: {e}"));
            statement.clear();
        }
    }
}

pub fn opts(database: &Database) -> Opts {
    OptsBuilder::new()
        .socket(database.socket.to_str())
        .user(Some("root"))
        .db_name(Some(database.name.as_str()))
        .into()
}

/// A store in a temporary folder.
pub fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path().join("backups")).unwrap();
    (folder, store)
}

/// Makes a backup.
pub fn make(store: &Store, request: &Request) -> Result<Manifest> {
    create(&lock(store), request, &SystemClock)
}

/// The store for this test alone.
pub fn lock(store: &Store) -> Locked<'_> {
    store.lock("test", &SystemClock).unwrap()
}

pub fn database_request(kind: BackupType, database: &Database) -> Request {
    Request { kind, database: Some(opts(database)), ..Request::full(&[Component::Database]) }
}

/// Everything in a database that a restore must bring back: definitions, checksums of the rows,
/// counters.
pub fn state(database: &Database) -> BTreeMap<String, String> {
    let mut conn = database.connect();
    let mut state = BTreeMap::new();
    for (table, kind) in conn.query::<(String, String), _>("SHOW FULL TABLES").unwrap() {
        let quoted = format!("`{}`", table.replace('`', "``"));
        let row: Row = conn.query_first(format!("SHOW CREATE TABLE {quoted}")).unwrap().unwrap();
        state.insert(format!("{kind} {table}"), local(database, row.get::<String, _>(1).unwrap()));
        if kind != "VIEW" {
            let sum: Row = conn.query_first(format!("CHECKSUM TABLE {quoted}")).unwrap().unwrap();
            let count: u64 = conn.query_first(format!("SELECT COUNT(*) FROM {quoted}")).unwrap().unwrap();
            let columns: Vec<String> = conn
                .query(format!("SHOW COLUMNS FROM {quoted}"))
                .unwrap()
                .iter()
                .map(|row: &Row| row.get(0).unwrap())
                .collect();
            let sums: Vec<String> = columns
                .iter()
                .map(|column| format!("SUM(CRC32(HEX(`{}`)))", column.replace('`', "``")))
                .collect();
            let of_columns: Row =
                conn.query_first(format!("SELECT {} FROM {quoted}", sums.join(", "))).unwrap().unwrap();
            for (at, column) in columns.iter().enumerate() {
                let sum = of_columns.get::<Option<String>, _>(at);
                state.insert(format!("column {table}.{column}"), format!("{sum:?}"));
            }
            state.insert(format!("rows of {table}"), format!("{count} {:?}", sum.get::<Option<u64>, _>(1)));
        }
    }
    for (list, kind) in [
        (
            "SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema=DATABASE()",
            "",
        ),
        (
            "SELECT trigger_name, 'TRIGGER' FROM information_schema.triggers WHERE trigger_schema=DATABASE()",
            "",
        ),
        ("SELECT event_name, 'EVENT' FROM information_schema.events WHERE event_schema=DATABASE()", ""),
    ] {
        for (name, what) in conn.query::<(String, String), _>(list).unwrap() {
            state.insert(format!("{what}{kind} {name}"), definition(&mut conn, &what, &name, database));
        }
    }
    state
}

fn definition(conn: &mut Conn, what: &str, name: &str, database: &Database) -> String {
    let row: Row = conn.query_first(format!("SHOW CREATE {what} `{name}`")).unwrap().unwrap();
    let texts = (0..row.len()).filter(|at| row.columns_ref()[*at].name_str() != "Created");
    let texts: Vec<String> =
        texts.map(|at| row.get::<Option<String>, _>(at).unwrap().unwrap_or_default()).collect();
    local(database, texts.join(" | "))
}

/// Views name their database; two databases are to be compared.
fn local(database: &Database, text: String) -> String {
    text.replace(&database.name, "DB")
}

/// Runs `restore.sh` of a backup as a person would, with nothing of slbp.
pub fn restore_by_hand(folder: &Path, database: &Database) -> Output {
    Command::new("sh")
        .arg(folder.join("restore.sh"))
        .args(["--database", &database.name, "--user", "root", "--socket"])
        .arg(&database.socket)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Fails with the entries that differ.
pub fn assert_same(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) {
    for key in expected.keys().chain(found.keys()) {
        assert_eq!(expected.get(key), found.get(key), "{key}");
    }
}
