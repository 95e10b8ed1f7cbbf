//! Alertmanager's API v2: the alerts as they are, and it does the rest.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Notice, rfc3339};

/// Alertmanager takes an alert for over at this time unless it hears of it again, which it does every
/// two minutes from a site with visitors or cron.
const VALID_FOR: Duration = Duration::from_secs(10 * 60);

/// The path behind the address in the configuration, unless that has it already.
pub const PATH: &str = "/api/v2/alerts";

/// The body.
pub fn body(notice: &Notice) -> Value {
    let alert = |told: &super::Told| {
        json!({
            "labels": notice.labels_of(told),
            "annotations": {"summary": told.message, "description": notice.summary()},
            "startsAt": rfc3339(told.fired),
            "endsAt": rfc3339(told.ended.unwrap_or(notice.at.plus(VALID_FOR))),
            "generatorURL": notice.site_url,
        })
    };
    notice.alerts.iter().map(alert).collect()
}
