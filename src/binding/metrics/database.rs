//! What is known of the site's database between two samples.

use crate::clock::SystemClock;
use crate::error::Result;
use crate::metrics::{Definition, Registry};

/// 1 while the database can be reached, else 0.
const UP: &str = "slbp_db_up";
/// The server's open connections; 0 while it cannot be reached.
const CONNECTIONS: &str = "slbp_database_connections";
const ERRORS: &str = "slbp_db_connection_errors_total";

/// Notes that WordPress has connected, or could not.
pub fn note(connected: bool) {
    // Where no metric has room, none is kept; the connection is what matters here.
    let _ = super::registry().and_then(|registry| note_in(&registry, connected));
}

/// Notes that somebody who knows how has found the database reachable, or not.
///
/// # Errors
/// Somebody has registered one of our names otherwise.
pub fn found(registry: &Registry<'_>, reachable: bool) -> Result<()> {
    set_up(registry, reachable)?;
    let known = registry.gauge(CONNECTIONS);
    match reachable {
        // Until the next sample counts them there is at least this one.
        true if known.is_none_or(|count| count == 0.0) => set_connections(registry, 1.0),
        true => Ok(()),
        false => set_connections(registry, 0.0),
    }
}

fn note_in(registry: &Registry<'_>, connected: bool) -> Result<()> {
    found(registry, connected)?;
    registry.ensure(ERRORS, || {
        Definition::counter(ERRORS, "Times that WordPress could not connect to the database.")
    })?;
    registry.increment(ERRORS, f64::from(u8::from(!connected)), &[], &SystemClock)
}

fn set_connections(registry: &Registry<'_>, count: f64) -> Result<()> {
    registry.ensure(CONNECTIONS, || {
        Definition::gauge(
            CONNECTIONS,
            "Open connections of the database server; 0 while it cannot be reached.",
        )
    })?;
    registry.set(CONNECTIONS, count, &[], &SystemClock)
}

fn set_up(registry: &Registry<'_>, connected: bool) -> Result<()> {
    registry.ensure(UP, || {
        Definition::gauge(UP, "Whether the last attempt to connect to the database succeeded.")
    })?;
    registry.set(UP, f64::from(u8::from(connected)), &[], &SystemClock)
}
