//! What a load balancer is told: an array for programs, and configuration for nginx and HAProxy.
//!
//! Owns: that nothing a setting holds can become another line of configuration. Refuses to do:
//! write files; the text goes to whoever asks.
//!
//! nginx without a licence has only passive checks: a node that refuses a connection, does not answer
//! or answers 502, 503 or 504 is passed over for the same request, and left alone for the interval.
//! HAProxy asks the readiness probe by itself and drains a node that says no.

mod haproxy;
mod nginx;
mod settings;

pub use settings::{Affinity, Balancer, Upstream};

use crate::error::{Error, Result};

/// The configuration for `server`.
///
/// # Errors
/// Invalid argument for another server, no upstreams, or an upstream that is no `host:port`.
pub fn render(server: &str, balancer: &Balancer, upstreams: &[Upstream]) -> Result<String> {
    if upstreams.is_empty() {
        return Err(Error::invalid("upstreams", "expected at least one host:port"));
    }
    match server {
        "nginx" => Ok(nginx::render(balancer, upstreams)),
        "haproxy" => Ok(haproxy::render(balancer, upstreams)),
        other => Err(Error::invalid("server", format!("expected 'nginx' or 'haproxy', got '{other}'"))),
    }
}
