//! The second layer: a store that hosts share.
//!
//! Owns: what the cache needs of such a store, in terms that Redis and Memcached both can serve.
//! Refuses to do: know what is in an entry; decide whether a store is to be called at all.

pub mod memcached;
pub mod redis;

use std::sync::Arc;
use std::time::Duration;

use super::l1::Site;
use crate::clock::Clock;
use crate::error::{Error, Result as CrateResult};
use crate::remote::Fault;
use crate::remote::breaker::{Breaker, Policy, State};
use crate::shm::{Cell, Segment};

/// Takes over the generations that `ask` gets from the store. Where this host is ahead (it has flushed
/// on its own, or the store was emptied), the store is made to follow, or hosts would never agree.
///
/// What this host has is looked at before the store is asked: a generation that another worker begins
/// there meanwhile is no reason to begin one more, which would end what was stored since.
pub(super) fn adopt(
    backing: &dyn Backing,
    site: &Site<'_>,
    ask: impl FnOnce(&dyn Backing) -> Result<Generations, Fault>,
) -> Result<(), Fault> {
    let ours: Vec<(u16, u64)> = site.generations().collect();
    let mut known = ask(backing)?;
    let ahead = ours.into_iter().filter(|(slot, ours)| {
        let theirs = known.slots.iter().find(|(known, _)| known == slot);
        *ours > theirs.map_or(0, |(_, generation)| *generation)
    });
    let ahead: Vec<(u16, u64)> = ahead.collect();
    if let Some(newest) = ahead.iter().map(|(_, ours)| *ours).max() {
        let slots: Vec<u16> = ahead.iter().map(|(slot, _)| *slot).collect();
        known = backing.begin(&slots, newest)?;
    }
    known.slots.iter().for_each(|(slot, generation)| site.learn(*slot, *generation));
    site.set_version(known.version);
    Ok(())
}

/// The breaker that all workers of the host share for the store called `name`.
fn breaker(segment: &'static Segment, name: &str) -> CrateResult<Breaker<Cell<'static>>> {
    let key = segment.hasher().key_of(&[b"cache breaker", name.as_bytes()]);
    let cell = segment.cells()?.cell(key).map_err(Error::from)?;
    Ok(Breaker::new(cell, Policy::default()))
}

/// A breaker and the time it goes by.
struct Guard {
    breaker: Breaker<Cell<'static>>,
    clock: Arc<dyn Clock>,
}

/// An entry to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The joined key.
    pub key: &'a [u8],
    /// The sealed entry.
    pub entry: &'a [u8],
    /// How long the store keeps it; `None` is for ever.
    pub ttl: Option<Duration>,
}

/// What was asked for in one round trip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Entries in the order of the keys.
    pub entries: Vec<Option<Vec<u8>>>,
    /// What has changed, if that was asked for.
    pub changes: Option<Changes>,
}

/// What became of an entry that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Stored,
    /// The store does not take it.
    Refused,
    /// The server that has the key did not answer, though others did.
    Unanswered,
}

/// What was at a key that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This entry.
    Entry(Vec<u8>),
    /// Nothing.
    Nothing,
    /// The server that has the key did not answer, though others did.
    Unanswered,
}

/// How far the store's generations have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Grows with every generation that begins; 0: the store knows of none, so it was emptied.
    pub version: u64,
    /// Where keys are counted by slots of 64: each slot's count of writes.
    pub key_slots: Vec<u64>,
}

/// The current generations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// See [`Changes::version`].
    pub version: u64,
    /// Slot and generation of every slot in use.
    pub slots: Vec<(u16, u64)>,
}

/// A store that hosts share, behind its breaker. Every call is bounded in time by the store's settings.
pub trait Backing: Send {
    /// The entries of `keys`, and what has changed when `with_changes`, in one round trip.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer; so in all methods below.
    fn fetch(&self, keys: &[&[u8]], with_changes: bool) -> Result<Fetched, Fault>;

