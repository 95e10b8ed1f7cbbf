//! The limiter as its host sees it.
//!
//! Owns: the order of a decision (blacklist, whitelist, ban, limits), what dry-run and a failing
//! store change about it, and what is counted. Everything else is in the modules it puts together.

mod check;
mod stores;
mod violations;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

pub use check::{Check, Reason, Request};
use stores::{Outcome, Stores};
pub use violations::Violation;

use super::headers::{self, Told};
use super::keys::{Client, Keyring};
use super::lists::{Entry, ListKind, Listed, ListedUntil, Lists, Protected};
use super::settings::Settings;
use super::store::Intent;
use super::store::shm::SharedWords;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::shm::{Counters, Segment, Written};

/// What the limiter gets from its host.
pub struct Host {
    /// The memory that the workers share.
    pub segment: &'static Segment,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which site this is: opaque, and best with a secret in it.
    pub site: Vec<u8>,
    /// Addresses of this server, which are never banned.
    pub server_addresses: Vec<IpAddr>,
    /// Evenly drawn numbers, for the jitter of bans.
    pub random: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Decides who may do what how often. One per worker and configuration.
pub struct Limiter {
    settings: Settings,
    clock: Arc<dyn Clock>,
    site: Vec<u8>,
    random: Box<dyn Fn() -> u64 + Send + Sync>,
    lists: Lists,
    counters: Counters<'static>,
    words: SharedWords,
    keys: Keyring,
    stores: Stores,
}

impl Limiter {
    /// Puts a limiter together.
    ///
    /// # Errors
    /// Invalid argument when the settings blacklist an address that must not be; an error of the
    /// segment when it has no tables.
    pub fn new(settings: Settings, host: Host) -> Result<Self> {
        let site = host.segment.hasher().key_of(&[b"limiter", &host.site]).bits();
        let own = host.server_addresses.iter().map(|address| IpNet::from(address.to_canonical()));
        let protected = settings.trusted_proxies.networks().iter().chain(&settings.server_addresses).copied();
        let protected = Protected::new(protected.chain(own));
        let (white, black) = (settings.whitelist.clone(), settings.blacklist.clone());
        Ok(Self {
            lists: Lists::new(host.segment, site, protected, white, black)?,
            counters: host.segment.counters(),
            words: SharedWords::new(host.segment.words()?),
            keys: Keyring::local(site),
            stores: Stores::new(&settings, &host, Keyring::local(site))?,
            settings,
            clock: host.clock,
            site: host.site,
            random: host.random,
        })
    }

    /// What was set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The site's identity, which keys the hashes of secrets.
    pub fn site(&self) -> &[u8] {
        &self.site
    }

