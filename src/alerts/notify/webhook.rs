//! The webhook's body: Alertmanager's envelope, version 4, with the existing plugin's flat keys beside.

use serde_json::{Value, json};

use super::{Notice, Told, rfc3339};
use crate::alerts::Labels;

/// How Alertmanager writes "has not ended".
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// The body.
pub fn body(notice: &Notice) -> Value {
    let all: Vec<Labels> = notice.alerts.iter().map(|told| notice.labels_of(told)).collect();
    let common = common(&all);
    let mut group = Labels::from([("alertname".to_owned(), notice.rule.clone())]);
    group.extend(notice.group_by.iter().filter_map(|name| Some((name.clone(), common.get(name)?.clone()))));
    let first = notice.alerts.first();
    json!({
        "version": "4",
        "groupKey": group_key(&group),
        "truncatedAlerts": 0,
        "status": notice.phase.name(),
        "receiver": "slbp",
        "groupLabels": group,
        "commonLabels": common,
        "commonAnnotations": {"summary": notice.summary()},
        "externalURL": notice.site_url,
        "alerts": notice.alerts.iter().map(|told| alert(notice, told)).collect::<Vec<_>>(),
        "alert_name": notice.rule,
        "message": notice.summary(),
        "severity": notice.severity,
        "metric": notice.metric,
        "current_value": first.and_then(|told| told.value),
        "threshold": notice.threshold,
        "timestamp": rfc3339(notice.at),
        "instance_id": notice.instance,
    })
}

fn alert(notice: &Notice, told: &Told) -> Value {
    json!({
        "status": notice.phase.name(),
        "labels": notice.labels_of(told),
        "annotations": {"summary": told.message, "value": told.value.map(|value| value.to_string()).unwrap_or_default()},
        "startsAt": rfc3339(told.fired),
        "endsAt": told.ended.map_or_else(|| NOT_ENDED.to_owned(), rfc3339),
        "generatorURL": notice.site_url,
        "fingerprint": told.fingerprint,
    })
}

/// The labels on which all agree.
fn common(all: &[Labels]) -> Labels {
    let mut common = all.first().cloned().unwrap_or_default();
    common.retain(|name, value| all.iter().all(|labels| labels.get(name) == Some(value)));
    common
}

fn group_key(group: &Labels) -> String {
    let labels: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}
