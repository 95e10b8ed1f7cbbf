//! The object cache, one check for each of its layers.

use std::time::Duration;

use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};

/// A layer that takes longer than this slows down every page.
const SLOW: Duration = Duration::from_millis(50);

/// The layers a site may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The memory of this host.
    SharedMemory,
    /// Redis or Memcached.
    Remote,
}

impl Layer {
    const fn profile(self) -> Profile {
        match self {
            Self::SharedMemory => Profile::new("cache_memory", "datastore", "roundTrip"),
            Self::Remote => Profile::new("cache_remote", "datastore", "roundTrip"),
        }
    }
}

/// Writes a value, reads it back and removes it: `round_trip` says how long that took, or why not. A
/// cache that is away costs speed, not answers, so this never takes a node out of service.
pub fn layer<'a>(
    layer: Layer,
    round_trip: impl Fn() -> Result<Duration, String> + 'a,
) -> Box<dyn Check + 'a> {
    Box::new(Probe::new(layer.profile(), move || match round_trip() {
        Ok(took) => Outcome::graded(
            took.as_secs_f64(),
            Unit::Seconds,
            SLOW.as_secs_f64(),
            f64::INFINITY,
            "slow to answer",
        ),
        Err(reason) => Outcome::unhealthy(reason),
    }))
}
