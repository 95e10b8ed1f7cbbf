//! The limiter's REST answers. Who may ask is the route's business (its permission callback).

use ext_php_rs::types::Zval;
use serde_json::{Value, json};

use super::{HostedLimiter, results};
use crate::binding::failure::log;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::error::{Error, Kind, Result};
use crate::limiter::headers::{self, Refusal};
use crate::limiter::lists::ListKind;
use crate::limiter::settings::{AUTO_BAN_OPTION, RULES_OPTION};
use crate::limiter::{self, Check, Reason};
use crate::ports::Options;

const PROBLEM_JSON: &str = "application/problem+json";

impl HostedLimiter {
    /// The asker's own status, or for administrators that of `client_id`.
    ///
    /// # Errors
    /// An empty client id.
    pub fn status(&self, request: &Request<'_>) -> Result<Response> {
        let asked = request.text("client_id");
        if asked.is_some() && !hooks::current_user_can("manage_options") {
            return Ok(Response::refused(403, "rest_forbidden", "Only administrators may ask about others."));
        }
        let client = asked.unwrap_or_else(|| self.identifier(request));
        let endpoint = request.text("endpoint").unwrap_or_else(|| "general".to_owned());
        let plan = self.plan(client.as_bytes(), endpoint.as_bytes());
        let limiter = self.get();
        let mut peek = limiter::Request::new(client.as_bytes(), endpoint.as_bytes());
        peek.plan = plan.as_deref();
        let check = limiter.peek(&peek)?;
        let mut body = results::body(&check);
        if let Some(map) = body.as_object_mut() {
            map.insert("client_id".to_owned(), Value::String(client.clone()));
            map.insert("endpoint".to_owned(), Value::String(endpoint.clone()));
        }
        Ok(Response::ok(body).with_headers(owned(limiter.headers(&results::told(&check)))))
    }

    /// GET lists, POST adds `entry` or `entries`, DELETE removes `entry`.
    pub fn manage_list(&self, kind: ListKind, request: &Request<'_>) -> Response {
        let answer = match request.method().as_str() {
            "POST" => self.add_to_list(kind, request),
            "DELETE" => self.remove_from_list(kind, request),
            _ => Ok(self.show_list(kind)),
        };
        answer.unwrap_or_else(|error| refusal(&error))
    }

    /// GET shows the rules, POST replaces those of the option, DELETE returns to the defaults.
    pub fn manage_config(&self, request: &Request<'_>) -> Response {
        let answer = match request.method().as_str() {
            "POST" => self.store_config(request),
            "DELETE" => {
                self.options.delete(RULES_OPTION);
                self.options.delete(AUTO_BAN_OPTION);
                self.reload().map(|()| self.show_config())
            }
            _ => Ok(self.show_config()),
        };
        answer.unwrap_or_else(|error| refusal(&error))
    }

    /// What the client of a REST request that may not go on is told; `None` when it may.
    ///
    /// # Errors
    /// An empty client id.
    pub fn refuse_rest(&self, request: &Request<'_>) -> Result<Option<Response>> {
        let endpoint = request.route().unwrap_or_default();
        self.refuse(request, &endpoint)
    }

    /// Charges the visitor for `endpoint`; what to answer when that is refused.
    ///
    /// # Errors
    /// An empty client id.
    pub fn refuse(&self, request: &Request<'_>, endpoint: &str) -> Result<Option<Response>> {
        let client = self.identifier(request);
        let plan = self.plan(client.as_bytes(), endpoint.as_bytes());
        let limiter = self.get();
        let mut charge = limiter::Request::new(client.as_bytes(), endpoint.as_bytes());
        charge.address = self.address(None).own();
        charge.plan = plan.as_deref();
        let check = limiter.check(&charge)?;
        if check.allowed {
            return Ok(None);
        }
        if check.reason == Reason::Limit {
            // A full table must not turn a 429 into an error page.
            if let Err(error) = limiter.record_violation(client.as_bytes(), "denied", 1) {
                log(&error.to_string());
            }
        }
        Ok(Some(problem(&check).with_headers(owned(limiter.headers(&results::told(&check))))))
    }

    fn show_list(&self, kind: ListKind) -> Response {
        let entries = match kind {
            ListKind::Blacklist => self.refused_entries(),
            _ => self.get().entries(kind),
        };
        Response::ok(json!({"entries": results::rows(&entries), "total": entries.len()}))
    }

