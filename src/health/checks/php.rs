//! PHP itself: the byte code cache and the pool of workers.

use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};

/// Percent of the byte code cache: degraded, unhealthy.
const OPCACHE: (f64, f64) = (90.0, 99.0);

/// Percent of the pool's workers that are busy: degraded, unhealthy.
const POOL: (f64, f64) = (80.0, 100.0);

/// What opcache says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpcacheSnapshot {
    /// Whether it is on.
    pub enabled: bool,
    /// Percent of its memory that is used or wasted.
    pub used: f64,
    /// Times that it was full and started anew.
    pub restarts: u64,
}

/// What php-fpm says of the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolSnapshot {
    /// Workers that serve a request, this one included.
    pub active: u64,
    /// Workers that may be at most.
    pub most: u64,
    /// Requests that wait for a worker.
    pub waiting: u64,
}

/// The byte code cache. `None` stands for a PHP without it.
pub fn opcache<'a>(look: impl Fn() -> Option<OpcacheSnapshot> + 'a) -> Box<dyn Check + 'a> {
    let profile = Profile::new("opcache", "component", "utilization").good_for(30);
    Box::new(Probe::new(profile, move || match look() {
        Some(state) if state.enabled && state.restarts > 0 => {
            Outcome::degraded("opcache has been full: raise opcache.memory_consumption")
                .measured(state.used, Unit::Percent)
        }
        Some(state) if state.enabled => {
            Outcome::graded(state.used, Unit::Percent, OPCACHE.0, OPCACHE.1, "opcache is nearly full")
        }
        _ => Outcome::degraded("opcache is off: every request compiles WordPress anew"),
    }))
}

/// The pool. `None` stands for a PHP that is not php-fpm.
pub fn pool<'a>(look: impl Fn() -> Option<PoolSnapshot> + 'a) -> Box<dyn Check + 'a> {
    let profile = Profile::new("php_fpm", "component", "utilization").good_for(2);
    Box::new(Probe::new(profile, move || match look() {
        Some(pool) if pool.waiting > 0 => {
            Outcome::degraded("requests wait for a worker").measured(pool.waiting as f64, Unit::Count)
        }
        Some(pool) => {
            let busy = pool.active as f64 / pool.most.max(1) as f64 * 100.0;
            Outcome::graded(busy, Unit::Percent, POOL.0, POOL.1, "nearly every worker is busy")
        }
        None => Outcome { message: "not php-fpm".to_owned(), ..Outcome::healthy() },
    }))
}
