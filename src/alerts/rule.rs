//! What is watched and who is told: one rule, and how a configuration is read.
//!
//! Owns: the keys of the specification's `$alert_config` and ours beside them. A configuration with a
//! mistake in it is refused whole, naming the rule and the field: a threshold that silently became 0
//! would be worse than none.

use std::time::Duration;

use serde_json::Value;

use super::Labels;
use super::message::Template;
use super::notify::Receiver;
use crate::config::fields::Fields;
use crate::config::{lax, unknown_key};
use crate::error::{Error, Result};
use crate::remote::http::Url;

/// The option that holds the configuration.
pub const OPTION: &str = "slbp_alert_config";

/// More would not be a configuration but an accident, or an attack.
const MOST_RULES: usize = 200;

const KEYS: &[&str] = &[
    "enabled",
    "metric",
    "condition",
    "threshold",
    "severity",
    "message",
    "email_recipients",
    "webhook_url",
    "slack_webhook",
    "alertmanager_url",
    "cooldown",
    "for",
    "keep_firing_for",
    "repeat_interval",
    "no_data",
    "send_resolved",
    "labels",
    "group_by",
];

/// How a figure is compared with the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// More than the threshold.
    Greater,
    /// The threshold or more.
    GreaterOrEqual,
    /// Less than the threshold.
    Less,
    /// The threshold or less.
    LessOrEqual,
    /// Exactly the threshold.
    Equal,
    /// Anything else.
    NotEqual,
}

const CONDITIONS: [(&str, Condition); 14] = [
    ("greater_than", Condition::Greater),
    ("greater_than_or_equal", Condition::GreaterOrEqual),
    ("less_than", Condition::Less),
    ("less_than_or_equal", Condition::LessOrEqual),
    ("equals", Condition::Equal),
    ("not_equals", Condition::NotEqual),
    ("equal", Condition::Equal),
    ("not_equal", Condition::NotEqual),
    (">", Condition::Greater),
    (">=", Condition::GreaterOrEqual),
    ("<", Condition::Less),
    ("<=", Condition::LessOrEqual),
    ("==", Condition::Equal),
    ("!=", Condition::NotEqual),
];

impl Condition {
    /// Whether `value` is what the rule warns of.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }

    /// As the specification spells it.
    pub fn name(self) -> &'static str {
        CONDITIONS.iter().find(|(_, condition)| *condition == self).map_or("", |(name, _)| name)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// To be looked at now. Inhibits warnings about the same figure.
    Critical,
}

const SEVERITIES: [(&str, Severity); 3] =
    [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];

impl Severity {
    /// `info`, `warning` or `critical`.
    pub fn name(self) -> &'static str {
        SEVERITIES.iter().find(|(_, severity)| *severity == self).map_or("", |(name, _)| name)
    }
}

/// What a figure that is not there means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// Nothing is wrong.
    Ok,
    /// That it is missing is what is wrong.
    Alert,
    /// What was before still holds.
    Keep,
}

const NO_DATA: [(&str, NoData); 3] = [("ok", NoData::Ok), ("alert", NoData::Alert), ("keep", NoData::Keep)];

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The alert's name.
    pub name: String,
    /// Whether it is evaluated at all.
    pub enabled: bool,
    /// The metric's name as the registry knows it.
    pub metric: String,
    /// The metric as the configuration names it.
    pub metric_as_written: String,
    /// How the figure is compared.
    pub condition: Condition,
    /// With what.
    pub threshold: f64,
    /// How bad it is.
    pub severity: Severity,
    /// What a person is told.
    pub message: Template,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// How long it must last before anybody is told.
    pub wait: Duration,
    /// How long it must be over before that counts.
    pub keep_firing: Duration,
    /// After how long one is told again that it still lasts.
    pub repeat: Duration,
    /// What a missing figure means.
    pub no_data: NoData,
    /// Whether its end is told as well.
    pub send_resolved: bool,
    /// Put on every alert of the rule.
    pub labels: Labels,
    /// Alerts whose values of these labels agree share a message; without any, all of the rule do.
    pub group_by: Vec<String>,
}

/// Alertmanager's `repeat_interval`.
const USUAL_REPEAT: Duration = Duration::from_secs(4 * 3600);

