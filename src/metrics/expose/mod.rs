//! A snapshot as text that Prometheus reads: [`Format::Text`] 0.0.4 or [`Format::OpenMetrics`] 1.0.
//!
//! Owns: what the two formats share (escaping, numbers, buckets made cumulative from one read, so
//! that `+Inf` is always the count) and how they differ. `promtool` and the strict parser of
//! Prometheus' Python client read the output in the tests.

mod accept;
mod write;

pub use accept::negotiate;

use super::model::{Family, Snapshot};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The whole exposition.
pub fn render(snapshot: &Snapshot, format: Format) -> String {
    chunks(snapshot, format).collect()
}

/// The exposition family by family, so that only one of them is in memory as text at a time.
pub fn chunks(snapshot: &Snapshot, format: Format) -> impl Iterator<Item = String> + '_ {
    let end = match format {
        Format::Text => None,
        Format::OpenMetrics => Some("# EOF\n".to_owned()),
    };
    snapshot.families().iter().map(move |family| one(family, format)).chain(end)
}

fn one(family: &Family, format: Format) -> String {
    let mut text = String::with_capacity(256 + family.series.len() * 96);
    match format {
        Format::Text => write::text(&mut text, family),
        Format::OpenMetrics => write::openmetrics(&mut text, family),
    }
    text
}
