//! What is asked of the limiter, and what it answers.

use std::net::IpAddr;

use crate::clock::{NANOS_PER_SEC, Timestamp};
use crate::limiter::lists::ListedUntil;
use crate::limiter::policy::Wait;
use crate::limiter::rules::{Limit, Rule};
use crate::limiter::store::Answer;
use crate::shm::Counter;

/// What a refused client is told to wait when nothing says how long it will take.
const UNKNOWN_WAIT_SECS: u64 = 1;

/// A request to be decided on.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who is charged: `ip:203.0.113.7`, `user:123`, `api_key:…`.
    pub client: &'a [u8],
    /// Where it came from, when that is known besides `client`: a blacklisted address is refused
    /// whoever is logged in there.
    pub address: Option<IpAddr>,
    /// What it wants; empty is `general`.
    pub endpoint: &'a [u8],
    /// How many units, from 1 on.
    pub cost: i64,
    /// The client's plan or role.
    pub plan: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// One unit of `endpoint` for `client`.
    pub fn new(client: &'a [u8], endpoint: &'a [u8]) -> Self {
        Self { client, address: None, endpoint, cost: 1, plan: None }
    }
}

/// Why a request was decided as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Within its limits.
    Ok,
    /// Over a limit.
    Limit,
    /// On the blacklist.
    Blacklist,
    /// On the whitelist.
    Whitelist,
    /// Banned for what it did.
    Banned,
    /// Would have been refused.
    DryRun,
}

impl Reason {
    /// The word in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limit => "limit",
            Self::Blacklist => "blacklist",
            Self::Whitelist => "whitelist",
            Self::Banned => "banned",
            Self::DryRun => "dry_run",
        }
    }

    pub(super) fn counter(self) -> Counter {
        match self {
            Self::Ok => Counter::LimiterAllowed,
            Self::Limit => Counter::LimiterDenied,
            Self::Blacklist => Counter::LimiterBlacklisted,
            Self::Whitelist => Counter::LimiterWhitelisted,
            Self::Banned => Counter::LimiterBanned,
            Self::DryRun => Counter::LimiterDryRun,
        }
    }
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// Whether the request may go on.
    pub allowed: bool,
    /// The limit that decided: the tightest one of the rule.
    pub limit: u32,
    /// How many requests of cost 1 it has left.
    pub remaining: u32,
    /// Its window in seconds.
    pub window: u32,
    /// Seconds until the same request is allowed, rounded up; 0 when it is. A cost that no waiting
    /// makes fit is told the window.
    pub retry_after: u64,
    /// Unix time at which the limit is whole again.
    pub reset: u64,
    /// Why.
    pub reason: Reason,
    /// The rule's name.
    pub policy: &'a str,
}

impl<'a> Check<'a> {
    /// The decision of a store at `now`.
    pub(super) fn counted(rule: &'a Rule, answer: &Answer, now: Timestamp) -> Self {
        let (limit, window) = told(rule.limits.get(answer.limit));
        let verdict = answer.verdict;
        Self {
            allowed: verdict.allowed,
            limit,
            remaining: verdict.remaining,
            window,
            retry_after: match verdict.wait {
                Wait::For(wait) => wait.as_nanos().div_ceil(NANOS_PER_SEC.into()) as u64,
                Wait::Forever => window.into(),
            },
            reset: verdict.reset.max(now).nanos().div_ceil(NANOS_PER_SEC),
            reason: if verdict.allowed { Reason::Ok } else { Reason::Limit },
            policy: &rule.name,
        }
    }

    /// The decision of a list that lets everything through.
    pub(super) fn whitelisted(rule: &'a Rule, now: Timestamp) -> Self {
        let (limit, window) = told(rule.limits.first());
        Self {
            allowed: true,
            limit,
            remaining: limit,
            window,
            retry_after: 0,
            reset: now.secs(),
            reason: Reason::Whitelist,
            policy: &rule.name,
        }
    }

    /// The decision of a list that refuses.
    pub(super) fn refused(rule: &'a Rule, reason: Reason, until: ListedUntil, now: Timestamp) -> Self {
        let open = Self::whitelisted(rule, now);
        let wait = match until {
            ListedUntil::Then(then) => then.secs().saturating_sub(now.secs()).max(1),
            ListedUntil::Forever => open.window.into(),
        };
        Self { allowed: false, remaining: 0, retry_after: wait, reset: now.secs() + wait, reason, ..open }
    }

    /// The decision while no store answers, for a rule that then lets everything through.
    pub(super) fn open(rule: &'a Rule, now: Timestamp) -> Self {
        Self { reason: Reason::Ok, ..Self::whitelisted(rule, now) }
    }

    /// The same for a rule that then refuses everything.
    pub(super) fn closed(rule: &'a Rule, now: Timestamp) -> Self {
        let soon = ListedUntil::Then(Timestamp::from_secs(now.secs() + UNKNOWN_WAIT_SECS));
        Self::refused(rule, Reason::Limit, soon, now)
    }

    /// The decision as dry-run has it.
    pub(super) fn in_dry_run(self) -> Self {
        if self.allowed {
            return self;
        }
        Self { allowed: true, retry_after: 0, reason: Reason::DryRun, ..self }
    }
}

fn told(limit: Option<&Limit>) -> (u32, u32) {
    limit.map_or((0, 1), |limit| (limit.quota.limit(), limit.quota.window()))
}
