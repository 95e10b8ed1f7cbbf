//! Several stores, one after the other: Redis, then Memcached, then the database.
//!
//! A session is at home in the first store that answers; there it is locked, and written if nobody
//! came in between. Copies go to the others, under the same version. Who opens a session asks all
//! that answer and takes the newest copy, so one that a store brings back from before its outage does
//! not win, and what was written during the outage is not lost. With one store none of this costs
//! anything.
//!
//! While a store is away, what is destroyed leaves tombstones in the others for as long as a session
//! lives, because the copy that comes back may be as old.

use std::time::Duration;

use super::name::Name;
use super::policy;
use super::seal::Sealer;
use super::store::{Change, Close, Closed, Kind, Open, Opened, Receipt, Store, Tombstone};
use crate::remote::Fault;

/// How long an ended session leaves a tombstone.
pub const TOMBSTONE: Duration = Duration::from_secs(30);

/// The stores in order.
pub struct Chain {
    stores: Vec<Box<dyn Store>>,
}

/// What opening gave.
pub enum Found {
    /// There is none.
    Missing,
    /// It has another id now.
    Moved,
    /// Somebody else holds the lock for that long at most.
    Busy(Duration),
    /// Here it is.
    Open(Held),
}

/// An open session.
#[derive(Clone, Debug)]
pub struct Held {
    /// Which store is its home.
    home: usize,
    /// The version that its home has.
    seen: u64,
    /// The newest version anywhere.
    newest: u64,
    receipt: Option<Receipt>,
    /// Its data; `None` when it is new, or what is there is not ours.
    pub data: Option<Vec<u8>>,
    /// What is there is not ours, or not intact.
    pub is_forged: bool,
}

/// The newest copy that other stores have.
#[derive(Default)]
struct Newest {
    version: u64,
    data: Option<Vec<u8>>,
    end: Option<Kind>,
}