/// The rules of a site that has configured none.
pub fn usual() -> Value {
    serde_json::json!({
        "high_memory_usage": {
            "metric": "system.memory_usage", "condition": "greater_than", "threshold": 536_870_912,
            "severity": "warning", "for": 300,
            "message": "A PHP worker uses {value} bytes of memory, more than {threshold}.",
        },
        "database_connection_failure": {
            "metric": "database.connections", "condition": "equals", "threshold": 0,
            "severity": "critical", "for": 30, "no_data": "keep",
            "message": "The database cannot be reached.",
        },
    })
}

/// Reads a configuration: rules by name, or an array with them under `alerts`.
///
/// # Errors
/// Invalid argument for the first mistake, naming rule and field, with what was expected there.
pub fn read(config: &Value, may_be_private: bool) -> Result<Vec<Rule>> {
    let rules = config.get("alerts").filter(|_| !is_rule(config.get("alerts"))).unwrap_or(config);
    let empty = serde_json::Map::new();
    let rules = match rules {
        Value::Object(map) => map,
        Value::Null => &empty,
        Value::Array(list) if list.is_empty() => &empty,
        other => {
            let got = lax::describe(other);
            return Err(Error::invalid(
                "alerts",
                format!("expected an array of rules by their names, got {got}"),
            ));
        }
    };
    if rules.len() > MOST_RULES {
        return Err(Error::invalid(
            "alerts",
            format!("expected at most {MOST_RULES} rules, got {}", rules.len()),
        ));
    }
    rules.iter().map(|(name, rule)| Rule::read(name, rule, may_be_private)).collect()
}

/// A rule may be called `alerts`; a list of rules has no metric.
fn is_rule(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.get("metric").is_some_and(Value::is_string))
}

impl Rule {
    fn read(name: &str, value: &Value, may_be_private: bool) -> Result<Self> {
        let owner = format!("alert '{name}'");
        if !is_name(name) {
            let expected = "expected a name of up to 64 letters, digits, '_' and '-'";
            return Err(Error::invalid(&owner, expected));
        }
        if !value.is_object() {
            let got = lax::describe(value);
            return Err(Error::invalid(&owner, format!("expected an array with its settings, got {got}")));
        }
        let fields = Fields::of(owner, value, KEYS)?;
        let metric_as_written = metric(&fields)?;
        let cooldown = seconds(&fields, "cooldown")?.filter(|time| !time.is_zero());
        Ok(Self {
            name: name.to_owned(),
            enabled: fields.truth("enabled")?.unwrap_or(true),
            metric: registry_name(&metric_as_written),
            condition: required(&fields, "condition", fields.choice("condition", &CONDITIONS)?)?,
            threshold: required(&fields, "threshold", fields.number("threshold")?)?,
            severity: fields.choice("severity", &SEVERITIES)?.unwrap_or(Severity::Warning),
            message: Template::read(&fields, text(&fields, "message", 2000)?.as_deref())?,
            receivers: receivers(&fields, may_be_private)?,
            wait: seconds(&fields, "for")?.unwrap_or_default(),
            keep_firing: seconds(&fields, "keep_firing_for")?.unwrap_or_default(),
            repeat: seconds(&fields, "repeat_interval")?.or(cooldown).unwrap_or(USUAL_REPEAT),
            no_data: fields.choice("no_data", &NO_DATA)?.unwrap_or(NoData::Ok),
            send_resolved: fields.truth("send_resolved")?.unwrap_or(true),
            labels: labels(&fields)?,
            group_by: names(&fields, "group_by")?,
            metric_as_written,
        })
    }
}

/// `category.name` of the specification is `slbp_category_name` in the registry.
fn registry_name(written: &str) -> String {
    match written.split_once('.') {
        Some((category, name)) => format!("slbp_{category}_{}", name.replace('.', "_")),
        None => written.to_owned(),
    }
}

fn metric(fields: &Fields) -> Result<String> {
    let expected = "expected 'category.name' such as 'system.memory_usage', or a registered metric's name";
    let written = text(fields, "metric", 200)?.ok_or_else(|| fields.wrong("metric", expected))?;
    let is_plain =
        written.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':'));
    let begins_well = written.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if is_plain && begins_well && !written.ends_with('.') && !written.contains("..") {
        return Ok(written);
    }
    Err(fields.wrong("metric", format!("{expected}, got '{written}'")))
}

type MakeReceiver = fn(Url) -> Receiver;

