//! The alerts' REST answers and result arrays. Who may ask is the route's business.

use serde_json::{Map, Value, json};

use super::{HostedAlerts, history, rules};
use crate::alerts::book::Alert;
use crate::alerts::engine::message;
use crate::alerts::machine::Phase;
use crate::alerts::notify::Receiver;
use crate::alerts::rule::{OPTION, Rule};
use crate::alerts::{Report, Transition};
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::ports::Options;
use crate::remote::http::Url;

/// Keys whose values are shown without what makes them secret.
const ADDRESSES: [&str; 3] = ["webhook_url", "slack_webhook", "alertmanager_url"];

/// The array of `check_alerts()`.
pub fn report(report: &Report) -> Value {
    let states: Map<String, Value> =
        report.states.iter().map(|(name, phase)| (name.clone(), phase.name().into())).collect();
    json!({"transitions": report.transitions.iter().map(transition).collect::<Vec<_>>(), "states": states})
}

fn transition(transition: &Transition) -> Value {
    json!({
        "alert_name": transition.alert,
        "state": transition.state.name(),
        "value": transition.value,
        "threshold": transition.threshold,
        "severity": transition.severity,
        "since": transition.since.secs(),
        "labels": transition.labels,
    })
}

impl HostedAlerts<'_> {
    /// GET /alerts: what is pending, firing or just resolved; `history` asks for the last events too.
    pub fn show(&self, request: &Request<'_>) -> Response {
        let kept = self.kept();
        let (book, silences) = self.with_engine(&kept, |engine| engine.look());
        let now = SystemClock.now();
        let is_silenced = |rule: &Rule| silences.iter().any(|s| s.alert == rule.name || s.alert == "*");
        let wanted = request.text("state");
        let mut shown = Vec::new();
        for alert in book.alerts.values() {
            let rule = self.in_force.rules.iter().find(|rule| rule.name == alert.rule);
            let is_wanted = wanted.as_deref().is_none_or(|state| state == alert.state.phase.name());
            if let Some(rule) = rule.filter(|_| is_wanted) {
                shown.push(alert_row(rule, alert, is_silenced(rule), now));
            }
        }
        let firing = book.alerts.values().any(|alert| alert.state.phase == Phase::Firing);
        let mut body = json!({
            "alerts": shown,
            "total": shown.len(),
            "status": if firing { "firing" } else { "ok" },
            "rules": self.in_force.rules.iter().map(|rule| rule_row(rule, book.phase_of(&rule.name))).collect::<Vec<_>>(),
            "silences": silences,
            "timestamp": now.secs(),
        });
        let asked = request.text("history").and_then(|text| text.trim().parse::<u32>().ok());
        if let (Some(limit), Some(body)) = (asked, body.as_object_mut()) {
            body.insert("history".to_owned(), history(limit.clamp(1, 500)).into());
        }
        Response::ok(body)
    }

    /// GET shows the rules, POST replaces them, DELETE returns to the usual ones.
    pub fn manage(&self, request: &Request<'_>) -> Response {
        let answer = match request.method().as_str() {
            "POST" => self.store(request),
            "DELETE" => {
                if let Some(options) = self.options {
                    options.delete(OPTION);
                }
                self.reread()
            }
            _ => Ok(self.show_config()),
        };
        answer.unwrap_or_else(|error| match error.kind() {
            Kind::InvalidArgument | Kind::Config => {
                Response::refused(400, "slbp_invalid", &error.to_string())
            }
            _ => Response::refused(503, "slbp_unavailable", &error.to_string()),
        })
    }

    fn show_config(&self) -> Response {
        Response::ok(json!({"alerts": masked(&self.in_force.config)}))
    }

    /// Validates before it stores; an address that comes back as it was shown is the stored one.
    fn store(&self, request: &Request<'_>) -> Result<Response> {
        let body = request.json_body().unwrap_or_default();
        let given = match body.get("alerts").filter(|alerts| alerts.get("metric").is_none()) {
            Some(alerts) => alerts.clone(),
            None => body,
        };
        if given.as_object().is_none_or(Map::is_empty) {
            return Err(Error::invalid("body", "expected a JSON object with rules by their names"));
        }
        let config = unmasked(given, &self.in_force.config);
        crate::alerts::rule::read(&config, super::may_be_private())?;
        if !self.options.is_some_and(|options| options.set(OPTION, &config)) {
            return Ok(Response::refused(500, "slbp_not_stored", "The rules could not be stored."));
        }
        self.reread()
    }

    fn reread(&self) -> Result<Response> {
        let Some(options) = self.options else { return Ok(self.show_config()) };
        let in_force = rules::in_force(&Value::Null, options, &self.place)?;
        in_force.mirror(&self.place);
        Ok(Response::ok(json!({"alerts": masked(&in_force.config)})))
    }
}

fn alert_row(rule: &Rule, alert: &Alert, is_silenced: bool, now: Timestamp) -> Value {
    let since = Timestamp::from_nanos(alert.state.since);
    json!({
        "alert_name": rule.name,
        "state": alert.state.phase.name(),
        "severity": rule.severity.name(),
        "metric": rule.metric_as_written,
        "current_value": alert.value,
        "threshold": rule.threshold,
        "message": message(rule, alert),
        "labels": alert.labels,
        "since": since.secs(),
        "duration": now.since(since).as_secs(),
        "silenced": is_silenced,
    })
}

fn rule_row(rule: &Rule, phase: Phase) -> Value {
    json!({
        "alert_name": rule.name,
        "enabled": rule.enabled,
        "state": phase.name(),
        "severity": rule.severity.name(),
        "metric": rule.metric_as_written,
        "condition": rule.condition.name(),
        "threshold": rule.threshold,
        "for": rule.wait.as_secs(),
        "receivers": rule.receivers.iter().map(receiver_row).collect::<Vec<_>>(),
    })
}

fn receiver_row(receiver: &Receiver) -> Value {
    json!({"channel": receiver.channel(), "target": receiver.shown()})
}

/// The configuration with addresses shown without their paths.
fn masked(config: &Value) -> Value {
    each_address(config.clone(), |_, _, text| {
        Url::parse("", text).map_or_else(|_| "…".to_owned(), |url| url.to_string())
    })
}

/// `given` with every address that is only shown replaced by the one it stands for.
fn unmasked(given: Value, stored: &Value) -> Value {
    each_address(given, |rule, key, text| {
        let known = stored.get(rule).and_then(|rule| rule.get(key)).and_then(Value::as_str);
        match known {
            Some(known) if Url::parse("", known).is_ok_and(|url| url.to_string() == text) => known.to_owned(),
            _ => text.to_owned(),
        }
    })
}

fn each_address(mut config: Value, change: impl Fn(&str, &str, &str) -> String) -> Value {
    for (name, rule) in config.as_object_mut().into_iter().flatten() {
        for key in ADDRESSES {
            let Some(Value::String(text)) = rule.get_mut(key) else { continue };
            if !text.is_empty() {
                *text = change(name, key, text);
            }
        }
    }
    config
}
