//! Writing: the second layer first, then out of shared memory.

use super::{Cache, Expiry, Local};
use crate::cache::backing::{Item, Put, Taken};
use crate::cache::codec::Encoded;
use crate::cache::entry;
use crate::cache::keys::Key;
use crate::cache::l1::{self, Condition, Record, SITE_SLOT, Stored};
use crate::cache::meta::{Age, Meta, Times, flags};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::remote::Fault;
use crate::shm::Counter;

/// How often a conditional write starts again because somebody else wrote in between.
pub(super) const ATTEMPTS: usize = 64;

/// A value on its way in.
pub(super) struct Draft<'a> {
    pub name: &'a [u8],
    pub meta: Meta,
    pub body: &'a [u8],
}

impl Cache {
    /// Stores `value` under `key`; false when it could be stored nowhere.
    ///
    /// # Errors
    /// Invalid argument for more than 31 tags.
    pub fn set(&self, key: Key<'_>, value: &Encoded, expiry: Expiry, tags: &[&[u8]]) -> Result<bool> {
        self.write(key, value, expiry, tags, Condition::Always)
    }

    /// Stores `value` if nothing is stored under `key`.
    ///
    /// # Errors
    /// See [`Cache::set`].
    pub fn add(&self, key: Key<'_>, value: &Encoded, expiry: Expiry, tags: &[&[u8]]) -> Result<bool> {
        self.write(key, value, expiry, tags, Condition::Absent)
    }

    /// Stores `value` if something is stored under `key`.
    ///
    /// # Errors
    /// See [`Cache::set`].
    pub fn replace(&self, key: Key<'_>, value: &Encoded, expiry: Expiry, tags: &[&[u8]]) -> Result<bool> {
        self.write(key, value, expiry, tags, Condition::Present)
    }