impl Chain {
    /// At least one store.
    pub fn new(stores: Vec<Box<dyn Store>>) -> Self {
        Self { stores }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// The last store's [`Fault`] when none answers; so in all methods.
    pub fn open(&self, request: &Open<'_>, sealer: &Sealer) -> Result<Found, Fault> {
        let (home, opened) = self.first(|store| store.open(request))?;
        if let Opened::Busy(left) = opened {
            return Ok(Found::Busy(left));
        }
        let others = self.ask_others(home, request, sealer);
        let (seen, receipt, sealed) = match opened {
            Opened::Missing(version) if others.version <= version || others.end.is_some() => {
                return Ok(Found::Missing);
            }
            Opened::Moved(version) if others.version <= version => return Ok(Found::Moved),
            Opened::Missing(version) | Opened::Moved(version) => (version, None, None),
            Opened::Found(found) => (found.version, found.receipt, found.sealed),
            Opened::Busy(left) => return Ok(Found::Busy(left)),
        };
        let is_theirs = others.version > seen;
        if is_theirs && others.end.is_some() {
            return self.bury_at_home(home, request, &others);
        }
        let data = match is_theirs {
            true => others.data,
            false => sealed.as_ref().and_then(|sealed| sealer.open(request.name, seen, sealed)),
        };
        let is_forged = data.is_none() && sealed.is_some();
        Ok(Found::Open(Held { home, seen, newest: seen.max(others.version), receipt, data, is_forged }))
    }

    /// Stores `sealed` under `version`.
    pub fn write(&self, request: &Write<'_>, held: &mut Held) -> Result<Closed, Fault> {
        let change = Change::Write { version: request.version, sealed: request.sealed };
        let closed = self.close_at_home(request.name, request, held, change);
        if matches!(closed, Ok(Closed::Lost)) {
            return closed;
        }
        let mirrored = self.others(held.home).map(|(index, store)| {
            let stored = store.mirror(request.name, request.version, request.sealed, request.lifetime);
            stored.map(|stored| (index, stored))
        });
        let first = mirrored
            .filter_map(Result::ok)
            .fold(None, |first: Option<(usize, bool)>, one| first.or(Some(one)));
        match (closed, first) {
            (Ok(closed), _) => {
                (held.seen, held.newest, held.receipt) = (request.version, request.version, None);
                Ok(closed)
            }
            // Its home is away: the next store is.
            (Err(_), Some((home, true))) => {
                (held.home, held.seen, held.newest, held.receipt) =
                    (home, request.version, request.version, None);
                Ok(Closed::Done)
            }
            (Err(_), Some((_, false))) => Ok(Closed::Lost),
            (Err(fault), None) => Err(fault),
        }
    }

    /// Gives the lock back, and prolongs the session where `refresh`.
    pub fn leave_alone(&self, request: &Write<'_>, held: &mut Held, refresh: bool) -> Result<Closed, Fault> {
        let change = if refresh { Change::Refresh } else { Change::Release };
        self.close_at_home(request.name, request, held, change)
    }

    /// Ends a session in every store.
    pub fn destroy(&self, name: &Name, kind: Kind, version: u64, lifetime: Duration) -> Result<(), Fault> {
        let bury = |ttl| {
            let tombstone = Tombstone { version, kind, ttl };
            self.stores.iter().map(|store| store.destroy(name, &tombstone)).collect::<Vec<_>>()
        };
        let outcomes = bury(TOMBSTONE);
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        if failed == 0 {
            return Ok(());
        }
        if failed < self.stores.len() {
            bury(lifetime.max(TOMBSTONE));
            return Ok(());
        }
        outcomes.into_iter().next().unwrap_or(Ok(()))
    }

    /// Removes what has expired; how many.
    pub fn collect(&self) -> Result<u64, Fault> {
        let mut removed = 0;
        for store in &self.stores {
            removed += store.collect()?;
        }
        Ok(removed)
    }

    /// How many sessions the first store that answers has.
    pub fn count(&self) -> Result<Option<u64>, Fault> {
        self.first(|store| store.count()).map(|(_, count)| count)
    }

    fn close_at_home(
        &self,
        name: &Name,
        request: &Write<'_>,
        held: &Held,
        change: Change<'_>,
    ) -> Result<Closed, Fault> {
        let Some(store) = self.stores.get(held.home) else { return Ok(Closed::Lost) };
        let (seen, receipt, lifetime) = (held.seen, held.receipt, request.lifetime);
        store.close(&Close { name, token: request.token, seen, receipt, change, lifetime })
    }

    /// The first answer, and whose it is.
    fn first<T>(&self, ask: impl Fn(&dyn Store) -> Result<T, Fault>) -> Result<(usize, T), Fault> {
        let mut last = None;
        for (index, store) in self.stores.iter().enumerate() {
            match ask(&**store) {
                Ok(answer) => return Ok((index, answer)),
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.unwrap_or_else(|| {
            Fault::new(crate::remote::FaultKind::Refused, "there is no store for sessions")
        }))
    }

    fn others(&self, home: usize) -> impl Iterator<Item = (usize, &dyn Store)> {
        let all = self.stores.iter().enumerate().map(|(index, store)| (index, &**store));
        all.filter(move |(index, _)| *index != home)
    }

    /// What the stores behind the home have; those before it do not answer.
    fn ask_others(&self, home: usize, request: &Open<'_>, sealer: &Sealer) -> Newest {
        let look = Open { lock: None, create: false, ..*request };
        let mut newest = Newest::default();
        for (_, store) in self.others(home).filter(|(index, _)| *index > home) {
            let (version, data, end) = match store.open(&look) {
                Ok(Opened::Found(found)) => {
                    let data =
                        found.sealed.and_then(|sealed| sealer.open(request.name, found.version, &sealed));
                    if data.is_none() {
                        continue;
                    }
                    (found.version, data, None)
                }
                Ok(Opened::Missing(version)) => (version, None, Some(Kind::Destroyed)),
                Ok(Opened::Moved(version)) => (version, None, Some(Kind::Moved)),
                Ok(Opened::Busy(_)) | Err(_) => continue,
            };
            if version > newest.version {
                newest = Newest { version, data, end };
            }
        }
        newest
    }

    /// The session was ended while its home was away: the home is told, and what it has is not used.
    fn bury_at_home(&self, home: usize, request: &Open<'_>, others: &Newest) -> Result<Found, Fault> {
        let kind = others.end.unwrap_or(Kind::Destroyed);
        let tombstone = Tombstone { version: others.version, kind, ttl: TOMBSTONE };
        if let Some(store) = self.stores.get(home) {
            store.destroy(request.name, &tombstone)?;
        }
        match (kind, request.create) {
            (Kind::Moved, _) => Ok(Found::Moved),
            (Kind::Destroyed, false) => Ok(Found::Missing),
            (Kind::Destroyed, true) => self.open_at(home, request, others.version),
        }
    }

    fn open_at(&self, home: usize, request: &Open<'_>, newest: u64) -> Result<Found, Fault> {
        let Some(store) = self.stores.get(home) else { return Ok(Found::Missing) };
        Ok(match store.open(request)? {
            Opened::Missing(_) => Found::Missing,
            Opened::Moved(_) => Found::Moved,
            Opened::Busy(left) => Found::Busy(left),
            Opened::Found(found) => {
                let (seen, receipt) = (found.version, found.receipt);
                Found::Open(Held {
                    home,
                    seen,
                    newest: newest.max(seen),
                    receipt,
                    data: None,
                    is_forged: false,
                })
            }
        })
    }
}

/// A session that is to be closed.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Which.
    pub name: &'a Name,
    /// Who opened it.
    pub token: super::store::Token,
    /// The new version.
    pub version: u64,
    /// The sealed data.
    pub sealed: &'a [u8],
    /// How long it lives from now on.
    pub lifetime: Duration,
}

impl Held {
    /// The version of a write at `now` (microseconds).
    pub fn next_version(&self, now: u64) -> u64 {
        policy::next_version(self.newest, now)
    }

    /// Takes its data out.
    pub fn take_data(&mut self) -> Option<Vec<u8>> {
        self.data.take()
    }
}
