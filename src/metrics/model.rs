//! What a scrape shows: families of series with their values at one moment.

use std::borrow::Cow;
use std::collections::HashSet;

use super::definition::stem;
use crate::clock::Timestamp;

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Only grows, until everything is reset.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Counts observations by size.
    Histogram = 3,
    /// Is always 1 and says something by its labels.
    Info = 4,
}

impl Kind {
    /// The word that PHP and both text formats use.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        [Kind::Counter, Kind::Gauge, Kind::Histogram].into_iter().find(|kind| *kind as u64 == number)
    }
}

/// All series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The full name; of a counter with its `_total`.
    pub name: Cow<'static, str>,
    /// What is measured, in which unit, and how workers' values become one.
    pub help: Cow<'static, str>,
    /// What it does.
    pub kind: Kind,
    /// Its series.
    pub series: Vec<Series>,
}

impl Family {
    /// A family without series.
    pub fn new(name: impl Into<Cow<'static, str>>, kind: Kind, help: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), help: help.into(), kind, series: Vec::new() }
    }

    /// The family with one more series.
    #[must_use]
    pub fn with(mut self, labels: &[(&'static str, &str)], value: f64) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
        self.series.push(Series { labels, value: Value::Number(value), created: None });
        self
    }

    /// A gauge with one series and no labels.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self::new(name, Kind::Gauge, help).with(&[], value)
    }

    /// A counter with one series and no labels.
    pub fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self::new(name, Kind::Counter, help).with(&[], value)
    }
}

/// One value with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Names and values, always in the order in which the family declares them.
    pub labels: Vec<(Cow<'static, str>, String)>,
    /// The value.
    pub value: Value,
    /// Since when a counter or a histogram counts.
    pub created: Option<Timestamp>,
}

/// A value at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter, a gauge or an info.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// Observations counted by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds, ascending, without infinity.
    pub bounds: Vec<f64>,
    /// Observations in each bucket and beyond the last bound: one more than there are bounds.
    pub counts: Vec<u64>,
    /// All observations added up.
    pub sum: f64,
}

impl Histogram {
    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// The value below which `share` (0 to 1) of the observations lie, interpolated within its bucket;
    /// the last bound for those beyond it. `None` without observations. The error is at most the width
    /// of a bucket.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = share.clamp(0.0, 1.0) * self.count() as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            let count = *count as f64;
            if count > 0.0 && below + count >= wanted {
                return Some(lower + (bound - lower) * ((wanted - below) / count).max(0.0));
            }
            below += count;
            lower = *bound;
        }
        (self.count() > 0).then_some(lower)
    }
}

/// All families at one moment. No two have names that OpenMetrics takes for the same family.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    families: Vec<Family>,
    stems: HashSet<String>,
}

impl Snapshot {
    /// Adds families; one whose name is taken, or that has no series, is left out.
    pub fn extend(&mut self, families: impl IntoIterator<Item = Family>) {
        for family in families {
            if !family.series.is_empty() && self.stems.insert(stem(&family.name).to_owned()) {
                self.families.push(family);
            }
        }
    }

    /// The families, in the order in which they came.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The family of this name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// The value of a metric without labels, or of all its series added up; a histogram's is its mean.
    /// `None` when there is nothing under this name, which is not the same as 0.
    pub fn value(&self, name: &str) -> Option<f64> {
        let series = &self.family(name)?.series;
        let number = |value: &Value| match value {
            Value::Number(number) => Some(*number),
            Value::Histogram(_) => None,
        };
        match series.iter().map(|one| number(&one.value)).collect::<Option<Vec<f64>>>() {
            Some(numbers) => Some(numbers.iter().sum()),
            None => mean(series),
        }
    }
}

fn mean(series: &[Series]) -> Option<f64> {
    let histograms = || {
        series.iter().filter_map(|one| match &one.value {
            Value::Histogram(histogram) => Some(histogram),
            Value::Number(_) => None,
        })
    };
    let count: u64 = histograms().map(Histogram::count).sum();
    (count > 0).then(|| histograms().map(|histogram| histogram.sum).sum::<f64>() / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_openmetrics_would_confuse_is_left_out() {
        let mut snapshot = Snapshot::default();
        snapshot.extend([
            Family::counter("orders_total", "Orders.", 3.0),
            Family::gauge("orders", "Not these.", 4.0),
            Family::new("nothing", Kind::Gauge, "No series."),
        ]);
        assert_eq!(snapshot.families().len(), 1);
        assert_eq!((snapshot.value("orders_total"), snapshot.value("orders")), (Some(3.0), None));
    }

    #[test]
    fn the_value_of_several_series_is_their_sum_and_of_histograms_their_mean() {
        let mut snapshot = Snapshot::default();
        let histogram = Histogram { bounds: vec![1.0], counts: vec![1, 3], sum: 10.0 };
        let series = Series { labels: Vec::new(), value: Value::Histogram(histogram), created: None };
        let family = Family::new("tasks", Kind::Gauge, "Tasks.");
        snapshot.extend([
            family.with(&[("state", "a")], 2.0).with(&[("state", "b")], 5.0),
            Family { series: vec![series], ..Family::new("seconds", Kind::Histogram, "Time.") },
        ]);
        assert_eq!(snapshot.value("tasks"), Some(7.0));
        assert_eq!(snapshot.value("seconds"), Some(2.5));
        assert_eq!(snapshot.value("absent"), None);
    }

    #[test]
    fn quantiles_are_interpolated_within_a_bucket() {
        let histogram = Histogram { bounds: vec![1.0, 2.0, 4.0], counts: vec![2, 2, 0, 1], sum: 0.0 };
        assert_eq!(histogram.quantile(0.2), Some(0.5));
        assert_eq!(histogram.quantile(0.6), Some(1.5));
        assert_eq!(histogram.quantile(1.0), Some(4.0));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
