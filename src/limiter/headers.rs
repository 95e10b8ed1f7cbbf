//! How a decision is told to a client.
//!
//! Owns: the fields `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11
//! (structured fields, RFC 9651), the older `X-RateLimit-*`, `Retry-After` and `Cache-Control`, and
//! the body of a refusal (problem+json, RFC 9457) with the members that the existing plugin sends.
//!
//! `t` never lies after `Retry-After`, as the draft asks.

use serde_json::{Value, json};

use super::rules::Rule;

/// A decision as the binding got it back from PHP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Whether the request may go on.
    pub allowed: bool,
    /// The quota that decided.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// Its window in seconds.
    pub window: u64,
    /// Whether the client is on the blacklist, where no waiting helps.
    pub barred: bool,
    /// Seconds to wait; 0 when allowed.
    pub retry_after: u64,
    /// Unix time at which the quota is whole again.
    pub reset: u64,
    /// The rule's name.
    pub policy: &'a str,
}

/// The response headers of a decision, in order. `rule` is the rule of that name, if it still exists:
/// with it every limit of a rule is announced, not only the one that decided.
pub fn headers(told: &Told<'_>, rule: Option<&Rule>, now: u64) -> Vec<(&'static str, String)> {
    let name = string(told.policy);
    let until_reset = told.reset.saturating_sub(now);
    let effective = if told.allowed { until_reset } else { told.retry_after };
    let mut headers = vec![
        ("RateLimit-Policy", policies(told, rule)),
        ("RateLimit", format!("{name};r={};t={effective}", told.remaining)),
        ("X-RateLimit-Limit", told.limit.to_string()),
        ("X-RateLimit-Remaining", told.remaining.to_string()),
        ("X-RateLimit-Reset", told.reset.to_string()),
    ];
    if !told.allowed && !told.barred {
        headers.push(("Retry-After", told.retry_after.max(1).to_string()));
    }
    if !told.allowed {
        headers.push(("Cache-Control", "no-store".to_owned()));
    }
    headers
}

fn policies(told: &Told<'_>, rule: Option<&Rule>) -> String {
    let name = string(told.policy);
    let decided = format!("{name};q={};w={}", told.limit, told.window.max(1));
    let Some(rule) = rule else { return decided };
    let others =
        rule.limits.iter().map(|limit| &limit.quota).filter(|quota| {
            (u64::from(quota.limit()), u64::from(quota.window())) != (told.limit, told.window)
        });
    let others = others.map(|quota| format!("{name};q={};w={}", quota.limit(), quota.window()));
    std::iter::once(decided).chain(others).collect::<Vec<_>>().join(", ")
}

/// A structured-field String: printable ASCII in quotes. Anything else becomes `_`.
fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('_'),
        }
    }
    quoted.push('"');
    quoted
}

/// Why a request was refused, for its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A limit is used up.
    Limit,
    /// The client is banned for what it did.
    Banned,
    /// The client is blacklisted.
    Blacklisted,
}

/// The body of a refusal, to be sent as `application/problem+json`, and its status.
pub fn problem(refusal: Refusal, policy: &str, retry_after: u64) -> (u16, Value) {
    const TYPES: &str = "https://iana.org/assignments/http-problem-types";
    let (status, kind, title, error, message) = match refusal {
        Refusal::Limit => (
            429,
            format!("{TYPES}#quota-exceeded"),
            "Request cannot be satisfied as assigned quota has been exceeded",
            "rate_limit_exceeded",
            format!("Rate limit exceeded. Try again in {retry_after} seconds."),
        ),
        Refusal::Banned => (
            429,
            format!("{TYPES}#abnormal-usage-detected"),
            "Request not satisfied due to detection of abnormal request pattern",
            "client_banned",
            format!("Too many violations. Try again in {retry_after} seconds."),
        ),
        Refusal::Blacklisted => {
            (403, "about:blank".to_owned(), "Forbidden", "client_blacklisted", "Access denied.".to_owned())
        }
    };
    let mut body = json!({
        "type": kind,
        "title": title,
        "status": status,
        "error": error,
        "message": message,
    });
    if let (Value::Object(members), true) = (&mut body, status == 429) {
        members.insert("retry_after".to_owned(), retry_after.into());
        members.insert("violated-policies".to_owned(), json!([policy]));
    }
    (status, body)
}
