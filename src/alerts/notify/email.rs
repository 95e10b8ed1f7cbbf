//! The mail: a subject that says it all, and plain text.

use super::{Notice, rfc3339};

/// The subject, one line.
pub fn subject(notice: &Notice) -> String {
    let state = if notice.is_resolved() { "RESOLVED" } else { notice.severity };
    one_line(&format!("[{}] {} on {}", state.to_uppercase(), notice.rule, notice.instance))
}

/// The text.
pub fn body(notice: &Notice) -> String {
    let mut lines = Vec::new();
    for told in &notice.alerts {
        lines.push(told.message.clone());
        lines
            .push(format!("  value: {}", told.value.map_or("missing".to_owned(), |value| value.to_string())));
        for (name, value) in &told.labels {
            lines.push(format!("  {name}: {}", one_line(value)));
        }
        lines.push(format!("  since: {}", rfc3339(told.fired)));
        if let Some(ended) = told.ended {
            lines.push(format!("  ended: {}", rfc3339(ended)));
        }
        lines.push(String::new());
    }
    lines.push(format!("alert: {} ({})", notice.rule, notice.severity));
    lines.push(format!("metric: {}, threshold {}", notice.metric, notice.threshold));
    lines.push(format!("host: {}", notice.instance));
    if !notice.site_url.is_empty() {
        lines.push(format!("site: {}", notice.site_url));
    }
    lines.join("\n")
}

/// A line break in a subject would begin another header.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
