//! Writing only if nobody else has written since: the lost update, and the value that was read
//! before a deletion and stored after it.
//!
//! Owns: what a reader has to know so that his later write can be refused. Refuses to do: hold
//! anything while he computes; there is no lock that a killed worker could leave behind.
//!
//! ```text
//! let (found, token) = cache.read_for_write(key, &[], &mut out)?;   // what is really there
//! …                                                                  // ask the database
//! cache.set_if_unchanged(token, &value, expiry)?                     // false: somebody was quicker
//! ```
//!
//! Where there is a value, the token remembers it, expiry and all. Where there is none, the reader leaves a
//! reservation that no other equals: a deletion takes it away, a write takes its place, so
//! "still missing" and "missing again" differ. (Nishtala et al.: "Scaling Memcache at Facebook",
//! NSDI 2013, leases.) To everybody else a reservation is a miss. This is done where all hosts see
//! it: in the second layer if there is one, else in shared memory.
//!
//! For a value that many read and few write, such as WordPress' `alloptions`:
//! [`Cache::get_or_token`] finds it in shared memory, and asks further only on a miss. A
//! `wp_cache_add` after a miss, and a `wp_cache_set` after a forced read, are
//! [`Cache::set_if_unchanged`]; whoever is refused deletes nothing and reads again.
//! [`Cache::update`] does all of this in a loop.
//!
//! Each token is good for one write. What a store that does not answer would have to decide is
//! refused: a value that is not cached costs a query, one that is wrong costs trust.

use std::time::Duration;

use super::write::{ATTEMPTS, Draft};
use super::{Cache, Expiry, Found, Local};
use crate::cache::backing::Item;
use crate::cache::codec::Encoded;
use crate::cache::entry;
use crate::cache::keys::Key;
use crate::cache::l1::{Condition, Stamp};
use crate::cache::meta::{Age, Meta, Refs, Times, flags};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::remote::Fault;
use crate::shm::Counter;

/// How long a reservation lasts. A value that takes longer to compute is not stored.
const RESERVATION: Duration = Duration::from_secs(60);

/// What was at a key when it was read.
#[derive(Clone, Debug)]
pub struct Token {
    name: Vec<u8>,
    pub(super) refs: Refs,
    /// Of the generations before the value was read: a flush meanwhile is obeyed.
    pub(super) fingerprint: u64,
    seen: Seen,
}

/// Whether the second layer has to be asked before a place is reserved in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Yes.
    First,
    /// Only if the place is taken after all: it was just found empty.
    AfterMiss,
}

#[derive(Clone, Debug)]
enum Seen {
    /// These bytes in the second layer.
    There(Vec<u8>),
    /// This entry in shared memory, which is all there is at the moment.
    Here(Stamp),
    /// Nobody could say.
    Unknown,
}

