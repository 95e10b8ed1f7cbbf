//! `$wpdb` as the [`Database`] port: what is written takes part in the caller's transaction.
//!
//! A transaction of ours inside one of the caller's is a savepoint, because `START TRANSACTION`
//! would commit what the caller has begun. Whether there is one only the server knows: releasing a
//! savepoint fails outside a transaction.
//!
//! Errors are neither printed nor logged by WordPress on the way; they come back as faults.

use std::cell::Cell;

use ext_php_rs::ffi::ext_php_rs_executor_globals;
use ext_php_rs::types::{ZendHashTable, ZendObject, Zval};

use crate::binding::convert::json;
use crate::ports::{Database, DatabaseFault, Executed, Row};

/// "SAVEPOINT … does not exist": the server's way to say that no transaction is open.
const NO_SAVEPOINT: u16 = 1305;

/// WordPress' connection.
pub struct Wpdb {
    is_nested: Cell<bool>,
}

impl Wpdb {
    /// The connection of this request, or `None` where there is no `$wpdb`.
    pub fn find() -> Option<Self> {
        global().map(|_| Self { is_nested: Cell::new(false) })
    }

    /// What the names of this site's tables begin with; on a multisite the current site's.
    pub fn prefix() -> Option<String> {
        global()?.object()?.get_property::<String>("prefix").ok()
    }

    fn begin(&self) -> Result<Executed, DatabaseFault> {
        run("SAVEPOINT slbp_queue")?;
        match run("RELEASE SAVEPOINT slbp_queue") {
            Ok(_) => {
                self.is_nested.set(true);
                run("SAVEPOINT slbp_queue")
            }
            Err(fault) if fault.code == NO_SAVEPOINT => {
                self.is_nested.set(false);
                run("START TRANSACTION")
            }
            Err(fault) => Err(fault),
        }
    }
}

impl Database for Wpdb {
    fn query(&self, sql: &str) -> Result<Vec<Row>, DatabaseFault> {
        let answer = quietly(|wpdb| wpdb.try_call_method("get_results", vec![&sql, &"ARRAY_N"]).ok())?;
        Ok(answer.array().map(rows).unwrap_or_default())
    }

    fn execute(&self, sql: &str) -> Result<Executed, DatabaseFault> {
        match (sql, self.is_nested.get()) {
            ("START TRANSACTION", _) => self.begin(),
            ("COMMIT", true) => run("RELEASE SAVEPOINT slbp_queue"),
            ("ROLLBACK", true) => run("ROLLBACK TO SAVEPOINT slbp_queue"),
            _ => run(sql),
        }
    }
}

fn run(sql: &str) -> Result<Executed, DatabaseFault> {
    let answer = quietly(|wpdb| {
        let done = wpdb.try_call_method("query", vec![&sql]).ok()?;
        // `false` without a message: WordPress itself refused to send the statement.
        if done.bool() == Some(false) { None } else { Some(done) }
    })?;
    let last_id = global().and_then(|wpdb| whole(wpdb.object()?, "insert_id")).unwrap_or_default();
    Ok(Executed { affected: answer.long().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(), last_id })
}

/// Does `work` with `$wpdb`, whose own reporting of errors is off meanwhile.
fn quietly(work: impl FnOnce(&ZendObject) -> Option<Zval>) -> Result<Zval, DatabaseFault> {
    let wpdb = global().ok_or_else(|| no_answer("there is no $wpdb"))?;
    let object = wpdb.object().ok_or_else(|| no_answer("$wpdb is no object"))?;
    let before = object.try_call_method("suppress_errors", vec![&true]).unwrap_or_default();
    let answer = work(object);
    let failed = object.get_property::<String>("last_error").ok().filter(|message| !message.is_empty());
    let outcome = match (failed, answer) {
        (Some(message), _) => Err(DatabaseFault { code: last_code(object), message }),
        (None, Some(answer)) => Ok(answer),
        (None, None) => Err(no_answer("WordPress did not run the statement")),
    };
    // Fails only when WordPress is in the middle of dying.
    let _ = object.try_call_method("suppress_errors", vec![&before]);
    outcome
}

/// The server's number of the last error; [`DatabaseFault::NO_ANSWER`] when it cannot be asked.
fn last_code(wpdb: &ZendObject) -> u16 {
    let shown = wpdb.try_call_method("get_results", vec![&"SHOW ERRORS LIMIT 1", &"ARRAY_N"]).ok();
    let code = || rows(shown.as_ref()?.array()?).first()?.get(1)?.as_deref()?.parse().ok();
    code().unwrap_or(DatabaseFault::NO_ANSWER)
}

fn no_answer(message: &str) -> DatabaseFault {
    DatabaseFault { code: DatabaseFault::NO_ANSWER, message: message.to_owned() }
}

fn rows(table: &ZendHashTable) -> Vec<Row> {
    json::entries(table).filter_map(|(_, row)| row.array()).map(row).collect()
}

fn row(columns: &ZendHashTable) -> Row {
    json::entries(columns).map(|(_, cell)| text(cell)).collect()
}

fn text(cell: &Zval) -> Option<String> {
    let bytes = cell.zend_str().map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    bytes.or_else(|| if cell.is_null() { None } else { cell.coerce_to_string() })
}

fn whole(object: &ZendObject, name: &str) -> Option<u64> {
    u64::try_from(object.get_property::<i64>(name).ok()?).ok()
}

/// The object in the global variable `$wpdb`, counted once more for as long as it is used.
fn global() -> Option<Zval> {
    // SAFETY: a request is running, on this thread; the symbol table lives until it ends, and the
    // value is counted, not borrowed. No lock.
    let globals = unsafe { ext_php_rs_executor_globals().as_ref() }?;
    let entry = globals.symbol_table.get("wpdb")?;
    let value = entry.indirect().unwrap_or(entry).dereference();
    value.is_object().then(|| value.shallow_clone())
}
