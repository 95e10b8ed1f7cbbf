//! Whether WordPress' scheduled events run when they are due.

use std::time::Duration;

use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};

/// Seconds by which the earliest event may be late: degraded, unhealthy. Without traffic nobody
/// runs WordPress' cron, so some lateness is usual.
const LATE: (f64, f64) = (600.0, 3_600.0);

/// How long ago the earliest event was due, zero when none is.
pub fn lateness<'a>(look: impl Fn() -> Option<Duration> + 'a) -> Box<dyn Check + 'a> {
    let profile = Profile::new("cron", "component", "lateness");
    Box::new(Probe::new(profile, move || match look() {
        Some(late) => {
            Outcome::graded(late.as_secs_f64(), Unit::Seconds, LATE.0, LATE.1, "scheduled events do not run")
        }
        None => Outcome::degraded("the schedule cannot be read"),
    }))
}
