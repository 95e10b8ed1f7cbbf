//! What a metric is called and made of, and which names are refused.
//!
//! The rules are those of OpenMetrics 1.0 and of `promtool check metrics`, as far as breaking them
//! makes an exposition that some parser refuses: a suffix that another kind of metric owns, a label
//! that Prometheus sets itself. A user's metric keeps the name it was registered with.

use super::model::Kind;
use crate::error::{Error, Result};

/// Bounds of a histogram at most.
pub const MAX_BOUNDS: usize = 28;

/// Labels of a metric at most.
pub const MAX_LABELS: usize = 8;

/// The bounds of a histogram that names none, in seconds: what Prometheus' own clients use.
pub const DEFAULT_BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

pub(super) const NAME_BYTES: usize = 96;
pub(super) const HELP_BYTES: usize = 256;
pub(super) const LABEL_NAME_BYTES: usize = 128;

/// Suffixes that the samples of counters, histograms and infos end in.
const OWNED_SUFFIXES: [&str; 6] = ["_total", "_created", "_bucket", "_count", "_sum", "_info"];

/// A metric, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) labels: Vec<String>,
    pub(super) bounds: Vec<f64>,
}

impl Definition {
    /// A counter without labels.
    ///
    /// # Errors
    /// As [`Definition::new`].
    pub fn counter(name: &str, help: &str) -> Result<Self> {
        Self::new(name, Kind::Counter, help, &[], &[])
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// As [`Definition::new`].
    pub fn gauge(name: &str, help: &str) -> Result<Self> {
        Self::new(name, Kind::Gauge, help, &[], &[])
    }

    /// A metric. Without `bounds` a histogram gets [`DEFAULT_BOUNDS`]; a help text longer than 256 bytes
    /// is cut.
    ///
    /// # Errors
    /// Invalid argument for a name, label or bound that an exposition cannot hold.
    pub fn new(name: &str, kind: Kind, help: &str, labels: &[String], bounds: &[f64]) -> Result<Self> {
        check_name(name, kind)?;
        if help.trim().is_empty() {
            return Err(Error::invalid("$help", "expected a sentence that says what is measured"));
        }
        check_labels(labels)?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            help: cut(help.trim(), HELP_BYTES).to_owned(),
            labels: labels.to_vec(),
            bounds: checked_bounds(kind, bounds)?,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind that PHP names.
    ///
    /// # Errors
    /// Invalid argument for any other word.
    pub fn kind(word: &str) -> Result<Kind> {
        [Kind::Counter, Kind::Gauge, Kind::Histogram].into_iter().find(|kind| kind.name() == word).ok_or_else(
            || Error::invalid("$type", format!("expected 'counter', 'gauge' or 'histogram', got '{word}'")),
        )
    }

    /// How many parts of a unit a histogram's sum counts: nanoseconds, bytes, else millionths.
    pub(super) fn scale(&self) -> u64 {
        match () {
            () if self.name.ends_with("_seconds") => 1_000_000_000,
            () if self.name.ends_with("_bytes") => 1,
            () => 1_000_000,
        }
    }
}

/// The name that OpenMetrics gives the family: without the suffix of its samples.
pub(super) fn stem(name: &str) -> &str {
    name.strip_suffix("_total").or_else(|| name.strip_suffix("_info")).unwrap_or(name)
}

fn check_name(name: &str, kind: Kind) -> Result<()> {
    let wrong = |expected: String| Err(Error::invalid("$name", expected));
    if name.len() > NAME_BYTES || !is_identifier(name) {
        return wrong(format!("expected a letter, then up to 95 letters, digits and '_', got '{name}'"));
    }
    let allowed = |suffix: &&&str| kind == Kind::Counter && **suffix == "_total";
    match OWNED_SUFFIXES.iter().filter(|suffix| !allowed(suffix)).find(|suffix| name.ends_with(**suffix)) {
        Some(suffix) => wrong(format!("a {} may not end in '{suffix}', got '{name}'", kind.name())),
        None if stem(name).is_empty() => wrong("expected a name before '_total'".to_owned()),
        None => Ok(()),
    }
}

fn check_labels(labels: &[String]) -> Result<()> {
    let wrong = |expected: String| Err(Error::invalid("$labels", expected));
    if labels.len() > MAX_LABELS {
        return wrong(format!("expected at most {MAX_LABELS} labels, got {}", labels.len()));
    }
    if labels.iter().map(|label| label.len() + 1).sum::<usize>() > LABEL_NAME_BYTES {
        return wrong(format!("the names together are longer than {LABEL_NAME_BYTES} bytes"));
    }
    for (index, label) in labels.iter().enumerate() {
        if !is_identifier(label) || matches!(label.as_str(), "le" | "quantile") {
            return wrong(format!(
                "expected letters, digits and '_', and not 'le' or 'quantile', got '{label}'"
            ));
        }
        if labels.iter().skip(index + 1).any(|other| other == label) {
            return wrong(format!("'{label}' is named twice"));
        }
    }
    Ok(())
}

/// A trailing infinity, which is always there, may be named.
fn checked_bounds(kind: Kind, bounds: &[f64]) -> Result<Vec<f64>> {
    let wrong = |expected: &str| Err(Error::invalid("$buckets", expected));
    if kind != Kind::Histogram {
        return if bounds.is_empty() { Ok(Vec::new()) } else { wrong("only a histogram has buckets") };
    }
    let bounds = match bounds {
        [] => &DEFAULT_BOUNDS[..],
        [finite @ .., last] if *last == f64::INFINITY => finite,
        all => all,
    };
    if bounds.is_empty() || bounds.len() > MAX_BOUNDS || !bounds.iter().all(|bound| bound.is_finite()) {
        return wrong("expected 1 to 28 finite upper bounds");
    }
    if !bounds.is_sorted_by(|one, next| one < next) {
        return wrong("expected upper bounds in ascending order, none twice");
    }
    Ok(bounds.to_vec())
}

/// Names that begin with '_' are for Prometheus itself, those with ':' for its recording rules.
fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// At most `bytes` of `text`, whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, kind: Kind, labels: &[&str], bounds: &[f64]) -> String {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        Definition::new(name, kind, "Help.", &labels, bounds).unwrap_err().to_string()
    }

