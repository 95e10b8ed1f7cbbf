//! Reading: shared memory, then the second layer, and what comes from there goes to shared memory.

use super::{Cache, Found, Local};
use crate::cache::backing::Changes;
use crate::cache::entry::{self, Entry, Refusal};
use crate::cache::keys::Key;
use crate::cache::l1::{Condition, Ticket};
use crate::cache::meta::{Age, Facts, Meta};
use crate::clock::Timestamp;
use crate::remote::Fault;
use crate::shm::Counter;

/// A value that was read, with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The encoded value.
    pub body: Vec<u8>,
    /// What is known of it.
    pub facts: Facts,
}

impl Cache {
    /// Copies the value of `key` to the start of `out`; `None` is a miss.
    pub fn get(&self, key: Key<'_>, out: &mut Vec<u8>) -> Option<Found> {
        let mut name = self.name.borrow_mut();
        if !key.join(&mut name) {
            return None;
        }
        let now = self.now();
        match self.look_here(&name, now, out) {
            Some(found) if !found.stale => Some(found),
            _ => self.look_there(&name, now, out).filter(|found| !found.stale),
        }
    }

    /// The values of `keys`, in order; `None` is a miss. What shared memory has not is fetched in
    /// one round trip.
    pub fn get_many(&self, keys: &[Key<'_>]) -> Vec<Option<Value>> {
        let now = self.now();
        let mut values: Vec<Option<Value>> = vec![None; keys.len()];
        let mut missing = Vec::new();
        let mut out = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let Some(name) = key.joined() else { continue };
            match self.look_here(&name, now, &mut out) {
                Some(found) if !found.stale => {
                    let body = out.get(..found.len).unwrap_or(&[]).to_vec();
                    place(&mut values, index, Value { body, facts: found.facts });
                }
                _ => missing.push((index, name)),
            }
        }
        let names: Vec<&[u8]> = missing.iter().map(|(_, name)| name.as_slice()).collect();
        for ((index, _), entry) in missing.iter().zip(self.fetch(&names, now)) {
            if let Some(Entry { meta, body }) = entry
                && meta.times.age(now) == Age::Fresh
            {
                place(&mut values, *index, Value { body, facts: meta.facts() });
            }
        }
        values
    }

    /// Looks into shared memory, as far as it may be believed.
    pub(super) fn look_here(&self, name: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<Found> {
        if self.local(now) == Local::Bypassed {
            self.tally.count(Counter::CacheL1Bypassed);
            return None;
        }
        let hit = self.l1.get(&self.site, name, now, out);
        self.tally.count(if hit.is_some() { Counter::CacheL1Hits } else { Counter::CacheL1Misses });
        hit.map(|hit| Found { len: hit.len, facts: hit.facts, stale: hit.stale })
    }

    /// Looks into the second layer.
    pub(super) fn look_there(&self, name: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<Found> {
        let entry = self.fetch(&[name], now).pop().flatten()?;
        out.clear();
        out.extend_from_slice(&entry.body);
        let stale = entry.meta.times.age(now) == Age::Stale;
        Some(Found { len: entry.body.len(), facts: entry.meta.facts(), stale })
    }

    /// The valid entries of `names` in the second layer, stale ones included. What they say is put
    /// into shared memory, unless it was removed there meanwhile.
    pub(super) fn fetch(&self, names: &[&[u8]], now: Timestamp) -> Vec<Option<Entry>> {
        let nothing = || vec![None; names.len()];
        if names.is_empty() || self.shared.is_none() {
            return nothing();
        }
        let pending = self.catch_up(now);
        let tickets: Vec<Ticket> = names.iter().map(|name| self.l1.ticket(&self.site, name)).collect();
        let with_changes = !self.is_synced(now) && self.local(now) != Local::Believed;
        let Ok(fetched) = self.call(|backing| backing.fetch(names, with_changes)) else { return nothing() };
        if let Some(changes) = fetched.changes
            && self.learn(&changes, now).is_err()
        {
            return nothing();
        }
        let accepted = names.iter().zip(fetched.entries).zip(tickets).map(|((name, bytes), ticket)| {
            let doubtful = pending.as_ref().is_some_and(|pending| pending.concerns(name));
            self.accept(name, bytes.filter(|_| !doubtful), ticket, now)
        });
        accepted.collect()
    }

    /// The entry in `bytes`, if it is ours, whole and of the current generations.
    fn accept(&self, name: &[u8], bytes: Option<Vec<u8>>, ticket: Ticket, now: Timestamp) -> Option<Entry> {
        let entry = bytes.and_then(|bytes| self.open_entry(name, &bytes));
        let entry =
            entry.filter(|entry| self.is_current(&entry.meta) && entry.meta.times.age(now) != Age::Over);
        self.tally.count(if entry.is_some() { Counter::CacheL2Hits } else { Counter::CacheL2Misses });
        let entry = entry?;
        let local = self.local(now);
        if local == Local::Believed {
            let times = self.local_times(entry.meta.times, local, now);
            let meta = Meta { times, ..entry.meta };
            self.l1.put(&self.site, name, &meta, &entry.body, Condition::Unchanged(ticket), now);
        }
        Some(entry)
    }

    pub(super) fn open_entry(&self, name: &[u8], bytes: &[u8]) -> Option<Entry> {
        match entry::open(name, bytes, self.signer.as_ref()) {
            Ok(entry) => Some(entry),
            Err(refusal) => {
                match refusal {
                    Refusal::Foreign | Refusal::Damaged => self.tally.count(Counter::CacheRefused),
                    Refusal::Forged | Refusal::Unsigned => self.tally.count(Counter::CacheForged),
                    Refusal::Reserved => {}
                }
                None
            }
        }
    }

    pub(super) fn is_current(&self, meta: &Meta) -> bool {
        meta.fingerprint == self.site.fingerprint(&meta.refs)
    }

    /// Sees to it that this host knows the second layer's generations as of this request, for what it
    /// writes must belong to them. Where the link pushes them, they are known.
    pub(super) fn sync(&self, now: Timestamp) {
        if self.shared.is_none() {
            return;
        }
        self.catch_up(now);
        if self.is_synced(now) || self.local(now) != Local::Bypassed {
            return;
        }
        let changes = self.call(|backing| backing.fetch(&[], true)).map(|fetched| fetched.changes);
        if let Ok(Some(changes)) = changes {
            // Without an answer the writer becomes an island.
            let _ = self.learn(&changes, now);
        }
    }

    /// Takes over what has changed in the second layer since this host last asked.
    fn learn(&self, changes: &Changes, now: Timestamp) -> Result<(), Fault> {
        if changes.version == 0 || changes.version != self.site.version() {
            self.adopt(|backing| backing.generations())?;
        }
        for (slot, writes) in (0..).zip(&changes.key_slots) {
            self.site.learn_writes(slot, *writes);
        }
        self.synced.set(Some(now));
        Ok(())
    }
}

fn place(values: &mut [Option<Value>], index: usize, value: Value) {
    if let Some(place) = values.get_mut(index) {
        *place = Some(value);
    }
}
