//! Everything that can be shown at a scrape: what the registry holds, and what is asked now of the
//! segment, the system and PHP. No database, no other server.

use crate::binding::segment;
use crate::metrics::{Family, Registry, Snapshot, collect};

/// What is known now.
pub fn take(registry: &Registry<'_>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.extend(collect::system::families());
    if let Ok(segment) = segment::get() {
        snapshot.extend(collect::counters::families(segment));
    }
    snapshot.extend(registry.families());
    snapshot.extend([Family::counter(
        "slbp_metrics_series_dropped_total",
        "Updates of this site's metrics that found no room for a series of their own.",
        registry.dropped() as f64,
    )]);
    snapshot
}