    /// Stores `items` in one round trip; whether each was stored.
    pub fn set_many(&self, items: &[(Key<'_>, &Encoded)], expiry: Expiry) -> Vec<bool> {
        let now = self.now();
        if expiry == Expiry::Past {
            let keys: Vec<Key<'_>> = items.iter().map(|(key, _)| *key).collect();
            self.delete_many(&keys);
            return vec![true; items.len()];
        }
        self.sync(now);
        let names: Vec<Option<Vec<u8>>> = items.iter().map(|(key, _)| key.joined()).collect();
        let drafts: Vec<Option<Draft<'_>>> = items
            .iter()
            .zip(&names)
            .map(|((key, value), name)| {
                let meta = self.meta(*key, value, expiry, &[], now).ok()?;
                self.fits(value).then_some(Draft { name: name.as_deref()?, meta, body: &value.bytes })
            })
            .collect();
        let present: Vec<&Draft<'_>> = drafts.iter().flatten().collect();
        let mut stored = self.store(&present, now).into_iter();
        drafts.iter().map(|draft| draft.is_some() && stored.next() == Some(true)).collect()
    }

    /// A value was too large to be encoded: it is counted, and nothing is stored under `key` any more.
    pub fn refuse_too_large(&self, key: Key<'_>) {
        self.tally.count(Counter::CacheTooLarge);
        self.delete(key);
    }

    /// Deletes `key`; whether a valid value was there.
    pub fn delete(&self, key: Key<'_>) -> bool {
        self.delete_many(&[key]).pop() == Some(true)
    }

    /// Deletes `keys` in one round trip; whether a valid value was at each.
    pub fn delete_many(&self, keys: &[Key<'_>]) -> Vec<bool> {
        let now = self.now();
        self.sync(now);
        let names: Vec<Vec<u8>> = keys.iter().map(|key| key.joined().unwrap_or_default()).collect();
        self.tally.add(Counter::CacheDeleted, keys.len() as u64);
        let there = self.shared.as_ref().map(|_| self.take(&names, now));
        let here = names.iter().map(|name| self.l1.remove(&self.site, name, now));
        match there {
            // Shared memory counts only where it is all there is.
            Some(Some(there)) => here.zip(there).map(|(_, there)| there).collect(),
            _ => here.collect(),
        }
    }

    /// Adds `offset` to the integer at `key`, not going below 0, and returns the sum. `None`: there is
    /// no integer, or the second layer did not answer. Its expiry stays.
    pub fn increment(&self, key: Key<'_>, offset: i64) -> Option<i64> {
        let name = key.joined()?;
        let now = self.now();
        self.sync(now);
        let sum = |value: i64| value.saturating_add(offset).max(0);
        if self.shared.is_none() || self.local(now) == Local::Island {
            let sum = self.l1.add(&self.site, &name, now, sum);
            if self.shared.is_some() {
                self.tell_later(&name);
            }
            return sum;
        }
        let added = self.add_there(&name, offset, now);
        self.l1.remove(&self.site, &name, now);
        added.unwrap_or_else(|_| {
            self.tell_later(&name);
            None
        })
    }

    /// Forgets everything of this site, and nothing of any other. One write, whatever the number of
    /// values.
    pub fn flush(&self) {
        self.begin(&[SITE_SLOT]);
    }

    /// Forgets everything in `group`.
    pub fn flush_group(&self, group: &[u8]) {
        self.begin(&[l1::group_slot(group)]);
    }

    /// Forgets everything that was stored with one of `tags`.
    pub fn invalidate_tags(&self, tags: &[&[u8]]) {
        let mut slots: Vec<u16> = tags.iter().map(|tag| l1::tag_slot(tag)).collect();
        slots.dedup();
        self.begin(&slots);
    }

    fn begin(&self, slots: &[u16]) {
        if slots.is_empty() {
            return;
        }
        if self.shared.is_some() && self.adopt(|backing| backing.begin(slots, 0)).is_ok() {
            return;
        }
        let now = self.now();
        for slot in slots {
            self.site.begin(*slot, now);
            if self.shared.is_some() {
                self.l1.note_pending(&self.site, &Record::Slot(*slot));
            }
        }
    }

    fn write(
        &self,
        key: Key<'_>,
        value: &Encoded,
        expiry: Expiry,
        tags: &[&[u8]],
        condition: Condition,
    ) -> Result<bool> {
        let now = self.now();
        self.sync(now);
        let meta = self.meta(key, value, expiry, tags, now)?;
        let Some(name) = key.joined() else { return Ok(false) };
        if expiry == Expiry::Past {
            self.delete(key);
            return Ok(true);
        }
        if !self.fits(value) {
            self.delete(key);
            return Ok(false);
        }
        let draft = Draft { name: &name, meta, body: &value.bytes };
        Ok(match condition {
            Condition::Absent | Condition::Present => self.store_conditionally(&draft, condition, now),
            _ => self.store(&[&draft], now).pop() == Some(true),
        })
    }

    pub(super) fn meta(
        &self,
        key: Key<'_>,
        value: &Encoded,
        expiry: Expiry,
        tags: &[&[u8]],
        now: Timestamp,
    ) -> Result<Meta> {
        let refs = self.refs(key, tags)?;
        Ok(Meta {
            fingerprint: self.site.fingerprint(&refs),
            times: Times::lasting(self.ttl(expiry), std::time::Duration::ZERO, now),
            cost: 0,
            flags: if value.has_objects { flags::OBJECTS } else { 0 },
            refs,
        })
    }

    pub(super) fn fits(&self, value: &Encoded) -> bool {
        let fits = value.bytes.len() <= self.settings.max_value_size;
        if !fits {
            self.tally.count(Counter::CacheTooLarge);
        }
        fits
    }

    /// Stores `drafts`; whether each is stored somewhere.
    pub(super) fn store(&self, drafts: &[&Draft<'_>], now: Timestamp) -> Vec<bool> {
        self.tally.add(Counter::CacheStored, drafts.len() as u64);
        if self.shared.is_none() {
            return drafts
                .iter()
                .map(|draft| self.keep_here_if(draft, Condition::Always, Local::Believed, now))
                .collect();
        }
        let sealed: Vec<_> = drafts.iter().map(|draft| self.seal(draft)).collect();
        let largest = self.largest_entry();
        let items: Vec<Item<'_>> = drafts
            .iter()
            .zip(&sealed)
            .filter_map(|(draft, entry)| {
                Some(item(draft, entry.as_deref().filter(|entry| entry.len() <= largest)?, now))
            })
            .collect();
        let Ok(put) = self.call(|backing| backing.store(&items)) else {
            return drafts.iter().map(|draft| self.keep_on_island(draft, Condition::Always, now)).collect();
        };
        let mut put = put.into_iter();
        let results = drafts.iter().zip(&sealed).map(|(draft, entry)| match entry {
            Some(entry) if entry.len() <= largest => match put.next() {
                Some(Put::Stored) => {
                    self.l1.remove(&self.site, draft.name, now);
                    true
                }
                Some(Put::Refused) => self.refuse(draft, now),
                Some(Put::Unanswered) | None => self.keep_on_island(draft, Condition::Always, now),
            },
            Some(_) => self.refuse(draft, now),
            None => self.keep_unsigned(draft, now),
        });
        results.collect()
    }

    /// The second layer does not take it: then nothing is stored under its key.
    pub(super) fn refuse(&self, draft: &Draft<'_>, now: Timestamp) -> bool {
        self.tally.count(Counter::CacheTooLarge);
        self.take(&[draft.name.to_vec()], now);
        self.l1.remove(&self.site, draft.name, now);
        false
    }

    /// It holds objects and nobody can sign it: it stays here, and the old value leaves there.
    pub(super) fn keep_unsigned(&self, draft: &Draft<'_>, now: Timestamp) -> bool {
        self.tally.count(Counter::CacheUnsigned);
        self.take(&[draft.name.to_vec()], now);
        self.l1.remove(&self.site, draft.name, now);
        self.keep_here_if(draft, Condition::Always, self.local(now), now)
    }

    fn store_conditionally(&self, draft: &Draft<'_>, condition: Condition, now: Timestamp) -> bool {
        self.tally.count(Counter::CacheStored);
        let Some(entry) = self.seal(draft).filter(|_| self.shared.is_some()) else {
            return self.keep_here_if(draft, condition, self.local(now), now);
        };
        match self.store_there(&item(draft, &entry, now), condition, now) {
            Ok(stored) => {
                if stored {
                    self.l1.remove(&self.site, draft.name, now);
                }
                stored
            }
            Err(_) => self.keep_on_island(draft, condition, now),
        }
    }

    /// An entry that is there but not valid counts as absent, so it has to be looked at before it is
    /// replaced, and replaced only if it is still the same.
    fn store_there(&self, item: &Item<'_>, condition: Condition, now: Timestamp) -> Result<bool, Fault> {
        let mut seen: Option<Vec<u8>> = None;
        let mut looked = condition != Condition::Absent;
        for _ in 0..ATTEMPTS {
            if looked {
                seen = self.call(|backing| backing.fetch(&[item.key], false))?.entries.pop().flatten();
                let valid = seen.as_deref().is_some_and(|bytes| self.is_valid_entry(item.key, bytes, now));
                if valid != (condition == Condition::Present) {
                    return Ok(false);
                }
            }
            if self.call(|backing| backing.store_if(item, seen.as_deref()))? {
                return Ok(true);
            }
            looked = true;
        }
        Ok(false)
    }

    fn add_there(&self, name: &[u8], offset: i64, now: Timestamp) -> Result<Option<i64>, Fault> {
        for _ in 0..ATTEMPTS {
            let seen = self.call(|backing| backing.fetch(&[name], false))?.entries.pop().flatten();
            let Some(seen) = seen.filter(|bytes| self.is_valid_entry(name, bytes, now)) else {
                return Ok(None);
            };
            if entry::counter_head(&seen).is_none() {
                return Ok(None);
            }
            if let Some(sum) = self.call(|backing| backing.add(name, &seen, offset))? {
                return Ok(Some(sum));
            }
        }
        Ok(None)
    }

    fn is_valid_entry(&self, name: &[u8], bytes: &[u8], now: Timestamp) -> bool {
        let entry = self.open_entry(name, bytes);
        entry.is_some_and(|entry| self.is_current(&entry.meta) && entry.meta.times.age(now) == Age::Fresh)
    }

    /// Deletes `names` in the second layer; whether a valid value was at each. What is not answered
    /// for is told later.
    fn take(&self, names: &[Vec<u8>], now: Timestamp) -> Option<Vec<bool>> {
        let keys: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let Ok(taken) = self.call(|backing| backing.take(&keys)) else {
            names.iter().for_each(|name| self.tell_later(name));
            return None;
        };
        let was_valid = names.iter().zip(taken).map(|(name, taken)| match taken {
            Taken::Entry(bytes) => self.is_valid_entry(name, &bytes, now),
            Taken::Nothing => false,
            Taken::Unanswered => {
                self.tell_later(name);
                false
            }
        });
        Some(was_valid.collect())
    }

    /// The second layer is to delete `name` when it is back.
    fn tell_later(&self, name: &[u8]) {
        self.l1.note_pending(&self.site, &Record::Key(name.to_vec()));
    }

    pub(super) fn largest_entry(&self) -> usize {
        self.shared.as_ref().map_or(usize::MAX, |shared| shared.backing.largest_entry())
    }

    pub(super) fn seal(&self, draft: &Draft<'_>) -> Option<Vec<u8>> {
        self.shared.as_ref()?;
        entry::seal(draft.name, &draft.meta, draft.body, self.signer.as_ref(), self.packing())
    }

    pub(super) fn keep_here_if(
        &self,
        draft: &Draft<'_>,
        condition: Condition,
        local: Local,
        now: Timestamp,
    ) -> bool {
        let times = self.local_times(draft.meta.times, local, now);
        let meta = Meta { times, ..draft.meta };
        let stored = self.l1.put(&self.site, draft.name, &meta, draft.body, condition, now);
        if stored == Stored::Failed {
            self.tally.count(Counter::CacheTooLarge);
        }
        stored == Stored::Yes
    }

    /// The second layer is away: the value lives here for a moment, and the old one there is deleted
    /// when it is back.
    pub(super) fn keep_on_island(&self, draft: &Draft<'_>, condition: Condition, now: Timestamp) -> bool {
        self.tell_later(draft.name);
        self.keep_here_if(draft, condition, Local::Island, now)
    }
}

fn item<'a>(draft: &Draft<'a>, entry: &'a [u8], now: Timestamp) -> Item<'a> {
    Item { key: draft.name, entry, ttl: draft.meta.times.remaining(now) }
}
