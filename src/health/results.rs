//! Findings that all workers share, and who looks when one is too old.
//!
//! Owns: that a check runs once per time to live on a host, however many ask: whoever finds its
//! finding too old takes a lease and looks, the others answer with the old one, or wait for the new
//! one where there is none. A worker that dies while it looks is overtaken ([`Leases`]). A thousand
//! probes a second cost a thousand lookups of about 50 ns.
//!
//! A check whose time to live is zero costs less than sharing its finding, and runs for everybody.
//!
//! A clock that stepped back makes a finding's date lie in the future: it is then too old.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::check::{Check, Profile};
use super::finding::{Finding, Outcome};
use super::state::State;
use super::{GROUP, Site};
use crate::clock::{Clock, Timestamp};
use crate::error::Result;
use crate::shm::{Acquired, Hasher, Key, Leases, Owner, Record, RecordTable, Segment};

/// A finding that is older than this is not worth repeating while somebody looks anew.
const WORN_OUT: Duration = Duration::from_secs(60);

/// Between two looks for somebody else's finding.
const STEP: Duration = Duration::from_millis(2);

/// How far apart two processors' clocks are believed to be.
const CLOCK_NOISE: Duration = Duration::from_millis(10);

/// How long whoever has the check run may take.
const TURN: Duration = Duration::from_secs(2);

/// What is known of a check that somebody else runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Borrowed {
    /// A finding that is good.
    Good(Finding),
    /// One that was, a moment ago.
    Old(Finding),
    /// None.
    Missing,
}

/// The shared findings of one site.
pub struct Results<'a> {
    records: RecordTable<'a>,
    leases: Leases<'a>,
    hasher: Hasher,
    site: Site,
    clock: &'a dyn Clock,
}

impl<'a> Results<'a> {
    /// The findings of `site` in `segment`.
    ///
    /// # Errors
    /// The segment has no tables.
    pub fn new(segment: &'a Segment, site: Site, clock: &'a dyn Clock) -> Result<Self> {
        let (records, leases) = (segment.records()?, segment.leases()?);
        Ok(Self { records, leases, hasher: segment.hasher(), site, clock })
    }

    /// The finding of a check if it is still good.
    pub fn fresh(&self, profile: &Profile) -> Option<Finding> {
        self.latest(profile).filter(|finding| is_good(finding, profile.ttl, self.clock.now()))
    }

    /// The finding of a check: a good one if there is, else a new one; or the old one while somebody
    /// else looks.
    pub fn obtain(&self, check: &dyn Check) -> Finding {
        let profile = check.profile();
        if profile.ttl.is_zero() {
            return self.run(check);
        }
        if let Some(finding) = self.fresh(profile) {
            return finding;
        }
        let key = self.key(profile);
        // A check that hangs for longer than this is started again by somebody else.
        let patience = profile.timeout * 2 + Duration::from_secs(1);
        match self.leases.acquire(key, Owner::current(), self.clock.now(), patience) {
            Acquired::Mine(lease) => {
                let finding = self.fresh(profile).unwrap_or_else(|| self.look(check, key));
                self.leases.release(lease);
                finding
            }
            Acquired::Theirs { .. } => self.of_somebody_else(profile),
            Acquired::Unavailable => self.look(check, key),
        }
    }

    /// The finding of a check that somebody else runs.
    pub fn borrow(&self, profile: &Profile) -> Borrowed {
        let now = self.clock.now();
        match self.latest(profile) {
            Some(finding) if is_good(&finding, profile.ttl, now) => Borrowed::Good(finding),
            Some(finding) if is_good(&finding, profile.ttl + WORN_OUT, now) => Borrowed::Old(finding),
            _ => Borrowed::Missing,
        }
    }

    /// Whether the caller is to have the check run: one of all who find it too old, until that had time to
    /// be done.
    pub fn is_my_turn(&self, profile: &Profile) -> bool {
        let key = self.hasher.key_of(&[b"health turn", &self.site.bytes(), profile.name.as_bytes()]);
        let turn = self.leases.acquire(key, Owner::current(), self.clock.now(), TURN);
        !matches!(turn, Acquired::Theirs { .. })
    }

    fn latest(&self, profile: &Profile) -> Option<Finding> {
        Finding::decode(self.records.get(self.key(profile), self.clock.now().secs())?.payload())
    }

    fn run(&self, check: &dyn Check) -> Finding {
        let began = Instant::now();
        let outcome = check.run();
        let took = began.elapsed();
        let outcome = if took > check.profile().timeout { slow(outcome, took) } else { outcome };
        Finding { outcome, at: self.clock.now(), took }
    }

    fn look(&self, check: &dyn Check, key: Key) -> Finding {
        let finding = self.run(check);
        let expires = finding.at.secs() + WORN_OUT.as_secs() + check.profile().ttl.as_secs() + 1;
        // A table that is full or locked costs only that nobody else knows.
        if let Ok(record) = Record::new(key, GROUP, Some(expires), &finding.encode()) {
            let _ = self.records.put(&record, finding.at.secs());
        }
        finding
    }

    /// What another worker is finding out.
    fn of_somebody_else(&self, profile: &Profile) -> Finding {
        let now = self.clock.now();
        if let Some(old) = self.latest(profile).filter(|old| is_good(old, profile.ttl + WORN_OUT, now)) {
            return old;
        }
        let deadline = Instant::now() + profile.timeout;
        while Instant::now() < deadline {
            sleep(STEP);
            if let Some(finding) = self.fresh(profile) {
                return finding;
            }
        }
        Finding::unknown("another process has been looking for too long", now)
    }

    fn key(&self, profile: &Profile) -> Key {
        self.hasher.key_of(&[b"health finding", &self.site.bytes(), profile.name.as_bytes()])
    }
}

fn is_good(finding: &Finding, ttl: Duration, now: Timestamp) -> bool {
    now.since(finding.at) < ttl && finding.at.since(now) < CLOCK_NOISE
}

fn slow(outcome: Outcome, took: Duration) -> Outcome {
    let message = format!("took {:.1} s: {}", took.as_secs_f64(), outcome.message);
    let message = message.trim_end_matches([':', ' ']).to_owned();
    Outcome { state: outcome.state.max(State::Degraded), message, ..outcome }
}
