//! PHP sessions: the native save handler, and what the classes need of sessions.
//!
//! Owns: the sessions that this worker has open ([`open`]); the handler behind
//! `session.save_handler = slbp` ([`save_handler`]); warnings without passwords. Refuses to do: decide who
//! may write; serialize.
//!
//! PHP writes a session after our RSHUTDOWN, so what is open stays until post-deactivate. A warning may
//! run a site's error handler, which may never come back: nothing is borrowed or owned while one is
//! given.

mod hosted;
pub mod managed;
pub mod open;
pub mod save_handler;
mod symbols;
mod warn;

use std::time::Duration;

pub use hosted::HostedSessions;
pub use symbols::{are_there, create_id};
pub use warn::warn;

use super::ini;
use super::wordpress::hooks;

/// PHP's own default of `session.gc_maxlifetime`.
const LIFETIME: u64 = 1440;

/// Makes the save handler known, where PHP has sessions. Phase: MINIT.
pub fn register() {
    if !symbols::register(&save_handler::HANDLER)
        && ini::configured("session.save_handler").as_deref() == Some("slbp")
    {
        warn::at_start("session.save_handler = slbp: load PHP's session extension before slbp");
    }
}

/// Gives back what a script left open. Phase: post-deactivate.
pub fn end_request() {
    save_handler::end_request();
    warn::restore_save_path();
    open::tidy();
}

/// Whether a session is open in this request.
fn is_active() -> bool {
    /// `PHP_SESSION_ACTIVE`.
    const ACTIVE: i64 = 2;
    hooks::call("session_status", Vec::new()).is_some_and(|status| status.long() == Some(ACTIVE))
}

/// How long a session lives unused: `session.gc_maxlifetime`.
pub fn lifetime() -> Duration {
    let seconds = ini::text("session.gc_maxlifetime").and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.filter(|seconds| *seconds > 0).unwrap_or(LIFETIME))
}
