//! Telling: what a message holds, and its shape on each channel.
//!
//! Owns: the channels and their bodies. Refuses to do: decide whether to tell ([`super::due`]), and wait:
//! an attempt that fails is repeated by a later tick, so no worker sleeps over a receiver that is down.

mod alertmanager;
mod email;
mod post;
mod slack;
mod webhook;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

use super::Labels;
use super::machine::Phase;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::remote::http::Url;

pub use post::Post;

/// The channels by the names that `test_notification()` and the metrics use.
pub const CHANNELS: [&str; 4] = ["email", "webhook", "slack", "alertmanager"];

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// These addresses, in one mail.
    Email(Vec<String>),
    /// An address that takes our JSON.
    Webhook(Url),
    /// An incoming webhook of Slack.
    Slack(Url),
    /// An Alertmanager, which does its own grouping, silencing and telling.
    Alertmanager(Url),
}

/// The hosts of Slack's incoming webhooks.
const SLACK_HOSTS: [&str; 2] = ["hooks.slack.com", "hooks.slack-gov.com"];

/// Alertmanager takes an alert for over when it has not heard of it for a while.
const REMIND_ALERTMANAGER: Duration = Duration::from_secs(120);

impl Receiver {
    /// The receiver behind a `webhook_url`: existing sites put Slack's address there.
    pub fn of_webhook(url: Url) -> Self {
        if SLACK_HOSTS.contains(&url.host()) { Self::Slack(url) } else { Self::Webhook(url) }
    }

    /// The receiver that `test_notification()` names.
    ///
    /// # Errors
    /// Invalid argument for an unknown channel or a target that is none.
    pub fn named(channel: &str, target: &str, may_be_private: bool) -> Result<Self> {
        let url = || {
            let url = Url::parse("$target", target)?;
            match may_be_private || !url.is_plainly_private() {
                true => Ok(url),
                false => Err(Error::invalid(
                    "$target",
                    "expected a public address (php.ini slbp.webhook_allow_private = 1 allows others)",
                )),
            }
        };
        match channel {
            "email" if super::rule::is_address(target) => Ok(Self::Email(vec![target.to_owned()])),
            "email" => Err(Error::invalid("$target", format!("expected an e-mail address, got '{target}'"))),
            "webhook" => url().map(Self::of_webhook),
            "slack" => url().map(Self::Slack),
            "alertmanager" => url().map(Self::Alertmanager),
            other => {
                let expected = format!("expected one of {}, got '{other}'", CHANNELS.join(", "));
                Err(Error::invalid("$channel", expected))
            }
        }
    }

    /// `email`, `webhook`, `slack` or `alertmanager`.
    pub fn channel(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Alertmanager(_) => "alertmanager",
        }
    }

    /// A name that holds nothing of the address, which may be a secret.
    pub fn id(&self) -> String {
        let target = match self {
            Self::Email(addresses) => addresses.join(","),
            Self::Webhook(url) | Self::Slack(url) | Self::Alertmanager(url) => url.as_str().to_owned(),
        };
        let hash = blake3::hash(target.as_bytes()).to_hex();
        format!("{}-{}", self.channel(), hash.get(..12).unwrap_or_default())
    }

    /// Where it leads, as much of it as may be shown.
    pub fn shown(&self) -> String {
        match self {
            Self::Email(addresses) => addresses.join(", "),
            Self::Webhook(url) | Self::Slack(url) | Self::Alertmanager(url) => url.to_string(),
        }
    }

    /// After how long it is told again, when the rule says `wanted`.
    pub fn repeat(&self, wanted: Duration) -> Duration {
        if matches!(self, Self::Alertmanager(_)) { wanted.min(REMIND_ALERTMANAGER) } else { wanted }
    }
}

/// A message before it has a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The rule's name.
    pub rule: String,
    /// The metric as the configuration names it.
    pub metric: String,
    /// `warning`.
    pub severity: &'static str,
    /// What the figure was compared with.
    pub threshold: f64,
    /// The rule's labels.
    pub rule_labels: Labels,
    /// Which labels the alerts of this message agree on.
    pub group_by: Vec<String>,
    /// [`Phase::Firing`] or [`Phase::Resolved`].
    pub phase: Phase,
    /// At least one.
    pub alerts: Vec<Told>,
    /// This host.
    pub instance: String,
    /// The site's address, or nothing.
    pub site_url: String,
    /// When it is sent.
    pub at: Timestamp,
    /// The same for every attempt.
    pub id: String,
}

/// One alert of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The alert's fingerprint.
    pub fingerprint: String,
    /// The reading's labels.
    pub labels: Labels,
    /// The figure.
    pub value: Option<f64>,
    /// What a person is told.
    pub message: String,
    /// When it began to fire.
    pub fired: Timestamp,
    /// When it ended, if it did.
    pub ended: Option<Timestamp>,
}

impl Notice {
    /// The message of `test_notification()`.
    pub fn test(instance: &str, site_url: &str, at: Timestamp) -> Self {
        Self {
            rule: "slbp_test_notification".to_owned(),
            metric: "none".to_owned(),
            severity: "info",
            threshold: 0.0,
            rule_labels: Labels::new(),
            group_by: Vec::new(),
            phase: Phase::Firing,
            alerts: vec![Told {
                fingerprint: "0000000000000000".to_owned(),
                labels: Labels::new(),
                value: None,
                message: "This is a test: notifications from this site arrive here.".to_owned(),
                fired: at,
                ended: None,
            }],
            instance: instance.to_owned(),
            site_url: site_url.to_owned(),
            at,
            id: format!("test-{}", at.nanos()),
        }
    }

    fn is_resolved(&self) -> bool {
        self.phase == Phase::Resolved
    }

    /// Every label of one of its alerts.
    fn labels_of(&self, told: &Told) -> Labels {
        let mut labels = self.rule_labels.clone();
        labels.extend(told.labels.clone());
        labels.insert("alertname".to_owned(), self.rule.clone());
        labels.insert("severity".to_owned(), self.severity.to_owned());
        labels.entry("instance".to_owned()).or_insert_with(|| self.instance.clone());
        labels
    }

    /// One line for a person.
    fn summary(&self) -> String {
        let first = self.alerts.first().map(|told| told.message.as_str()).unwrap_or_default();
        let more = match self.alerts.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let prefix = if self.is_resolved() { "Resolved: " } else { "" };
        format!("{prefix}{first}{more}")
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It has not, or did not say so.
    Failed {
        /// Why, without the receiver's address.
        reason: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
}

/// What carries a message.
pub trait Courier {
    /// One attempt.
    fn deliver(&self, receiver: &Receiver, notice: &Notice) -> Outcome;
}

/// RFC 3339 in UTC.
fn rfc3339(at: Timestamp) -> String {
    let date = i64::try_from(at.secs()).ok().and_then(|secs| DateTime::from_timestamp(secs, 0));
    date.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}
