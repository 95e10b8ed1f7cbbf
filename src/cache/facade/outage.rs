//! What happens when the second layer goes away, and when it comes back.
//!
//! Owns: every call of the store, behind its breaker; the change between mainland and island; and
//! making up for what the store missed before it is believed again.

use std::time::Duration;

use super::Cache;
use crate::cache::backing::{Backing, Generations};
use crate::cache::l1::{Pending, Record, SITE_SLOT};
use crate::clock::Timestamp;
use crate::remote::{Fault, FaultKind};
use crate::shm::{Acquired, Counter};

/// How long one worker may take to make up for what the store missed.
const REPLAY_LEASE: Duration = Duration::from_secs(2);

impl Cache {
    /// Calls the store, unless it failed a moment ago, and draws the conclusions.
    pub(super) fn call<T>(&self, call: impl FnOnce(&dyn Backing) -> Result<T, Fault>) -> Result<T, Fault> {
        let Some(shared) = &self.shared else {
            return Err(Fault::new(FaultKind::Down, "there is no second layer"));
        };
        let result = shared.breaker.call(&*self.host.clock, || call(&*shared.backing));
        match &result {
            Ok(_) => self.site.set_island(false),
            Err(fault) if fault.is_outage() => {
                self.tally.count(Counter::CacheL2Failures);
                self.site.set_island(true);
            }
            Err(_) => self.tally.count(Counter::CacheL2Failures),
        }
        result
    }

    /// Takes over generations that the store told.
    pub(super) fn take_over(&self, known: &Generations) {
        known.slots.iter().for_each(|(slot, generation)| self.site.learn(*slot, *generation));
        self.site.set_version(known.version);
    }

    /// Whether the store knows all that this host has done. What it missed is told first; until that
    /// is done, what it says is not believed.
    pub(super) fn is_caught_up(&self, now: Timestamp) -> bool {
        if !self.l1.has_pending(&self.site) {
            return true;
        }
        let Ok(leases) = self.host.segment.leases() else { return false };
        let key = self.host.segment.hasher().key_of(&[b"cache replay", &self.host.site]);
        let Acquired::Mine(lease) = leases.acquire(key, self.owner, now, REPLAY_LEASE) else { return false };
        let done = self.l1.pending(&self.site).is_some_and(|pending| {
            let told = self.tell(&pending).is_ok();
            if told {
                self.l1.forget_pending(&self.site, &pending);
            }
            told
        });
        leases.release(lease);
        done && !self.l1.has_pending(&self.site)
    }

    fn tell(&self, pending: &Pending) -> Result<(), Fault> {
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
            self.tally.count(Counter::CacheOutageFlushes);
        }
        if !slots.is_empty() {
            slots.sort_unstable();
            slots.dedup();
            let known = self.call(|backing| backing.begin(&slots))?;
            self.take_over(&known);
        }
        if !keys.is_empty() {
            self.call(|backing| backing.take(&keys))?;
            self.tally.add(Counter::CacheReplayed, keys.len() as u64);
        }
        Ok(())
    }
}
