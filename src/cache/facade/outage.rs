//! What happens when the second layer goes away, and when it comes back.
//!
//! Owns: every call of the store, behind its breaker; the change between mainland and island; and
//! making up for what the store missed before it is believed again.

use std::time::Duration;

use super::{Belief, Cache, LINK_PATIENCE, Local, Shared};
use crate::cache::backing::{self, Backing, Generations, Taken};
use crate::cache::l1::{Pending, Record, SITE_SLOT};
use crate::clock::Timestamp;
use crate::remote::breaker::State;
use crate::remote::{Fault, FaultKind};
use crate::shm::{Acquired, Counter};

/// How long one worker has to make up for what the store missed, and how long it is not tried again
/// when that failed.
const REPLAY_LEASE: Duration = Duration::from_millis(500);

impl Cache {
    /// Calls the store and draws the conclusions.
    pub(super) fn call<T>(&self, call: impl FnOnce(&dyn Backing) -> Result<T, Fault>) -> Result<T, Fault> {
        let Some(shared) = &self.shared else {
            return Err(Fault::new(FaultKind::Down, "there is no second layer"));
        };
        let before = shared.backing.state();
        let result = call(&*shared.backing);
        match (before, shared.backing.state()) {
            (State::Closed { .. }, State::Open { .. }) => self.tally.count(Counter::BreakerOpened),
            (State::Open { .. } | State::Probing { .. }, State::Closed { .. }) => {
                self.tally.count(Counter::BreakerClosed);
            }
            _ => {}
        }
        match &result {
            Ok(_) => self.site.set_island(false),
            Err(fault) => {
                self.tally.count(Counter::CacheL2Failures);
                if fault.is_outage() && !self.is_vouched_for() {
                    self.site.set_island(true);
                }
            }
        }
        result
    }

    /// Whether the link still tells of every change: then one slow answer is no reason to doubt what
    /// shared memory has, and when the store is really away the link soon is too.
    fn is_vouched_for(&self) -> bool {
        let by_link = self.shared.as_ref().is_some_and(|shared| shared.believed == Belief::Link);
        by_link && self.site.is_linked(self.now(), LINK_PATIENCE)
    }

    /// Whether the store does not answer at the moment.
    pub(super) fn is_cut_off(&self, now: Timestamp) -> bool {
        let is_broken = |shared: &Shared| !matches!(shared.backing.state(), State::Closed { .. });
        self.local(now) == Local::Island || self.shared.as_ref().is_some_and(is_broken)
    }

    /// Takes over the generations that `ask` gets from the store.
    pub(super) fn adopt(
        &self,
        ask: impl FnOnce(&dyn Backing) -> Result<Generations, Fault>,
    ) -> Result<(), Fault> {
        self.call(|backing| backing::adopt(backing, &self.site, ask))
    }

    /// Tells the store what it missed while it was away, if it missed something. What is still left
    /// then: what the store says about that is not to be believed.
    pub(super) fn catch_up(&self, now: Timestamp) -> Option<Pending> {
        if !self.l1.has_pending(&self.site) {
            return None;
        }
        let all_is_pending = || Some(Pending { records: Vec::new(), overflowed: true });
        let Some(pending) = self.l1.pending(&self.site) else { return all_is_pending() };
        let Ok(leases) = self.host.segment.leases() else { return Some(pending) };
        let key = self.host.segment.hasher().key_of(&[b"cache replay", &self.host.site]);
        let Acquired::Mine(lease) = leases.acquire(key, self.owner, now, REPLAY_LEASE) else {
            return Some(pending);
        };
        match self.tell(&pending) {
            Ok(left) => {
                self.l1.forget_pending(&self.site, &pending, &left);
                if left.is_empty() {
                    leases.release(lease);
                    return None;
                }
                Some(Pending { records: left, overflowed: false })
            }
            // The lease is kept until it ends, so that not every call tries again.
            Err(_) => Some(pending),
        }
    }

    /// Tells the store; what it did not answer to.
    fn tell(&self, pending: &Pending) -> Result<Vec<Record>, Fault> {
        let mut slots = Vec::new();
        let mut keys = Vec::new();
        for record in &pending.records {
            match record {
                Record::Slot(slot) => slots.push(*slot),
                Record::Key(key) => keys.push(key.as_slice()),
            }
        }
        if pending.overflowed {
            slots.push(SITE_SLOT);
        }
        if !slots.is_empty() {
            slots.sort_unstable();
            slots.dedup();
            self.adopt(|backing| backing.begin(&slots, 0))?;
            self.tally.add(Counter::CacheOutageFlushes, u64::from(pending.overflowed));
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let taken = self.call(|backing| backing.take(&keys))?;
        let unanswered = keys.iter().zip(taken).filter(|(_, taken)| *taken == Taken::Unanswered);
        let left: Vec<Record> = unanswered.map(|(key, _)| Record::Key(key.to_vec())).collect();
        self.tally.add(Counter::CacheReplayed, (keys.len() - left.len()) as u64);
        Ok(left)
    }
}
