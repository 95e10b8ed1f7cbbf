//! Slack's shape of a message (incoming webhooks, attachments).

use serde_json::{Value, json};

use super::Notice;

/// What Slack shows of one message before it folds it.
const MOST_LINES: usize = 10;

/// The body.
pub fn body(notice: &Notice) -> Value {
    let state = if notice.is_resolved() { "RESOLVED" } else { "FIRING" };
    let title = format!("[{state}] {} on {}", notice.rule, notice.instance);
    let mut lines: Vec<String> =
        notice.alerts.iter().take(MOST_LINES).map(|told| escape(&told.message)).collect();
    if notice.alerts.len() > MOST_LINES {
        lines.push(format!("… and {} more", notice.alerts.len() - MOST_LINES));
    }
    let field = |title: &str, value: String| json!({"title": title, "value": escape(&value), "short": true});
    let value = notice.alerts.first().and_then(|told| told.value);
    json!({
        "text": escape(&title),
        "attachments": [{
            "color": colour(notice),
            "fallback": escape(&notice.summary()),
            "text": lines.join("\n"),
            "fields": [
                field("Severity", notice.severity.to_owned()),
                field("Metric", notice.metric.clone()),
                field("Value", value.map_or_else(|| "missing".to_owned(), |value| value.to_string())),
                field("Threshold", notice.threshold.to_string()),
            ],
            "footer": escape(&notice.site_url),
            "ts": notice.at.secs(),
        }],
    })
}

fn colour(notice: &Notice) -> &'static str {
    match notice.severity {
        _ if notice.is_resolved() => "good",
        "critical" => "danger",
        "warning" => "warning",
        _ => "#439FE0",
    }
}

/// The three characters that mean something to Slack.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