fn receivers(fields: &Fields, may_be_private: bool) -> Result<Vec<Receiver>> {
    let mut found = Vec::new();
    let addresses = recipients(fields)?;
    if !addresses.is_empty() {
        found.push(Receiver::Email(addresses));
    }
    let make: [(&str, MakeReceiver); 3] = [
        ("webhook_url", Receiver::of_webhook),
        ("slack_webhook", Receiver::Slack),
        ("alertmanager_url", Receiver::Alertmanager),
    ];
    for (key, receiver) in make {
        let Some(written) = text(fields, key, 2000)? else { continue };
        let url = Url::parse(key, &written).map_err(|error| fields.blame(error))?;
        if !may_be_private && url.is_plainly_private() {
            let expected = "expected a public address (php.ini slbp.webhook_allow_private = 1 allows others)";
            return Err(fields.wrong(key, expected));
        }
        found.push(receiver(url));
    }
    Ok(found)
}

fn recipients(fields: &Fields) -> Result<Vec<String>> {
    let expected = "expected e-mail addresses";
    let Some(value) = fields.get("email_recipients") else { return Ok(Vec::new()) };
    let list: Vec<String> = lax::list(value).map_err(|error| fields.wrong("email_recipients", error))?;
    match list.iter().find(|address| !is_address(address)) {
        Some(wrong) => Err(fields.wrong("email_recipients", format!("{expected}, got '{wrong}'"))),
        None if list.len() > 50 => Err(fields.wrong("email_recipients", "expected at most 50 addresses")),
        None => Ok(list),
    }
}

/// Enough to keep a header line whole and a typing error out; the mail server knows the rest.
pub(super) fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    let is_clean = |c: char| !c.is_whitespace() && !c.is_control() && !"<>,;\"()[]\\".contains(c);
    text.len() <= 254
        && text.chars().all(is_clean)
        && parts.is_some_and(|(user, host)| !user.is_empty() && !user.contains('@') && !host.is_empty())
}

fn labels(fields: &Fields) -> Result<Labels> {
    let Some(value) = fields.get("labels") else { return Ok(Labels::new()) };
    let expected = "expected label names with their values as text";
    let map = match value {
        Value::Object(map) => map.clone(),
        Value::Array(list) if list.is_empty() => serde_json::Map::new(),
        _ => return Err(fields.wrong("labels", expected)),
    };
    let mut labels = Labels::new();
    for (name, value) in map {
        match (is_label(&name), lax::text(&value)) {
            (true, Ok(text)) if text.as_ref().is_none_or(|text| text.len() <= 200) => {
                labels.insert(name, text.unwrap_or_default());
            }
            _ => return Err(fields.wrong("labels", format!("{expected}; '{name}' is wrong"))),
        }
    }
    match labels.len() {
        0..=16 => Ok(labels),
        _ => Err(fields.wrong("labels", "expected at most 16 labels")),
    }
}

fn names(fields: &Fields, key: &str) -> Result<Vec<String>> {
    let Some(value) = fields.get(key) else { return Ok(Vec::new()) };
    let list: Vec<String> = lax::list(value).map_err(|error| fields.wrong(key, error))?;
    match list.iter().find(|name| !is_label(name)) {
        Some(wrong) => Err(fields.wrong(key, format!("expected label names, got '{wrong}'"))),
        None => Ok(list),
    }
}

fn is_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether `name` may name an alert.
pub fn is_name(name: &str) -> bool {
    let may_be_in = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(may_be_in)
}

fn seconds(fields: &Fields, key: &str) -> Result<Option<Duration>> {
    const YEAR: u64 = 366 * 24 * 3600;
    match fields.whole(key)? {
        Some(seconds) if seconds > YEAR => Err(fields.wrong(key, "expected seconds, at most a year of them")),
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

/// Text, or nothing for an empty one: that is how a form says "not set".
fn text(fields: &Fields, key: &str, longest: usize) -> Result<Option<String>> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let text = lax::text(value).map_err(|error| fields.wrong(key, error))?;
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.len() > longest => {
            Err(fields.wrong(key, format!("expected at most {longest} bytes, got {}", text.len())))
        }
        text => Ok(text),
    }
}

fn required<T>(fields: &Fields, key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| fields.wrong(key, "missing"))
}

/// The error for a rule that is named but not there.
pub fn unknown(name: &str, rules: &[Rule]) -> Error {
    let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    unknown_key("alert_name", name, &known)
}
