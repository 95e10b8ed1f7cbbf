//! The lines of one family.

use std::fmt::Write;

use crate::metrics::definition::stem;
use crate::metrics::model::{Family, Histogram, Kind, Series, Value};

/// Units that are named when a name ends in one.
const UNITS: [&str; 5] = ["seconds", "bytes", "ratio", "celsius", "meters"];

/// Text format 0.0.4.
pub fn text(out: &mut String, family: &Family) {
    let kind = if family.kind == Kind::Info { Kind::Gauge } else { family.kind };
    comment(out, "HELP", &family.name, &escaped(&family.help, false));
    comment(out, "TYPE", &family.name, kind.name());
    for series in &family.series {
        samples(out, &family.name, &family.name, series);
    }
}

/// OpenMetrics 1.0: a family's name lacks the suffix of its samples. A counter that was not named
/// `_total` would have to be renamed, so it is shown as of unknown type.
pub fn openmetrics(out: &mut String, family: &Family) {
    let name = stem(&family.name);
    let is_plain_counter = family.kind == Kind::Counter && name == family.name;
    let kind = if is_plain_counter { "unknown" } else { family.kind.name() };
    comment(out, "TYPE", name, kind);
    if let Some(unit) = UNITS.iter().find(|unit| ends_with_unit(name, unit)) {
        comment(out, "UNIT", name, unit);
    }
    comment(out, "HELP", name, &escaped(&family.help, true));
    for series in &family.series {
        samples(out, name, &family.name, series);
        if let Some(created) = series.created.filter(|_| !is_plain_counter) {
            let millis = created.nanos() / 1_000_000;
            let at = format!("{}.{:03}", millis / 1000, millis % 1000);
            line(out, &format!("{name}_created"), series, None, &at);
        }
    }
}

fn ends_with_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

fn comment(out: &mut String, word: &str, name: &str, text: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(out, "# {word} {name} {text}");
}

fn samples(out: &mut String, family: &str, name: &str, series: &Series) {
    match &series.value {
        Value::Number(value) => line(out, name, series, None, &number(*value)),
        Value::Histogram(histogram) => buckets(out, family, series, histogram),
    }
}

fn buckets(out: &mut String, family: &str, series: &Series, histogram: &Histogram) {
    let bucket = format!("{family}_bucket");
    let mut total: u64 = 0;
    for (index, count) in histogram.counts.iter().enumerate() {
        total = total.saturating_add(*count);
        let bound = histogram.bounds.get(index).copied().unwrap_or(f64::INFINITY);
        line(out, &bucket, series, Some(bound), &total.to_string());
    }
    line(out, &format!("{family}_sum"), series, None, &number(histogram.sum));
    line(out, &format!("{family}_count"), series, None, &total.to_string());
}

fn line(out: &mut String, name: &str, series: &Series, bound: Option<f64>, value: &str) {
    out.push_str(name);
    let labels = series.labels.iter().map(|(name, value)| (name.as_ref(), escaped(value, true)));
    let labels = labels.chain(bound.map(|bound| ("le", canonical(bound))));
    let mut opened = false;
    for (name, value) in labels {
        out.push(if opened { ',' } else { '{' });
        opened = true;
        let _ = write!(out, "{name}=\"{value}\"");
    }
    if opened {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

/// Backslashes and newlines; quotes too in label values and everywhere in OpenMetrics.
fn escaped(text: &str, quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quotes => escaped.push_str("\\\""),
            other => escaped.push(other),
        }
    }
    escaped
}

fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        v if v != 0.0 && (v.abs() >= 1e17 || v.abs() < 1e-7) => exponent(v),
        v => v.to_string(),
    }
}

/// A bound as Go writes floats, which is what OpenMetrics calls canonical: `1.0`, `0.005`, `1e+06`.
fn canonical(bound: f64) -> String {
    match bound {
        b if b.is_infinite() => number(b),
        b if b != 0.0 && (b.abs() >= 1e6 || b.abs() < 1e-4) => exponent(b),
        b => format!("{b:?}"),
    }
}

