//! What a person is told, as the administrator words it.
//!
//! Owns: `{value}`, `{threshold}`, `{metric}`, `{alert}`, `{severity}` and `{label:NAME}`, and for the
//! texts of existing sites `%s`, `%d`, `%f`, `%.2f`, `%1$s` and `%%` with the value first and the
//! threshold second. Anything else stands for itself: "disk 90% full" is no mistake here, as it is for
//! vsprintf(). What is wrong is refused when it is written, not when the site burns.

use super::Labels;
use crate::config::fields::Fields;
use crate::error::Result;

/// A checked text with places in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Value(Format),
    Threshold(Format),
    Metric,
    Alert,
    Severity,
    Label(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plain,
    Whole,
    Decimals(u8),
}

/// What fills a template.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The alert's name.
    pub alert: &'a str,
    /// The metric as the configuration names it.
    pub metric: &'a str,
    /// `warning`.
    pub severity: &'a str,
    /// The figure, if there is one.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: f64,
    /// What tells this alert from others of its rule.
    pub labels: &'a Labels,
}

const USUAL: &str = "{metric} is {value} (threshold {threshold})";

impl Template {
    /// Reads the field `message`, or the usual text without one.
    ///
    /// # Errors
    /// Invalid argument for a `{place}` that does not exist, and a `%3$s` beyond the two values.
    pub fn read(fields: &Fields, text: Option<&str>) -> Result<Self> {
        Self::parse(text.unwrap_or(USUAL)).map_err(|expected| fields.wrong("message", expected))
    }

    /// The text as it was written.
    pub fn as_written(&self) -> &str {
        &self.text
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut values = 0;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let found = match first {
                '{' => brace(rest)?,
                '%' => percent(rest, &mut values)?,
                _ => None,
            };
            let (part, length) = found.unwrap_or((Part::Text(first.to_string()), first.len_utf8()));
            match part {
                Part::Text(text) => plain.push_str(&text),
                field => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(field);
                }
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        parts.push(Part::Text(plain));
        Ok(Self { parts, text: text.to_owned() })
    }

    /// The text with its places filled.
    pub fn fill(&self, facts: &Facts<'_>) -> String {
        self.parts.iter().map(|part| part.fill(facts)).collect()
    }
}

impl Part {
    fn fill(&self, facts: &Facts<'_>) -> String {
        let field = match self {
            Self::Text(text) => return text.clone(),
            Self::Field(field) => field,
        };
        match field {
            Field::Value(format) => {
                facts.value.map_or_else(|| "missing".to_owned(), |value| format.show(value))
            }
            Field::Threshold(format) => format.show(facts.threshold),
            Field::Metric => facts.metric.to_owned(),
            Field::Alert => facts.alert.to_owned(),
            Field::Severity => facts.severity.to_owned(),
            Field::Label(name) => facts.labels.get(name).cloned().unwrap_or_default(),
        }
    }
}

impl Format {
    fn show(self, value: f64) -> String {
        match self {
            Self::Plain => value.to_string(),
            Self::Whole => format!("{:.0}", value.trunc()),
            Self::Decimals(places) => format!("{value:.*}", usize::from(places)),
        }
    }
}

/// `{name}` at the start of `text`; a brace that closes nowhere, or encloses no word, is text.
fn brace(text: &str) -> Result<Option<(Part, usize)>, String> {
    let Some((name, _)) = text.get(1..).and_then(|inner| inner.split_once('}')) else { return Ok(None) };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if name.is_empty() || !name.chars().all(is_word) {
        return Ok(None);
    }
    let field = match name {
        "value" => Field::Value(Format::Plain),
        "threshold" => Field::Threshold(Format::Plain),
        "metric" => Field::Metric,
        "alert" => Field::Alert,
        "severity" => Field::Severity,
        _ => match name.strip_prefix("label:") {
            Some(label) => Field::Label(label.to_owned()),
            None => {
                let known = "{value}, {threshold}, {metric}, {alert}, {severity} or {label:NAME}";
                return Err(format!("expected {known}, got {{{name}}}"));
            }
        },
    };
    Ok(Some((Part::Field(field), name.len() + 2)))
}

/// printf's places at the start of `text`; a `%` that begins none is text.
fn percent(text: &str, values: &mut usize) -> Result<Option<(Part, usize)>, String> {
    if text.starts_with("%%") {
        return Ok(Some((Part::Text("%".to_owned()), 2)));
    }
    let inner = text.get(1..).unwrap_or_default();
    let (number, after) = match inner.split_once('$').filter(|(number, _)| number.parse::<usize>().is_ok()) {
        Some((number, after)) => (number.parse().ok(), after),
        None => (None, inner),
    };
    let (places, after) = match after.strip_prefix('.') {
        Some(digits) => {
            match digits.find(|c: char| !c.is_ascii_digit()).and_then(|end| digits.split_at_checked(end)) {
                Some((places, after)) if !places.is_empty() => (places.parse::<u8>().ok(), after),
                _ => return Ok(None),
            }
        }
        None => (None, after),
    };
    let format = match after.chars().next() {
        Some('s') => Format::Plain,
        Some('d') => Format::Whole,
        Some('f') => Format::Decimals(places.unwrap_or(6).min(20)),
        _ => return Ok(None),
    };
    let nth = number.unwrap_or_else(|| {
        *values += 1;
        *values
    });
    let field = match nth {
        1 => Field::Value(format),
        2 => Field::Threshold(format),
        _ => return Err("expected at most two places: the value and the threshold".to_owned()),
    };
    Ok(Some((Part::Field(field), text.len() - after.len() + 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(text: &str) -> String {
        let labels = Labels::from([("gateway".to_owned(), "stripe".to_owned())]);
        let facts = Facts {
            alert: "high_memory_usage",
            metric: "system.memory_usage",
            severity: "warning",
            value: Some(612.5),
            threshold: 512.0,
            labels: &labels,
        };
        Template::parse(text).map_or_else(|error| error, |template| template.fill(&facts))
    }

    #[test]
    fn places_are_filled_in_both_notations() {
        let cases = [
            ("{value} of {threshold}", "612.5 of 512"),
            (
                "{alert}/{metric}/{severity}/{label:gateway}/{label:none}.",
                "high_memory_usage/system.memory_usage/warning/stripe/.",
            ),
            ("%s of %s", "612.5 of 512"),
            ("%d above %.1f", "612 above 512.0"),
            ("%2$s before %1$d", "512 before 612"),
            ("%f", "612.500000"),
        ];
        for (text, expected) in cases {
            assert_eq!(fill(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_text() {
        for text in [
            "disk 90% full",
            "100%",
            "{",
            "}",
            "{ }",
            "{}",
            "{not closed",
            "a % b",
            "%-5x",
            "%.",
            "{a b}",
            "€ %",
        ] {
            assert_eq!(fill(text), text);
        }
        assert_eq!(fill("100%%"), "100%");
    }

    #[test]
    fn a_place_that_does_not_exist_is_refused_when_it_is_written() {
        assert!(fill("{vlaue}").starts_with("expected {value}"));
        assert!(fill("%s %s %s").starts_with("expected at most two"));
        assert!(fill("%3$s").starts_with("expected at most two"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,80}") {
            let _ = fill(&text);
        }

        #[test]
        fn a_text_without_places_is_what_is_told(text in "[^%{]{0,40}") {
            prop_assert_eq!(fill(&text), text);
        }
    }
}
