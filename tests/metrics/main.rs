//! Metrics in shared memory: what callers see, under kills and races, and as two parsers read them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    unsafe_code
)]

mod exposition;
mod faults;
#[path = "../support/processes.rs"]
mod processes;
mod registry;
mod requests;

use slbp::metrics::{Definition, Family, Kind, Registry, Value};
use slbp::shm::{Plan, Segment};

/// A segment as php-fpm's would be, with the metrics region of the default size.
fn segment() -> Segment {
    Segment::anonymous(&Plan { metrics: 2 << 20, ..Plan::smallest() }).unwrap()
}

fn labelled(name: &str, kind: Kind, labels: &[&str]) -> Definition {
    let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    Definition::new(name, kind, "Help.", &labels, &[]).unwrap()
}

fn pair(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn family(registry: &Registry<'_>, name: &str) -> Family {
    registry.families().into_iter().find(|family| family.name == name).expect(name)
}

/// The number of the series whose first label is `label`, or that has none.
fn number(registry: &Registry<'_>, name: &str, label: Option<&str>) -> Option<f64> {
    let series = family(registry, name).series;
    let found =
        series.into_iter().find(|series| series.labels.first().map(|(_, value)| value.as_str()) == label)?;
    match found.value {
        Value::Number(number) => Some(number),
        Value::Histogram(histogram) => Some(histogram.count() as f64),
    }
}

/// All series of a family added up.
fn total(registry: &Registry<'_>, name: &str) -> f64 {
    let value = |value: &Value| match value {
        Value::Number(number) => *number,
        Value::Histogram(histogram) => histogram.count() as f64,
    };
    family(registry, name).series.iter().map(|series| value(&series.value)).sum()
}