    #[test]
    fn names_that_break_an_exposition_are_refused() {
        for name in ["", "9lives", "with-dash", "a:b", "_private", "é", "a b", "_total", &"x".repeat(97)] {
            assert!(refused(name, Kind::Counter, &[], &[]).starts_with("$name"), "{name}");
        }
        assert!(Definition::counter("orders_total", "Orders.").is_ok());
        assert!(Definition::counter("orders", "Orders.").is_ok(), "a name is kept as it is");
        for name in ["a_total", "a_bucket", "a_count", "a_sum", "a_created", "a_info"] {
            assert!(refused(name, Kind::Gauge, &[], &[]).contains("may not end in"), "{name}");
        }
    }

    #[test]
    fn labels_that_prometheus_owns_are_refused() {
        for label in ["le", "quantile", "__name__", "_x", "a-b", ""] {
            assert!(refused("x", Kind::Counter, &[label], &[]).starts_with("$labels"), "{label}");
        }
        assert!(refused("x", Kind::Counter, &["a", "b", "a"], &[]).contains("'a' is named twice"));
        assert!(refused("x", Kind::Counter, &["a"; 9], &[]).contains("at most 8"));
    }

    #[test]
    fn bounds_ascend_and_infinity_goes_without_saying() {
        let infinity = f64::INFINITY;
        let given = Definition::new("x", Kind::Histogram, "Help.", &[], &[1.0, 2.0, infinity]).unwrap();
        assert_eq!(given.bounds, [1.0, 2.0]);
        assert_eq!(Definition::new("x", Kind::Histogram, "H", &[], &[]).unwrap().bounds, DEFAULT_BOUNDS);
        for bounds in [&[2.0, 1.0][..], &[1.0, 1.0], &[f64::NAN], &[infinity], &[infinity, 1.0], &[1.0; 29]] {
            assert!(refused("x", Kind::Histogram, &[], bounds).starts_with("$buckets"), "{bounds:?}");
        }
        assert!(refused("x", Kind::Gauge, &[], &[1.0]).contains("only a histogram"));
    }

    #[test]
    fn a_long_help_text_is_cut_between_characters() {
        let help = Definition::gauge("x", &"é".repeat(200)).unwrap().help;
        assert_eq!(help.len(), HELP_BYTES);
        let odd = Definition::gauge("x", &format!("a{}", "é".repeat(200))).unwrap().help;
        assert_eq!(odd.len(), HELP_BYTES - 1);
    }
}