    /// Decides on a request and charges it.
    ///
    /// # Errors
    /// Invalid argument for an empty client or a cost below 1. A store that fails is no error: the
    /// rule says what happens then.
    pub fn check(&self, request: &Request<'_>) -> Result<Check<'_>> {
        let check = self.decide(request, Intent::Spend)?;
        self.counters.add(check.reason.counter(), 1);
        Ok(check)
    }

    /// What [`Limiter::check`] would decide; spends and counts nothing.
    ///
    /// # Errors
    /// As [`Limiter::check`].
    pub fn peek(&self, request: &Request<'_>) -> Result<Check<'_>> {
        self.decide(request, Intent::Peek)
    }

    /// Gives a client its limits back: those of the rule for `endpoint`, or all of them, and then its
    /// ban and its violations too.
    ///
    /// # Errors
    /// Invalid argument for an empty client; an error of the store when it could not be reached.
    pub fn reset(&self, client: &[u8], endpoint: Option<&[u8]>) -> Result<()> {
        let who = named(client)?;
        let rules = &self.settings.rules;
        match endpoint {
            Some(endpoint) => self.stores.forget(&who, &rules.counters_for(endpoint)),
            None => {
                self.pardon(&who)?;
                self.stores.forget(&who, &rules.counters())
            }
        }
    }

    /// Puts an entry on a list for `ttl` seconds, or for good.
    ///
    /// # Errors
    /// Invalid argument for a malformed entry or one that would refuse a protected address; an error
    /// of the segment when the list is full. Nothing has changed then.
    pub fn add(
        &self,
        kind: ListKind,
        entry: &str,
        ttl: Option<i64>,
        reason: &str,
        source: &str,
    ) -> Result<Written> {
        let now = self.clock.now();
        let listed = Listed {
            entry: Entry::parse(entry)?,
            reason: reason.to_owned(),
            source: source.to_owned(),
            added: now,
            expires: ttl.map(|seconds| expiry(now, seconds)).transpose()?,
        };
        self.lists.add(kind, &listed, now)
    }

    /// Takes an entry off a list; whether it was on it.
    ///
    /// # Errors
    /// Invalid argument for a malformed entry; an error of the segment when it is locked for too long.
    pub fn remove(&self, kind: ListKind, entry: &str) -> Result<bool> {
        self.lists.remove(kind, &Entry::parse(entry)?, self.clock.now())
    }

    /// What stands on a list.
    pub fn entries(&self, kind: ListKind) -> Vec<Listed> {
        self.lists.entries(kind, self.clock.now())
    }

    /// Whether a list speaks of `client`.
    pub fn is_listed(&self, kind: ListKind, client: &[u8]) -> bool {
        self.lists.find(kind, &Client::parse(client), client, self.clock.now()).is_some()
    }

    /// A list as the host stores it.
    pub fn export(&self, kind: ListKind) -> Value {
        self.lists.export(kind, self.clock.now())
    }

    /// Makes a list what the host stored; how many entries that are.
    ///
    /// # Errors
    /// As [`Lists::import`].
    pub fn import(&self, kind: ListKind, document: &Value) -> Result<usize> {
        self.lists.import(kind, document, self.clock.now())
    }

    /// The response headers of a decision.
    pub fn headers(&self, told: &Told<'_>) -> Vec<(&'static str, String)> {
        headers::headers(told, self.settings.rules.named(told.policy), self.clock.now().secs())
    }

    fn decide(&self, request: &Request<'_>, intent: Intent) -> Result<Check<'_>> {
        let who = named(request.client)?;
        if request.cost < 1 {
            return Err(Error::invalid("cost", format!("expected at least 1, got {}", request.cost)));
        }
        let rule = self.settings.rules.resolve(request.endpoint, request.plan);
        let now = self.clock.now();
        let all_dry = self.settings.dry_run;
        if let Some(until) = self.listed(ListKind::Blacklist, &who, request, now) {
            return Ok(dry(all_dry, Check::refused(rule, Reason::Blacklist, until, now)));
        }
        if self.listed(ListKind::Whitelist, &who, request, now).is_some() {
            return Ok(Check::whitelisted(rule, now));
        }
        if let Some(until) = self.listed(ListKind::Bans, &who, request, now) {
            return Ok(dry(all_dry, Check::refused(rule, Reason::Banned, until, now)));
        }
        let cost = u32::try_from(request.cost).unwrap_or(u32::MAX).saturating_mul(rule.cost);
        let check = match self.stores.charge(rule, &who, cost, now, intent) {
            Outcome::Answered(answer) => Check::counted(rule, &answer, now),
            Outcome::LetThrough => Check::open(rule, now),
            Outcome::Refuse => Check::closed(rule, now),
        };
        Ok(dry(all_dry || rule.dry_run, check))
    }

    fn listed(
        &self,
        kind: ListKind,
        who: &Client<'_>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Option<ListedUntil> {
        let by_id = self.lists.find(kind, who, request.client, now);
        by_id.or_else(|| {
            let address = request.address?.to_canonical();
            self.lists.find(kind, &Client::Address(address), b"", now)
        })
    }
}

fn dry(dry_run: bool, check: Check<'_>) -> Check<'_> {
    if dry_run { check.in_dry_run() } else { check }
}

fn expiry(now: Timestamp, ttl: i64) -> Result<Timestamp> {
    match u64::try_from(ttl) {
        Ok(seconds) if seconds > 0 => Ok(Timestamp::from_secs(now.secs().saturating_add(seconds))),
        _ => Err(Error::invalid("ttl", format!("expected seconds >= 1 or null, got {ttl}"))),
    }
}

fn named(client: &[u8]) -> Result<Client<'_>> {
    match client {
        [] => {
            Err(Error::invalid("client_id", "expected a non-empty id such as 'ip:203.0.113.7' or 'user:123'"))
        }
        id => Ok(Client::parse(id)),
    }
}
