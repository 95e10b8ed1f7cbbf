//! What is measured of every request without a line of PHP: how long it took, by kind of route and
//! status, what memory it needed, which errors PHP raised.
//!
//! Labels are few and fixed: a route's class and not its address, a status' class and not its number.

use std::time::Duration;

use super::definition::Definition;
use super::model::Kind;
use super::registry::Registry;
use super::table::Total;
use crate::clock::{Clock, Timestamp};
use crate::error::Result;
use crate::shm::Counters;

/// Histogram of durations by `route` and `status`.
pub const DURATION: &str = "slbp_http_request_duration_seconds";
/// Histogram of memory peaks.
pub const MEMORY: &str = "slbp_http_request_memory_peak_bytes";
/// PHP's errors by `level`.
pub const ERRORS: &str = "slbp_php_errors_total";

const MIB: f64 = 1_048_576.0;
const MEMORY_BOUNDS: [f64; 9] = [
    4.0 * MIB,
    8.0 * MIB,
    16.0 * MIB,
    32.0 * MIB,
    64.0 * MIB,
    128.0 * MIB,
    256.0 * MIB,
    512.0 * MIB,
    1024.0 * MIB,
];

/// What kind of page a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A page for visitors.
    Front,
    /// The REST API.
    Rest,
    /// wp-admin.
    Admin,
    /// admin-ajax.php.
    Ajax,
    /// wp-login.php.
    Login,
    /// wp-cron.php.
    Cron,
    /// xmlrpc.php.
    Xmlrpc,
    /// Health probes and scrapes, which are no visitors: they do not count in the site's means.
    Probe,
}

/// What the addresses of probes and scrapes have in them.
const PROBES: [&str; 4] = ["/v1/live", "/v1/ready", "/v1/health", "/v1/metrics"];

impl Route {
    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Route::Front => "front",
            Route::Rest => "rest",
            Route::Admin => "admin",
            Route::Ajax => "ajax",
            Route::Login => "login",
            Route::Cron => "cron",
            Route::Xmlrpc => "xmlrpc",
            Route::Probe => "probe",
        }
    }

    /// The class of a request for `uri`, which the script at the path `script` answers. WordPress must
    /// not be asked: it may never have started.
    pub fn of(uri: &str, script: &str) -> Self {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        match script.rsplit('/').next().unwrap_or_default() {
            "admin-ajax.php" | "admin-post.php" => Route::Ajax,
            "wp-login.php" => Route::Login,
            "wp-cron.php" => Route::Cron,
            "xmlrpc.php" => Route::Xmlrpc,
            _ if script.contains("/wp-admin/") => Route::Admin,
            _ if is_probe(uri) => Route::Probe,
            _ if format!("{path}/").contains("/wp-json/") || asks_for_rest(query) => Route::Rest,
            _ => Route::Front,
        }
    }
}

fn is_probe(uri: &str) -> bool {
    let below = uri.split_once("skylearn-billing-pro").map(|(_, below)| below.replace("%2F", "/"));
    below.is_some_and(|below| PROBES.iter().any(|probe| below.starts_with(probe)))
}

fn asks_for_rest(query: &str) -> bool {
    query.split('&').any(|pair| pair.starts_with("rest_route="))
}

/// PHP's errors as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What ends the script.
    Fatal,
    /// E_WARNING and its kin.
    Warning,
    /// E_NOTICE and its kin.
    Notice,
    /// E_DEPRECATED and its kin.
    Deprecated,
}

impl Level {
    /// Every level.
    pub const ALL: [Level; 4] = [Level::Fatal, Level::Warning, Level::Notice, Level::Deprecated];

    /// The level of PHP's error number.
    pub fn of(number: i32) -> Option<Self> {
        const FATAL: i32 = 1 | 4 | 16 | 64 | 256 | 4096;
        const WARNING: i32 = 2 | 32 | 128 | 512;
        const NOTICE: i32 = 8 | 1024 | 2048;
        const DEPRECATED: i32 = 8192 | 16384;
        let levels = [FATAL, WARNING, NOTICE, DEPRECATED];
        Self::ALL.into_iter().zip(levels).find(|(_, mask)| number & mask != 0).map(|(level, _)| level)
    }

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Fatal => "fatal",
            Level::Warning => "warning",
            Level::Notice => "notice",
            Level::Deprecated => "deprecated",
        }
    }
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// What it was for.
    pub route: Route,
    /// The HTTP status.
    pub status: u16,
    /// From its start until the script had ended.
    pub duration: Duration,
    /// The most memory it had, bytes.
    pub memory: u64,
    /// How many errors of each [`Level`] PHP raised.
    pub errors: [u32; Level::ALL.len()],
}

