//! One computes, the rest wait: what keeps an expired value from stampeding its source.
//!
//! Owns: who computes a missing value, how long the others wait, when a value is computed anew
//! before it expires, and what happens when the one who computes dies. Refuses to do: call the
//! function that computes. It runs in the host, may throw or never come back, and nothing but a
//! lease with an end is held while it does.
//!
//! A worker takes a lease in shared memory, and with a second layer also a lock there, so that of all
//! hosts one computes. Who gets neither waits until the value is there, the lease is free, or his
//! patience ends; then he computes too. Who holds a lease never waits for another: so nested calls
//! cannot wait for one another in a circle.
//!
//! Early refresh: Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede
//! Prevention", VLDB 2015. The closer the expiry and the dearer the value, the likelier a reader is
//! to compute it anew while the others still get the old one.

use std::cell::Cell;
use std::time::Duration;

use super::token::{Look, Token};
use super::{Cache, Expiry, Found};
use crate::cache::codec::Encoded;
use crate::cache::keys::Key;
use crate::cache::meta::{Facts, Refs, Times};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::shm::{Acquired, Counter, Lease, Leases};

/// How `remember` behaves.
#[derive(Clone, Copy, Debug)]
pub struct RememberOptions<'a> {
    /// When the value expires.
    pub expiry: Expiry,
    /// How long after that it may still be served while somebody computes the next one.
    pub grace: Duration,
    /// How long to wait for somebody else's value.
    pub wait: Duration,
    /// How eagerly values are computed before they expire; 0 is never, 1 the paper's optimum.
    pub beta: f64,
    /// How long a computation may take before others no longer wait for it.
    pub lease: Duration,
    /// What the value depends on.
    pub tags: &'a [&'a [u8]],
}

impl Default for RememberOptions<'_> {
    fn default() -> Self {
        Self {
            expiry: Expiry::Default,
            grace: Duration::ZERO,
            wait: Duration::from_secs(5),
            beta: 1.0,
            lease: Duration::from_secs(10),
            tags: &[],
        }
    }
}

/// What `remember` found.
pub enum Lookup<'c> {
    /// The value, copied to the start of the buffer; maybe a stale one.
    Found(Found),
    /// The caller is to compute it and give it to [`Computation::finish`].
    Compute(Computation<'c>),
}

/// The caller's duty to compute a value. Dropping it lets somebody else do so.
pub struct Computation<'c> {
    cache: &'c Cache,
    /// What was there before the computation began: whoever writes, deletes or flushes meanwhile wins.
    token: Token,
    ttl: Option<Duration>,
    grace: Duration,
    began: Timestamp,
    lease: Option<Lease>,
}

