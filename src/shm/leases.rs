//! Leases: one worker does it, the others wait, and nobody waits for a dead one.
//!
//! Owns: who may do a named thing until when. A lease ends when it is released, when its time is
//! over, or when its holder died, whichever is first. It names the holder by pid and start time
//! ([`Owner`]), so a recycled pid is not taken for it, and carries a token, so a holder that was
//! overtaken cannot release or renew what is no longer its own.
//!
//! Refuses to do: protect data. A holder that was stopped for longer than its lease runs on; who
//! must not write then compares the token ([`Leases::holds`]) or a generation.
//!
//! Leases live in 16 shards, each under a robust lock held for about 100 ns. Within a lease the
//! token is written last and cleared first, so a writer that dies leaves a free lease.

use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::Duration;

use super::hash::Key;
use super::lock::{Guard, Locks};
use super::process::Owner;
use super::region::{Region, shared_struct};
use super::{Counter, Counters};
use crate::clock::Timestamp;
use crate::error::Result;

pub(super) const LOCKS: usize = 16;

shared_struct! {
    struct Head {
        last_token: AtomicU64,
    }
}

shared_struct! {
    struct Slot {
        /// 0 marks a free lease.
        token: AtomicU64,
        high: AtomicU64,
        low: AtomicU64,
        /// Nanoseconds since the epoch.
        expires: AtomicU64,
        pid: AtomicU64,
        started: AtomicU64,
        namespace: AtomicU64,
    }
}

pub(super) const fn bytes(capacity: usize) -> usize {
    size_of::<Head>() + capacity * size_of::<Slot>()
}

/// A lease that the caller holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    key: Key,
    token: u64,
}

impl Lease {
    /// Grows with every lease that is given, so it serves as a fencing token.
    pub fn token(&self) -> u64 {
        self.token
    }
}

/// The answer to a request for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The caller holds it now.
    Mine(Lease),
    /// Somebody alive holds it.
    Theirs {
        /// The holder.
        owner: Owner,
        /// When it ends at the latest.
        expires: Timestamp,
    },
    /// No lease could be given: too many are held, or the shard is locked. The caller should do
    /// the work without one.
    Unavailable,
}

/// Handle to the leases.
#[derive(Clone, Copy)]
pub struct Leases<'a> {
    head: &'a Head,
    slots: &'a [Slot],
    locks: Locks<'a>,
    counters: Counters<'a>,
}

impl<'a> Leases<'a> {
    pub(super) fn new(region: Region<'a>, capacity: usize, counters: Counters<'a>) -> Result<Self> {
        let mut carve = region.carve();
        Ok(Self { head: carve.one()?, slots: carve.slice(capacity)?, locks: region.locks(), counters })
    }

    /// Asks for the lease `key` until `now + ttl`, for `owner` (normally [`Owner::current`], which
    /// a worker asks once and keeps).
    ///
    /// When somebody holds it, this looks whether that process is alive (about 20 µs).
    pub fn acquire(&self, key: Key, owner: Owner, now: Timestamp, ttl: Duration) -> Acquired {
        let mut dead = None;
        for _ in 0..2 {
            match self.try_acquire(key, owner, now, ttl, dead) {
                Acquired::Theirs { owner, .. } if dead != Some(owner) && owner.is_dead() => {
                    dead = Some(owner)
                }
                answer => return answer,
            }
        }
        Acquired::Unavailable
    }

    /// Gives the lease back; false when it was no longer the caller's.
    pub fn release(&self, lease: Lease) -> bool {
        self.with(lease, |slot| slot.token.store(0, Release))
    }

    /// Prolongs the lease to `now + ttl`; false when it was no longer the caller's.
    pub fn renew(&self, lease: Lease, now: Timestamp, ttl: Duration) -> bool {
        self.with(lease, |slot| slot.expires.store(now.plus(ttl).nanos(), Relaxed))
    }

    /// Whether the lease is still the caller's at `now`.
    pub fn holds(&self, lease: Lease, now: Timestamp) -> bool {
        self.shard(lease.key)
            .iter()
            .any(|slot| slot.token.load(Acquire) == lease.token && slot.expires.load(Relaxed) > now.nanos())
    }

    /// Leases held at `now`.
    pub fn used(&self, now: Timestamp) -> usize {
        self.slots.iter().filter(|slot| !slot.is_free(now)).count()
    }

    fn try_acquire(
        &self,
        key: Key,
        owner: Owner,
        now: Timestamp,
        ttl: Duration,
        dead: Option<Owner>,
    ) -> Acquired {
        let Some(_guard) = self.lock(key) else { return Acquired::Unavailable };
        let known = self.shard(key).iter().find(|slot| slot.is_of(key));
        let slot = match known {
            Some(slot) if slot.is_free(now) => slot,
            Some(slot) if dead == Some(slot.owner()) => {
                self.counters.add(Counter::LeaseTakenOver, 1);
                slot
            }
            Some(slot) => {
                let expires = Timestamp::from_nanos(slot.expires.load(Relaxed));
                return Acquired::Theirs { owner: slot.owner(), expires };
            }
            None => match self.shard(key).iter().find(|slot| slot.is_free(now)) {
                Some(slot) => slot,
                None => return Acquired::Unavailable,
            },
        };
        let token = self.head.last_token.fetch_add(1, Relaxed) + 1;
        slot.take(key, owner, now.plus(ttl), token);
        Acquired::Mine(Lease { key, token })
    }

    /// Does `change` to the slot of `lease`, if it is still there.
    fn with(&self, lease: Lease, change: impl FnOnce(&Slot)) -> bool {
        let Some(_guard) = self.lock(lease.key) else { return false };
        match self.shard(lease.key).iter().find(|slot| slot.token.load(Relaxed) == lease.token) {
            Some(slot) => {
                change(slot);
                true
            }
            None => false,
        }
    }

    fn lock(&self, key: Key) -> Option<Guard<'a>> {
        self.locks.lock(shard_of(key), Locks::PATIENCE, || {})
    }

    fn shard(&self, key: Key) -> &'a [Slot] {
        let per_shard = self.slots.len() / LOCKS;
        self.slots.get(shard_of(key) * per_shard..).and_then(|rest| rest.get(..per_shard)).unwrap_or(&[])
    }
}

fn shard_of(key: Key) -> usize {
    key.high as usize % LOCKS
}

impl Slot {
    fn is_of(&self, key: Key) -> bool {
        self.high.load(Relaxed) == key.high && self.low.load(Relaxed) == key.low
    }

    fn is_free(&self, now: Timestamp) -> bool {
        self.token.load(Acquire) == 0 || self.expires.load(Relaxed) <= now.nanos()
    }

    fn owner(&self) -> Owner {
        Owner {
            pid: self.pid.load(Relaxed) as u32,
            started: self.started.load(Relaxed),
            namespace: self.namespace.load(Relaxed),
        }
    }

    fn take(&self, key: Key, owner: Owner, expires: Timestamp, token: u64) {
        self.token.store(0, Release);
        self.high.store(key.high, Relaxed);
        self.low.store(key.low, Relaxed);
        self.expires.store(expires.nanos(), Relaxed);
        self.pid.store(u64::from(owner.pid), Relaxed);
        self.started.store(owner.started, Relaxed);
        self.namespace.store(owner.namespace, Relaxed);
        self.token.store(token, Release);
    }
}