impl Registry<'_> {
    /// Counts a request that has ended.
    ///
    /// # Errors
    /// Somebody has registered one of our names otherwise.
    pub fn finish(&self, request: &Finished, counters: &Counters<'_>, clock: &dyn Clock) -> Result<()> {
        self.remember(request, counters, clock.now());
        self.ensure(DURATION, || {
            let help = "Duration of requests until the script had ended, by class of route and of status.";
            let labels = ["route".to_owned(), "status".to_owned()];
            Definition::new(DURATION, Kind::Histogram, help, &labels, &[])
        })?;
        let status = format!("{}xx", (request.status / 100).clamp(1, 5));
        let labels = [label("route", request.route.name()), label("status", &status)];
        self.observe(DURATION, request.duration.as_secs_f64(), &labels, clock)?;
        self.ensure(MEMORY, || {
            let help = "Highest memory of requests as PHP counts it (memory_get_peak_usage(true)).";
            Definition::new(MEMORY, Kind::Histogram, help, &[], &MEMORY_BOUNDS)
        })?;
        self.observe(MEMORY, request.memory as f64, &[], clock)?;
        self.count_errors(request, clock)
    }

    fn count_errors(&self, request: &Finished, clock: &dyn Clock) -> Result<()> {
        if request.errors.iter().all(|count| *count == 0) {
            return Ok(());
        }
        self.ensure(ERRORS, || {
            let help = "Errors that PHP raised and error_reporting did not silence, by level.";
            Definition::new(ERRORS, Kind::Counter, help, &["level".to_owned()], &[])
        })?;
        for (level, count) in Level::ALL.into_iter().zip(request.errors).filter(|(_, count)| *count > 0) {
            self.increment(ERRORS, f64::from(count), &[label("level", level.name())], clock)?;
        }
        Ok(())
    }

    /// Adds to the site's history, and notes it down when a minute has begun.
    fn remember(&self, request: &Finished, counters: &Counters<'_>, now: Timestamp) {
        let Some(history) = self.noted_history(counters, now).filter(|_| request.route != Route::Probe)
        else {
            return;
        };
        let is_refused = request.route == Route::Rest && matches!(request.status, 401 | 403 | 429);
        for (total, by) in [
            (Total::Requests, 1),
            (Total::Errors, u64::from(request.status >= 500)),
            (Total::Micros, u64::try_from(request.duration.as_micros()).unwrap_or(u64::MAX)),
            (Total::Memory, request.memory),
            (Total::RefusedRest, u64::from(is_refused)),
        ] {
            history.add(total, by);
        }
    }
}

fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_told_by_script_and_address() {
        for (uri, script, route) in [
            ("/", "/srv/index.php", Route::Front),
            ("/wp-json/wp/v2/posts?x=1", "/srv/index.php", Route::Rest),
            ("/wp-json", "/srv/index.php", Route::Rest),
            ("/blog/wp-json/", "/srv/blog/index.php", Route::Rest),
            ("/?rest_route=/wp/v2", "/srv/index.php", Route::Rest),
            ("/?s=rest_route=x", "/srv/index.php", Route::Front),
            ("/wp-jsonx/", "/srv/index.php", Route::Front),
            ("/wp-json/skylearn-billing-pro/v1/metrics", "/srv/index.php", Route::Probe),
            ("/?rest_route=%2Fskylearn-billing-pro%2Fv1%2Flive", "/srv/index.php", Route::Probe),
            ("/wp-json/skylearn-billing-pro/v1/queue/stats", "/srv/index.php", Route::Rest),
            ("/wp-admin/admin-ajax.php", "/srv/wp-admin/admin-ajax.php", Route::Ajax),
            ("/wp-admin/", "/srv/wp-admin/index.php", Route::Admin),
            ("/wp-login.php", "/srv/wp-login.php", Route::Login),
            ("/wp-cron.php?doing", "/srv/wp-cron.php", Route::Cron),
            ("/xmlrpc.php", "/srv/xmlrpc.php", Route::Xmlrpc),
            ("", "", Route::Front),
        ] {
            assert_eq!(Route::of(uri, script), route, "{uri} {script}");
        }
    }

    #[test]
    fn every_error_number_has_one_level() {
        let known: Vec<Level> = (0..15).filter_map(|bit| Level::of(1 << bit)).collect();
        assert_eq!(known.len(), 15);
        assert_eq!((Level::of(0), Level::of(1 << 20)), (None, None));
    }
}