    /// Stores `items`.
    fn store(&self, items: &[Item<'_>]) -> Result<Vec<Put>, Fault>;

    /// Stores `item` if what is there is `seen` (`None`: nothing is there).
    fn store_if(&self, item: &Item<'_>, seen: Option<&[u8]>) -> Result<bool, Fault>;

    /// Deletes `keys`, and returns what was there.
    fn take(&self, keys: &[&[u8]]) -> Result<Vec<Taken>, Fault>;

    /// Adds `offset` to the digits behind the head of the counter that was `seen` at `key`, not
    /// going below 0, without touching its expiry. `None`: it is no longer that counter.
    fn add(&self, key: &[u8], seen: &[u8], offset: i64) -> Result<Option<i64>, Fault>;

    /// All generations. An emptied store begins new ones, for everything in it is gone and what
    /// hosts hold may be out of date.
    fn generations(&self) -> Result<Generations, Fault>;

    /// Begins a generation in each of `slots`, later than `after`. All generations then.
    fn begin(&self, slots: &[u16], after: u64) -> Result<Generations, Fault>;

    /// Takes the lock `key` for `ttl` under `token`, if nobody has it.
    fn lock(&self, key: &[u8], token: u64, ttl: Duration) -> Result<bool, Fault>;

    /// Gives the lock back if it is still held under `token`.
    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Fault>;

    /// The largest entry it takes, in bytes.
    fn largest_entry(&self) -> usize;

    /// Where its breaker stands.
    fn state(&self) -> State;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::l1::{L1, SITE_SLOT};
    use crate::clock::Timestamp;
    use crate::remote::FaultKind;
    use crate::shm::Plan;
    use std::cell::RefCell;

    /// A store that has only generations, and notes which of them are begun.
    #[derive(Default)]
    struct Store {
        begun: RefCell<Vec<(Vec<u16>, u64)>>,
    }

    fn unused<T>() -> Result<T, Fault> {
        Err(Fault::new(FaultKind::Down, "not used here"))
    }

    impl Backing for Store {
        fn fetch(&self, _: &[&[u8]], _: bool) -> Result<Fetched, Fault> {
            unused()
        }
        fn store(&self, _: &[Item<'_>]) -> Result<Vec<Put>, Fault> {
            unused()
        }
        fn store_if(&self, _: &Item<'_>, _: Option<&[u8]>) -> Result<bool, Fault> {
            unused()
        }
        fn take(&self, _: &[&[u8]]) -> Result<Vec<Taken>, Fault> {
            unused()
        }
        fn add(&self, _: &[u8], _: &[u8], _: i64) -> Result<Option<i64>, Fault> {
            unused()
        }
        fn generations(&self) -> Result<Generations, Fault> {
            unused()
        }
        fn begin(&self, slots: &[u16], after: u64) -> Result<Generations, Fault> {
            self.begun.borrow_mut().push((slots.to_vec(), after));
            Ok(known(9, &[(SITE_SLOT, after + 1)]))
        }
        fn lock(&self, _: &[u8], _: u64, _: Duration) -> Result<bool, Fault> {
            unused()
        }
        fn unlock(&self, _: &[u8], _: u64) -> Result<(), Fault> {
            unused()
        }
        fn largest_entry(&self) -> usize {
            0
        }
        fn state(&self) -> State {
            State::Closed { failures: 0 }
        }
    }

    fn known(version: u64, slots: &[(u16, u64)]) -> Generations {
        Generations { version, slots: slots.to_vec() }
    }

    fn on_a_site(check: impl FnOnce(&Store, &Site<'_>)) {
        let segment = Segment::anonymous(&Plan { cache: 1 << 20, ..Plan::smallest() }).unwrap();
        let l1 = L1::open(&segment, 1.0).unwrap();
        check(&Store::default(), &l1.site(b"site", Timestamp::from_secs(1)).unwrap());
    }

    #[test]
    fn a_store_that_is_behind_is_made_to_follow() {
        on_a_site(|store, site| {
            site.learn(SITE_SLOT, 70);
            adopt(store, site, |_| Ok(known(5, &[(SITE_SLOT, 60)]))).unwrap();
            assert_eq!(*store.begun.borrow(), [(vec![SITE_SLOT], 70)]);
            assert_eq!(site.generations().collect::<Vec<_>>(), [(SITE_SLOT, 71)]);
            assert_eq!(site.version(), 9);
        });
    }

    /// One worker asks, another flushes before the answer is there: values stored since the flush stay.
    #[test]
    fn a_flush_while_the_store_is_asked_is_not_repeated() {
        on_a_site(|store, site| {
            site.learn(SITE_SLOT, 60);
            let answer = |_: &dyn Backing| {
                site.learn(SITE_SLOT, 80);
                Ok(known(5, &[(SITE_SLOT, 60)]))
            };
            adopt(store, site, answer).unwrap();
            assert!(store.begun.borrow().is_empty());
            assert_eq!(site.generations().collect::<Vec<_>>(), [(SITE_SLOT, 80)]);
        });
    }
}
