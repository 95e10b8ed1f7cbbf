//! The limiter as its host sees it.
//!
//! Owns: the order of a decision (blacklist, whitelist, ban, limits), what dry-run and a failing
//! store change about it, and what is counted. Everything else is in the modules it puts together.

mod violations;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

pub use violations::Violation;

use super::headers::{self, Told};
use super::keys::{Client, Keyring};
use super::lists::{Entry, ListKind, Listed, ListedUntil, Lists, Protected};
use super::policy::Wait;
use super::rules::{OnStoreFailure, Rule};
use super::settings::Settings;
use super::store::guarded::Guarded;
use super::store::local::LocalWords;
use super::store::redis::RedisCounters;
use super::store::shm::SharedWords;
use super::store::{Answer, Charge, Counted, Store};
use crate::clock::{Clock, NANOS_PER_SEC, Timestamp};
use crate::error::{Error, Result};
use crate::shm::{Counter, Counters, Segment, Written};

/// How many words the last resort may hold, when even the shared table has no room.
const LOCAL_WORDS: usize = 4096;

/// What a refused client is told to wait when nothing says how long it will take.
const UNKNOWN_WAIT_SECS: u64 = 1;

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

    fn counter(self) -> Counter {
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

/// What is asked of a store.
#[derive(Clone, Copy)]
enum Intent {
    Spend,
    Peek,
}

impl Intent {
    fn put_to(self, store: &dyn Store, charge: &Charge<'_>) -> Result<Answer> {
        match self {
            Self::Spend => store.spend(charge),
            Self::Peek => store.peek(charge),
        }
    }
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

/// Who counts, and who does while that one cannot. Their keys differ: the hosts that share a Redis
/// agree on a site's keys, those of a segment are secret to it.
struct Stores {
    first: Box<dyn Store>,
    first_keys: Keyring,
    second: Box<dyn Store>,
    second_keys: Keyring,
}

impl Stores {
    fn new(settings: &Settings, host: &Host, local: Keyring) -> Result<Self> {
        let shared_words = || Ok::<_, Error>(SharedWords::new(host.segment.words()?));
        let in_segment = Box::new(Counted::new(shared_words()?, host.clock.clone()));
        let Some(redis) = &settings.redis else {
            let last_resort = Box::new(Counted::new(LocalWords::new(LOCAL_WORDS), host.clock.clone()));
            return Ok(Self {
                first: in_segment,
                first_keys: local,
                second: last_resort,
                second_keys: local,
            });
        };
        // Every site of this host that uses the same servers learns from one failure.
        let servers =
            host.segment.hasher().key_of(&[b"limiter breaker", format!("{:?}", redis.topology).as_bytes()]);
        let guarded = Guarded::new(
            RedisCounters::new(redis, host.clock.clone()),
            host.segment.cells()?.cell(servers)?,
            shared_words()?,
            host.clock.clone(),
            host.segment.counters(),
        );
        let (first, first_keys) = (Box::new(guarded), Keyring::shared(&host.site));
        Ok(Self { first, first_keys, second: in_segment, second_keys: local })
    }
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
        match endpoint {
            Some(endpoint) => {
                let counters =
                    self.settings.rules.counters_of(&self.settings.rules.resolve(endpoint, None).name);
                self.forget(&who, &counters)
            }
            None => {
                self.pardon(&who, client)?;
                self.forget(&who, &self.settings.rules.counters())
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
        let expires = match ttl {
            None => None,
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) if seconds > 0 => Some(now.plus(Duration::from_secs(seconds))),
                _ => {
                    return Err(Error::invalid(
                        "ttl",
                        format!("expected seconds >= 1 or null, got {seconds}"),
                    ));
                }
            },
        };
        let (reason, source) = (reason.to_owned(), source.to_owned());
        self.lists.add(
            kind,
            &Listed { entry: Entry::parse(entry)?, reason, source, added: now, expires },
            now,
        )
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
        if let Some(until) = self.listed(ListKind::Blacklist, &who, request, now) {
            return Ok(self.unless_dry(self.settings.dry_run, unlimited(rule, Reason::Blacklist, until, now)));
        }
        if let Some(until) = self.listed(ListKind::Whitelist, &who, request, now) {
            return Ok(unlimited(rule, Reason::Whitelist, until, now));
        }
        if let Some(until) = self.listed(ListKind::Bans, &who, request, now) {
            return Ok(self.unless_dry(self.settings.dry_run, unlimited(rule, Reason::Banned, until, now)));
        }
        let cost = u32::try_from(request.cost).unwrap_or(u32::MAX).saturating_mul(rule.cost);
        let check = match self.ask(rule, &who, cost, intent) {
            Ok(answer) => within_limits(rule, &answer, now),
            Err(open) => uncounted(rule, open, now),
        };
        Ok(self.unless_dry(self.settings.dry_run || rule.dry_run, check))
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

    /// Asks the store, and where it fails does as the rule says: an error is "let everything through"
    /// (true) or "refuse everything" (false).
    fn ask(&self, rule: &Rule, who: &Client<'_>, cost: u32, intent: Intent) -> Result<Answer, bool> {
        let Stores { first, first_keys, second, second_keys } = &self.stores;
        let charge = |keys: &Keyring| Charge { client: keys.client(who), limits: &rule.limits, cost };
        if let Ok(answer) = intent.put_to(first.as_ref(), &charge(first_keys)) {
            return Ok(answer);
        }
        self.counters.add(Counter::LimiterStoreFallback, 1);
        match rule.on_store_failure {
            OnStoreFailure::Open => Err(true),
            OnStoreFailure::Closed => Err(false),
            OnStoreFailure::Local => intent.put_to(second.as_ref(), &charge(second_keys)).map_err(|_| true),
        }
    }

    fn forget(&self, who: &Client<'_>, counters: &[u128]) -> Result<()> {
        let Stores { first, first_keys, second, second_keys } = &self.stores;
        second.forget(second_keys.client(who), counters)?;
        first.forget(first_keys.client(who), counters)
    }

    fn unless_dry<'a>(&self, dry: bool, check: Check<'a>) -> Check<'a> {
        if check.allowed || !dry {
            return check;
        }
        Check { allowed: true, retry_after: 0, reason: Reason::DryRun, ..check }
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

fn within_limits<'a>(rule: &'a Rule, answer: &Answer, now: Timestamp) -> Check<'a> {
    let (limit, window) =
        rule.limits.get(answer.limit).map_or((0, 1), |l| (l.quota.limit(), l.quota.window()));
    let verdict = answer.verdict;
    Check {
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

/// A decision that no counter took part in.
fn unlimited(rule: &Rule, reason: Reason, until: ListedUntil, now: Timestamp) -> Check<'_> {
    let allowed = reason == Reason::Whitelist;
    let (limit, window) = rule.limits.first().map_or((0, 1), |l| (l.quota.limit(), l.quota.window()));
    let wait = match until {
        ListedUntil::Then(then) => then.secs().saturating_sub(now.secs()).max(1),
        ListedUntil::Forever => window.into(),
    };
    Check {
        allowed,
        limit,
        remaining: if allowed { limit } else { 0 },
        window,
        retry_after: if allowed { 0 } else { wait },
        reset: if allowed { now.secs() } else { now.secs() + wait },
        reason,
        policy: &rule.name,
    }
}

/// The decision while no store answers.
fn uncounted(rule: &Rule, allowed: bool, now: Timestamp) -> Check<'_> {
    let limit = unlimited(rule, Reason::Whitelist, ListedUntil::Forever, now);
    if allowed {
        return Check { reason: Reason::Ok, ..limit };
    }
    Check {
        allowed: false,
        remaining: 0,
        retry_after: UNKNOWN_WAIT_SECS,
        reset: now.secs() + UNKNOWN_WAIT_SECS,
        reason: Reason::Limit,
        ..limit
    }
}