thread_local! {
    /// Leases that this worker holds, in whatever cache: who holds one does not wait for another.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A lease and the second layer's lock that goes with it.
pub(super) struct Held {
    name: Vec<u8>,
    lease: Lease,
    /// The lock's token.
    lock: Option<u64>,
}

/// First and longest pause of a waiter before he looks again.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl Cache {
    /// The value of `key`, or the duty to compute it.
    ///
    /// # Errors
    /// Invalid argument for more than 31 tags.
    pub fn remember<'c>(
        &'c self,
        key: Key<'_>,
        options: &RememberOptions<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Lookup<'c>> {
        let refs = self.refs(key, options.tags)?;
        let began = self.now();
        let Some(name) = key.joined() else {
            let (ttl, grace, token) = (None, Duration::ZERO, self.useless_token(refs));
            return Ok(Lookup::Compute(Computation { cache: self, token, ttl, grace, began, lease: None }));
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let now = self.now();
            let found = self.look(&name, now, out);
            match found {
                Some(found) if !found.stale && !self.is_due_early(&found.facts, options.beta, now) => {
                    return Ok(Lookup::Found(found));
                }
                _ => {}
            }
            if let Some(lookup) = self.try_compute(&name, refs, options, found, out) {
                return Ok(lookup);
            }
            if let Some(found) = found {
                if found.stale {
                    self.tally.count(Counter::CacheStaleServed);
                }
                return Ok(Lookup::Found(found));
            }
            if pause == FIRST_PAUSE {
                self.tally.count(Counter::CacheWaits);
            }
            if now.since(began) >= options.wait {
                self.tally.count(Counter::CacheWaitsInVain);
                return Ok(self.computation(&name, refs, options, None, None, out));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The value wherever it is, stale ones included.
    fn look(&self, name: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<Found> {
        match self.look_here(name, now, out) {
            Some(found) if !found.stale => Some(found),
            // A stale copy here may have a fresh successor there.
            stale => self.look_there(name, now, out).or(stale),
        }
    }

    /// Whether this reader is the one who computes the value anew before it expires.
    fn is_due_early(&self, facts: &Facts, beta: f64, now: Timestamp) -> bool {
        let Some(left) = facts.times.fresh_for(now) else { return false };
        if beta <= 0.0 || facts.cost == 0 {
            return false;
        }
        let cost = f64::from(facts.cost) / 1000.0;
        -cost * beta * self.random_unit().ln() >= left.as_secs_f64()
    }

    /// Takes the duty to compute, if nobody has it. Whoever had it a moment ago may have stored the value.
    fn try_compute<'c>(
        &'c self,
        name: &[u8],
        refs: Refs,
        options: &RememberOptions<'_>,
        known: Option<Found>,
        out: &mut Vec<u8>,
    ) -> Option<Lookup<'c>> {
        let holds_one = HELD.get() > 0;
        let lease = match self.acquire(name, self.now(), options.lease) {
            Acquired::Mine(lease) => Some(lease),
            Acquired::Unavailable => None,
            Acquired::Theirs { .. } if holds_one => None,
            Acquired::Theirs { .. } => return None,
        };
        let lock = match lease {
            None => None,
            Some(lease) => match self.lock_there(name, options.lease) {
                Ok(lock) => lock,
                // Another host computes. Who holds a lease already does not wait for it.
                Err(()) if holds_one => None,
                Err(()) => {
                    self.leases().map(|leases| leases.release(lease));
                    return None;
                }
            },
        };
        if let Some(lease) = lease {
            HELD.set(HELD.get() + 1);
            self.held.borrow_mut().push(Held { name: name.to_vec(), lease, lock });
        }
        Some(self.computation(name, refs, options, lease, known, out))
    }

    /// The token of the second layer's lock, or `None` where there is no second layer that answers.
    ///
    /// # Errors
    /// When another host has it.
    fn lock_there(&self, name: &[u8], ttl: Duration) -> std::result::Result<Option<u64>, ()> {
        if self.shared.is_none() {
            return Ok(None);
        }
        let token = self.random_word();
        match self.call(|backing| backing.lock(name, token, ttl)) {
            Ok(true) => Ok(Some(token)),
            Ok(false) => Err(()),
            Err(_) => Ok(None),
        }
    }

    /// The duty to compute, unless a value has come that is another than the one `known`.
    fn computation<'c>(
        &'c self,
        name: &[u8],
        refs: Refs,
        options: &RememberOptions<'_>,
        lease: Option<Lease>,
        known: Option<Found>,
        out: &mut Vec<u8>,
    ) -> Lookup<'c> {
        let began = self.now();
        let (found, token) = self.reserve(name.to_vec(), refs, began, Look::First, out);
        let (ttl, grace) = (self.ttl(options.expiry), options.grace);
        let computation = Computation { cache: self, token, ttl, grace, began, lease };
        match found.filter(|found| !found.stale) {
            Some(fresh) if known.is_none_or(|known| known.facts.times != fresh.facts.times) => {
                Lookup::Found(fresh)
            }
            Some(_) => {
                self.tally.count(Counter::CacheEarlyRefreshes);
                Lookup::Compute(computation)
            }
            None => Lookup::Compute(computation),
        }
    }

    /// Gives back what a computation held that the host jumped out of (a fatal error, a time limit).
    pub(super) fn release_all(&self) {
        while let Some(held) = { self.held.borrow_mut().pop() } {
            self.release(&held);
        }
    }

    fn release(&self, held: &Held) {
        HELD.set(HELD.get().saturating_sub(1));
        if let Some(token) = held.lock {
            // A store that cannot be told forgets the lock by itself.
            let _ = self.call(|backing| backing.unlock(&held.name, token));
        }
        if let Some(leases) = self.leases() {
            leases.release(held.lease);
        }
    }

    fn acquire(&self, name: &[u8], now: Timestamp, ttl: Duration) -> Acquired {
        let key = self.host.segment.hasher().key_of(&[b"cache value", &self.host.site, name]);
        self.leases().map_or(Acquired::Unavailable, |leases| leases.acquire(key, self.owner, now, ttl))
    }

    fn leases(&self) -> Option<Leases<'static>> {
        self.host.segment.leases().ok()
    }

    /// Evenly distributed in (0, 1].
    fn random_unit(&self) -> f64 {
        ((self.random_word() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// xorshift64* (Vigna 2016): spreads load, protects nothing.
    pub(super) fn random_word(&self) -> u64 {
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Computation<'_> {
    /// Stores the value that was computed; false when somebody else has written meanwhile, or it
    /// could be stored nowhere.
    pub fn finish(self, value: &Encoded) -> bool {
        let cache = self.cache;
        let now = cache.now();
        let cost = u32::try_from(now.since(self.began).as_millis()).unwrap_or(u32::MAX).max(1);
        let ttl = self.ttl.map(|ttl| ttl.mul_f64(1.0 - cache.settings.jitter * cache.random_unit()));
        cache.store_token(&self.token, value, Times::lasting(ttl, self.grace, now), cost, now)
    }
}

impl Drop for Computation<'_> {
    fn drop(&mut self) {
        let Some(lease) = self.lease else { return };
        let mut held = self.cache.held.borrow_mut();
        let position = held.iter().rposition(|held| held.lease == lease);
        let mine = position.map(|position| held.swap_remove(position));
        drop(held);
        if let Some(mine) = mine {
            self.cache.release(&mine);
        }
    }
}
