//! What the site's own counts say of the last minute, and what the registry says of itself.

use crate::clock::Timestamp;
use crate::metrics::model::Family;
use crate::metrics::registry::Registry;

/// Means are absent while no request ended in the last minute.
pub fn families(registry: &Registry<'_>, now: Timestamp) -> Vec<Family> {
    let mut families = vec![Family::counter(
        "slbp_metrics_series_dropped_total",
        "Updates of this site's metrics that found no room for a series of their own.",
        registry.dropped() as f64,
    )];
    if let Some((events, refused)) = registry.security_counts(now) {
        let help = "Events that bear on security, of the last 24 hours.";
        families.push(Family::gauge("slbp_security_security_events_24h", help, events as f64));
        let help = "REST requests that were refused with 401, 403 or 429, of the last hour.";
        families.push(Family::gauge("slbp_security_failed_api_requests_1h", help, refused as f64));
    }
    let Some(point) = registry.last_minute(now) else { return families };
    families.push(Family::gauge(
        "slbp_performance_requests_per_minute",
        "Requests that ended in the last minute or two.",
        point.requests as f64,
    ));
    if let Some(millis) = point.response_time {
        let help = "Mean duration of requests in milliseconds, of the last minute or two.";
        families.push(Family::gauge("slbp_performance_response_time", help, millis));
        let share = 100.0 * point.errors as f64 / point.requests as f64;
        let help =
            "Requests per hundred that ended with a status of 500 and above, of the last minute or two.";
        families.push(Family::gauge("slbp_performance_error_rate", help, share));
    }
    families
}