    fn add_to_list(&self, kind: ListKind, request: &Request<'_>) -> Result<Response> {
        let entries = entries_of(request)?;
        let ttl = request.param("ttl").as_ref().map(seconds).transpose()?;
        let reason = request.text("reason").unwrap_or_default();
        self.add(kind, &entries, ttl, &reason)?;
        Ok(Response::ok(json!({"success": true, "entries": entries})))
    }

    fn remove_from_list(&self, kind: ListKind, request: &Request<'_>) -> Result<Response> {
        let entry = request.text("entry").ok_or_else(|| Error::invalid("entry", "missing"))?;
        if self.remove(kind, &entry)? {
            return Ok(Response::ok(json!({"success": true, "entry": entry})));
        }
        Ok(Response::refused(404, "slbp_not_listed", "There is no such entry."))
    }

    fn show_config(&self) -> Response {
        Response::ok(self.get().settings().describe())
    }

    /// Validates before it stores: a rule that cannot be read must not lock everybody out, or in.
    fn store_config(&self, request: &Request<'_>) -> Result<Response> {
        let body = request.json_body().unwrap_or_default();
        let Value::Object(mut given) = body else {
            return Err(Error::invalid("body", "expected a JSON object with 'limits' or 'auto_ban'"));
        };
        let auto_ban = given.remove("auto_ban");
        let rules = given.remove("limits").or_else(|| (!given.is_empty()).then_some(Value::Object(given)));
        let mut trial = serde_json::Map::new();
        trial.extend(rules.clone().map(|rules| ("limits".to_owned(), rules)));
        trial.extend(auto_ban.clone().map(|ban| ("auto_ban".to_owned(), ban)));
        if trial.is_empty() {
            return Err(Error::invalid("body", "expected 'limits' or 'auto_ban'"));
        }
        super::build(&Value::Object(trial), &self.options)?;
        for (option, value) in [(RULES_OPTION, rules), (AUTO_BAN_OPTION, auto_ban)] {
            if value.is_some_and(|value| !self.options.set(option, &value)) {
                return Ok(Response::refused(500, "slbp_not_stored", "The settings could not be stored."));
            }
        }
        self.reload()?;
        Ok(self.show_config())
    }
}

/// The problem document of a refused check.
fn problem(check: &Check<'_>) -> Response {
    let refusal = match check.reason {
        Reason::Blacklist => Refusal::Blacklisted,
        Reason::Banned => Refusal::Banned,
        Reason::Ok | Reason::Limit | Reason::Whitelist | Reason::DryRun => Refusal::Limit,
    };
    let (status, body) = headers::problem(refusal, check.policy, check.retry_after);
    Response::new(status, body).with_headers([("Content-Type".to_owned(), PROBLEM_JSON.to_owned())])
}

/// Misuse over HTTP is a 400 that says what was wrong; trouble on our side is a 503.
fn refusal(error: &Error) -> Response {
    match error.kind() {
        Kind::InvalidArgument | Kind::Config => Response::refused(400, "slbp_invalid", &error.to_string()),
        _ => Response::refused(503, "slbp_unavailable", &error.to_string()),
    }
}

fn entries_of(request: &Request<'_>) -> Result<Vec<String>> {
    let missing = || Error::invalid("entry", "expected an address, a network, a pattern or a client id");
    match request.param("entries") {
        Some(Value::Array(list)) => {
            list.iter().map(|e| e.as_str().map(str::to_owned).ok_or_else(missing)).collect()
        }
        Some(_) => Err(Error::invalid("entries", "expected a list of strings")),
        None => Ok(vec![request.text("entry").ok_or_else(missing)?]),
    }
}

fn seconds(value: &Value) -> Result<i64> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    number.ok_or_else(|| Error::invalid("ttl", "expected whole seconds"))
}

fn owned(headers: Vec<(&'static str, String)>) -> impl Iterator<Item = (String, String)> {
    headers.into_iter().map(|(name, value)| (name.to_owned(), value))
}

/// Whether a `rest_pre_dispatch` filter before us has already answered.
pub fn is_answered(result: &Zval) -> bool {
    !result.dereference().is_null()
}