fn exponent(value: f64) -> String {
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let power: i32 = exponent.parse().unwrap_or(0);
            let sign = if power < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", power.abs())
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;

    fn series(labels: &[(&'static str, &str)], value: Value) -> Series {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
        Series { labels, value, created: Some(Timestamp::from_nanos(1_700_000_000_250_000_000)) }
    }

    fn written(write: fn(&mut String, &Family), family: &Family) -> String {
        let mut out = String::new();
        write(&mut out, family);
        out
    }

    #[test]
    fn a_counter_in_both_formats() {
        let mut family = Family::new("orders_total", Kind::Counter, "Orders \\ \"paid\"\nor not.");
        family.series.push(series(&[("plan", "a\"b\\c\nd")], Value::Number(3.0)));
        assert_eq!(
            written(text, &family),
            "# HELP orders_total Orders \\\\ \"paid\"\\nor not.\n# TYPE orders_total counter\n\
             orders_total{plan=\"a\\\"b\\\\c\\nd\"} 3\n"
        );
        assert_eq!(
            written(openmetrics, &family),
            "# TYPE orders counter\n# HELP orders Orders \\\\ \\\"paid\\\"\\nor not.\n\
             orders_total{plan=\"a\\\"b\\\\c\\nd\"} 3\n\
             orders_created{plan=\"a\\\"b\\\\c\\nd\"} 1700000000.250\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulative_and_its_last_bucket_is_its_count() {
        let histogram = Histogram { bounds: vec![0.005, 1.0, 1e6], counts: vec![1, 0, 2, 4], sum: 7.5 };
        let mut family = Family::new("x_seconds", Kind::Histogram, "X.");
        family.series.push(series(&[], Value::Histogram(histogram)));
        assert_eq!(
            written(openmetrics, &family),
            "# TYPE x_seconds histogram\n# UNIT x_seconds seconds\n# HELP x_seconds X.\n\
             x_seconds_bucket{le=\"0.005\"} 1\nx_seconds_bucket{le=\"1.0\"} 1\n\
             x_seconds_bucket{le=\"1e+06\"} 3\nx_seconds_bucket{le=\"+Inf\"} 7\n\
             x_seconds_sum 7.5\nx_seconds_count 7\nx_seconds_created 1700000000.250\n"
        );
    }

    #[test]
    fn an_info_is_a_gauge_to_the_old_format() {
        let family = Family::new("slbp_build_info", Kind::Info, "B.").with(&[("version", "1")], 1.0);
        assert!(
            written(text, &family).contains("# TYPE slbp_build_info gauge\nslbp_build_info{version=\"1\"} 1")
        );
        assert!(written(openmetrics, &family).contains("# TYPE slbp_build info\n"));
    }

    #[test]
    fn a_counter_without_total_keeps_its_name() {
        let mut family = Family::new("orders", Kind::Counter, "Orders.");
        family.series.push(series(&[], Value::Number(1.0)));
        assert_eq!(written(openmetrics, &family), "# TYPE orders unknown\n# HELP orders Orders.\norders 1\n");
    }

    #[test]
    fn numbers_are_those_of_go() {
        for (value, expected) in
            [(0.0, "0"), (1.5, "1.5"), (1e20, "1e+20"), (2.5e-9, "2.5e-09"), (-3.0, "-3")]
        {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in
            [(0.0, "0.0"), (10.0, "10.0"), (0.0001, "0.0001"), (0.00001, "1e-05"), (2_500_000.0, "2.5e+06")]
        {
            assert_eq!(canonical(value), expected);
        }
        assert_eq!((number(f64::NAN), number(f64::NEG_INFINITY)), ("NaN".to_owned(), "-Inf".to_owned()));
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_one_line_and_can_be_read_back(given: String) {
            let text = escaped(&given, true);
            prop_assert!(!text.contains('\n'));
            prop_assert_eq!(unescaped(&text), given);
        }

        #[test]
        fn a_number_can_be_read_back(value: f64) {
            let text = number(value);
            let back: f64 = text.replace("Inf", "inf").parse().unwrap();
            prop_assert!(back == value || (back.is_nan() && value.is_nan()));
        }
    }

    /// What a parser does.
    fn unescaped(text: &str) -> String {
        let mut characters = text.chars();
        let mut plain = String::new();
        while let Some(character) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some('n') => plain.push('\n'),
                    Some(other) => plain.push(other),
                    None => unreachable!("a lonely backslash"),
                },
                '"' => unreachable!("a quote that ends the text"),
                other => plain.push(other),
            }
        }
        plain
    }
}