impl Cache {
    /// The value of `key`, as [`Cache::get`] finds it; where there is none a token with which it can be
    /// stored once it has been read elsewhere.
    ///
    /// # Errors
    /// Invalid argument for more than 31 tags.
    pub fn get_or_token(
        &self,
        key: Key<'_>,
        tags: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<std::result::Result<Found, Token>> {
        if let Some(found) = self.get(key, out) {
            return Ok(Ok(found));
        }
        let refs = self.refs(key, tags)?;
        let Some(name) = key.joined() else { return Ok(Err(self.useless_token(refs))) };
        let (found, token) = self.reserve(name, refs, self.now(), Look::AfterMiss, out);
        Ok(found.filter(|found| !found.stale).ok_or(token))
    }

    /// The value that is at `key` for all hosts, copied to the start of `out`, and a token with which it
    /// can be replaced if it is still the same then. `tags` are those of the value to come.
    ///
    /// # Errors
    /// Invalid argument for more than 31 tags.
    pub fn read_for_write(
        &self,
        key: Key<'_>,
        tags: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<(Option<Found>, Token)> {
        let refs = self.refs(key, tags)?;
        let Some(name) = key.joined() else { return Ok((None, self.useless_token(refs))) };
        let (found, token) = self.reserve(name, refs, self.now(), Look::First, out);
        let found = found.filter(|found| !found.stale);
        self.tally.count(match (&token.seen, found) {
            (Seen::There(_), Some(_)) => Counter::CacheL2Hits,
            (Seen::There(_), None) => Counter::CacheL2Misses,
            (_, Some(_)) => Counter::CacheL1Hits,
            (_, None) => Counter::CacheL1Misses,
        });
        Ok((found, token))
    }

    /// Stores `value` if nobody has stored, deleted or flushed anything at the key since `token` was
    /// had; false when somebody has, or when nobody can say. A flush on another host of which this one
    /// has not heard yet ends the value as soon as it has.
    pub fn set_if_unchanged(&self, token: Token, value: &Encoded, expiry: Expiry) -> bool {
        let now = self.now();
        let times = Times::lasting(self.ttl(expiry), Duration::ZERO, now);
        expiry != Expiry::Past && self.store_token(&token, value, times, 0, now)
    }

    /// Replaces the value of `key` by what `change` makes of it (`None`: there is none), again and
    /// again until nobody else has written meanwhile. False when `change` returns `None`, or it was outrun
    /// 64 times.
    ///
    /// # Errors
    /// Invalid argument for more than 31 tags, or what `change` returned.
    pub fn update<E: From<crate::error::Error>>(
        &self,
        key: Key<'_>,
        expiry: Expiry,
        tags: &[&[u8]],
        mut change: impl FnMut(Option<&[u8]>) -> std::result::Result<Option<Encoded>, E>,
    ) -> std::result::Result<bool, E> {
        let mut out = Vec::new();
        for _ in 0..ATTEMPTS {
            let (found, token) = self.read_for_write(key, tags, &mut out)?;
            let current = found.and_then(|found| out.get(..found.len));
            let Some(value) = change(current)? else { return Ok(false) };
            if self.set_if_unchanged(token, &value, expiry) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is at `name`, stale or not, and what identifies it.
    pub(super) fn reserve(
        &self,
        name: Vec<u8>,
        refs: Refs,
        now: Timestamp,
        look: Look,
        out: &mut Vec<u8>,
    ) -> (Option<Found>, Token) {
        self.sync(now);
        let fingerprint = self.site.fingerprint(&refs);
        let (found, seen) = match self.shared.is_some().then(|| self.reserve_there(&name, now, look, out)) {
            Some(Ok(seen)) => seen,
            Some(Err(_)) | None => self.reserve_here(&name, refs, now, out),
        };
        (found, Token { name, refs, fingerprint, seen })
    }

    /// With which nothing can be stored: the key is too long.
    pub(super) fn useless_token(&self, refs: Refs) -> Token {
        Token { name: Vec::new(), refs, fingerprint: 0, seen: Seen::Unknown }
    }

    fn reserve_there(
        &self,
        name: &[u8],
        now: Timestamp,
        look: Look,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(Option<Found>, Seen), Fault> {
        if self.catch_up(now).is_some_and(|pending| pending.concerns(name)) {
            return Ok((None, Seen::Unknown));
        }
        let reservation = entry::reservation(self.random_word());
        let item = Item { key: name, entry: &reservation, ttl: Some(RESERVATION) };
        if look == Look::AfterMiss && self.call(|backing| backing.store_if(&item, None))? {
            return Ok((None, Seen::There(reservation)));
        }
        for _ in 0..ATTEMPTS {
            if let Some(bytes) = self.call(|backing| backing.fetch(&[name], false))?.entries.pop().flatten() {
                return Ok((self.unpack(name, &bytes, now, out), Seen::There(bytes)));
            }
            if self.call(|backing| backing.store_if(&item, None))? {
                return Ok((None, Seen::There(reservation)));
            }
        }
        Ok((None, Seen::Unknown))
    }

    fn unpack(&self, name: &[u8], bytes: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<Found> {
        let entry = self.open_entry(name, bytes).filter(|entry| self.is_current(&entry.meta))?;
        let age = entry.meta.times.age(now);
        if age == Age::Over {
            return None;
        }
        out.clear();
        out.extend_from_slice(&entry.body);
        Some(Found { len: entry.body.len(), facts: entry.meta.facts(), stale: age == Age::Stale })
    }

    fn reserve_here(
        &self,
        name: &[u8],
        refs: Refs,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> (Option<Found>, Seen) {
        let meta = Meta {
            fingerprint: self.site.fingerprint(&refs),
            times: Times::lasting(Some(RESERVATION), Duration::ZERO, now),
            cost: 0,
            flags: flags::RESERVED,
            refs,
        };
        let (hit, stamp) = self.l1.reserve(&self.site, name, &meta, self.random_word(), now, out);
        let found = hit.map(|hit| Found { len: hit.len, facts: hit.facts, stale: hit.stale });
        (found, stamp.map_or(Seen::Unknown, Seen::Here))
    }

    /// Stores `value` where `token` is from, if what it has seen is still there.
    pub(super) fn store_token(
        &self,
        token: &Token,
        value: &Encoded,
        times: Times,
        cost: u32,
        now: Timestamp,
    ) -> bool {
        if !self.fits(value) || self.site.fingerprint(&token.refs) != token.fingerprint {
            return false;
        }
        let meta = Meta {
            fingerprint: token.fingerprint,
            times,
            cost,
            flags: if value.has_objects { flags::OBJECTS } else { 0 },
            refs: token.refs,
        };
        let draft = Draft { name: &token.name, meta, body: &value.bytes };
        let stored = match &token.seen {
            Seen::Unknown => false,
            Seen::There(seen) => self.replace_there(&draft, seen, now),
            Seen::Here(stamp) => self.replace_here(&draft, *stamp, now),
        };
        self.tally.count(if stored { Counter::CacheStored } else { Counter::CacheOutrun });
        stored
    }

    fn replace_there(&self, draft: &Draft<'_>, seen: &[u8], now: Timestamp) -> bool {
        let Some(entry) = self.seal(draft) else {
            // It cannot be signed, so it stays here; whether it may is decided there all the same.
            let there = self.call(|backing| backing.fetch(&[draft.name], false));
            let is_same =
                there.is_ok_and(|there| there.entries.first().is_some_and(|e| e.as_deref() == Some(seen)));
            return is_same && self.keep_unsigned(draft, now);
        };
        if entry.len() > self.largest_entry() {
            return self.refuse(draft, now);
        }
        let item = Item { key: draft.name, entry: &entry, ttl: draft.meta.times.remaining(now) };
        let stored = self.call(|backing| backing.store_if(&item, Some(seen))).unwrap_or(false);
        if stored {
            self.l1.remove(&self.site, draft.name, now);
        }
        stored
    }

    fn replace_here(&self, draft: &Draft<'_>, seen: Stamp, now: Timestamp) -> bool {
        match self.shared {
            None => self.keep_here_if(draft, Condition::Same(seen), Local::Believed, now),
            Some(_) if self.is_cut_off(now) => self.keep_on_island(draft, Condition::Same(seen), now),
            // The second layer is back, and what it has was not seen.
            Some(_) => false,
        }
    }
}
