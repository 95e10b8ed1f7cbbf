//! The arrays that the limiter's methods return.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::{ZendHashTable, Zval};
use serde_json::{Value, json};

use crate::binding::convert::record::{Cell, Interned, Shape};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::limiter::headers::Told;
use crate::limiter::lists::Listed;
use crate::limiter::{Check, Reason, Violation};

static CHECK: Shape<8> =
    Shape::new(["allowed", "limit", "remaining", "window", "retry_after", "reset", "reason", "policy"]);
static VIOLATION: Shape<6> =
    Shape::new(["banned", "violations", "threshold", "ban_seconds", "ban_expires", "exempt"]);
static OK: Interned = Interned::new("ok");
static LIMIT: Interned = Interned::new("limit");
static BLACKLIST: Interned = Interned::new("blacklist");
static WHITELIST: Interned = Interned::new("whitelist");
static BANNED: Interned = Interned::new("banned");
static DRY_RUN: Interned = Interned::new("dry_run");

/// Interns keys and words. Phase: MINIT.
pub fn prepare() {
    CHECK.prepare();
    VIOLATION.prepare();
    [&OK, &LIMIT, &BLACKLIST, &WHITELIST, &BANNED, &DRY_RUN].into_iter().for_each(Interned::prepare);
}

fn word(reason: Reason) -> &'static Interned {
    match reason {
        Reason::Ok => &OK,
        Reason::Limit => &LIMIT,
        Reason::Blacklist => &BLACKLIST,
        Reason::Whitelist => &WHITELIST,
        Reason::Banned => &BANNED,
        Reason::DryRun => &DRY_RUN,
    }
}

/// The array of a decision.
pub fn check(check: &Check<'_>) -> ZBox<ZendHashTable> {
    CHECK.record([
        Cell::Bool(check.allowed),
        Cell::Int(check.limit.into()),
        Cell::Int(check.remaining.into()),
        Cell::Int(check.window.into()),
        Cell::Int(check.retry_after as i64),
        Cell::Int(check.reset as i64),
        Cell::Word(word(check.reason)),
        Cell::Text(check.policy.as_bytes()),
    ])
}

/// The array of a recorded violation.
pub fn violation(violation: &Violation) -> ZBox<ZendHashTable> {
    VIOLATION.record([
        Cell::Bool(violation.banned),
        Cell::Int(violation.violations.into()),
        Cell::Int(violation.threshold.into()),
        Cell::Int(violation.ban_seconds as i64),
        Cell::Int(violation.ban_expires as i64),
        Cell::Bool(violation.exempt),
    ])
}

/// A decision as a REST body shows it.
pub fn body(check: &Check<'_>) -> Value {
    json!({
        "allowed": check.allowed,
        "limit": check.limit,
        "remaining": check.remaining,
        "window": check.window,
        "retry_after": check.retry_after,
        "reset": check.reset,
        "reason": check.reason.name(),
        "policy": check.policy,
    })
}

/// The decision as headers need it.
pub fn told<'a>(check: &Check<'a>) -> Told<'a> {
    Told {
        allowed: check.allowed,
        limit: check.limit.into(),
        remaining: check.remaining.into(),
        window: check.window.into(),
        barred: check.reason == Reason::Blacklist,
        retry_after: check.retry_after,
        reset: check.reset,
        policy: check.policy,
    }
}

/// The decision in an array that PHP gives back to us.
///
/// # Errors
/// The array is not one that `check_rate_limit` returned.
pub fn told_by(array: &ZendHashTable) -> Result<Told<'_>> {
    let number = |key: &str| {
        array.get(key).and_then(Zval::long).and_then(|n| u64::try_from(n).ok()).ok_or_else(|| wrong(key))
    };
    Ok(Told {
        allowed: array.get("allowed").and_then(Zval::bool).ok_or_else(|| wrong("allowed"))?,
        limit: number("limit")?,
        remaining: number("remaining")?,
        window: number("window")?,
        barred: array.get("reason").and_then(Zval::str) == Some(Reason::Blacklist.name()),
        retry_after: number("retry_after")?,
        reset: number("reset")?,
        policy: array.get("policy").and_then(Zval::str).ok_or_else(|| wrong("policy"))?,
    })
}

fn wrong(key: &str) -> Error {
    Error::invalid("$check", format!("expected a result of check_rate_limit(); '{key}' is missing or wrong"))
}

/// List entries as rows.
pub fn rows(entries: &[Listed]) -> Value {
    entries.iter().map(row).collect()
}

fn row(listed: &Listed) -> Value {
    json!({
        "entry": listed.entry.to_string(),
        "reason": listed.reason,
        "source": listed.source,
        "added": listed.added.secs(),
        "expires": listed.expires.map(Timestamp::secs),
    })
}
