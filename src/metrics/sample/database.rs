//! The database server, as its own counters tell.

use crate::metrics::model::{Family, Kind};
use crate::ports::{Database, DatabaseFault, Row};

const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected','Threads_running',\
    'Slow_queries','Questions','Aborted_connects')";
const LIMIT: &str = "SHOW GLOBAL VARIABLES LIKE 'max_connections'";
const SIZE: &str =
    "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()";

/// The server's counters.
///
/// # Errors
/// The database's.
pub fn families(db: &dyn Database) -> Result<Vec<Family>, DatabaseFault> {
    let mut rows = db.query(STATUS)?;
    rows.extend(db.query(LIMIT)?);
    let known = |name: &str| rows.iter().find_map(|row| named(row, name));
    let gauge = |name, help, variable| Some(Family::gauge(name, help, known(variable)?));
    let counter = |name, help, variable| Some(Family::counter(name, help, known(variable)?));
    let families = [
        gauge(
            "slbp_database_connections",
            "Open connections of the database server; 0 while it cannot be reached.",
            "Threads_connected",
        ),
        gauge(
            "slbp_db_threads_running",
            "Statements that the database server was running.",
            "Threads_running",
        ),
        gauge("slbp_db_connections_limit", "Connections that the database server allows.", "max_connections"),
        gauge(
            "slbp_database_slow_queries",
            "Slow queries since the database server started.",
            "Slow_queries",
        ),
        counter(
            "slbp_db_server_slow_statements_total",
            "Statements over long_query_time, all clients of the server.",
            "Slow_queries",
        ),
        counter("slbp_db_server_statements_total", "Statements, all clients of the server.", "Questions"),
        counter(
            "slbp_db_server_aborted_connects_total",
            "Failed attempts to connect to the server, all clients.",
            "Aborted_connects",
        ),
    ];
    Ok(families.into_iter().flatten().collect())
}

/// The size of the site's schema. On a server with many tables this takes long enough to be asked only
/// now and then.
///
/// # Errors
/// The database's.
pub fn size(db: &dyn Database) -> Result<Vec<Family>, DatabaseFault> {
    let rows = db.query(SIZE)?;
    let Some(bytes) = rows.first().and_then(|row| row.first()?.as_deref()?.parse::<f64>().ok()) else {
        return Ok(Vec::new());
    };
    Ok(vec![
        Family::gauge("slbp_db_size_bytes", "Tables and indexes of the site's schema.", bytes),
        Family::gauge("slbp_database_database_size", "The same in MB (1048576 bytes).", bytes / 1_048_576.0),
    ])
}

/// The number behind a name in `SHOW STATUS`.
fn named(row: &Row, name: &str) -> Option<f64> {
    match row.as_slice() {
        [Some(key), Some(value)] if key == name => value.parse().ok(),
        _ => None,
    }
}

/// How long a statement took that asks for nothing.
pub fn answer_time(seconds: f64) -> Family {
    Family::new(
        "slbp_db_answer_seconds",
        Kind::Gauge,
        "How long the database took for SELECT 1 at the last sample.",
    )
    .with(&[], seconds)
}
