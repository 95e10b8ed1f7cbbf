//! A store out of cells: something that can be read, and swapped if it is still as it was.
//!
//! Shared memory, Memcached and the database have that in common. What is read is judged by
//! [`policy`], and a swap that comes too late is judged anew, a bounded number of times.

use std::time::Duration;

use super::{Change, Close, Closed, Found, Open, Opened, Receipt, Store, Tombstone};
use crate::remote::{Fault, FaultKind};
use crate::session::name::Name;
use crate::session::policy::{self, Closing, Head, Opening, State};

/// Each lost swap is somebody else's progress, so this is hardly ever reached.
const ATTEMPTS: usize = 64;

/// What is in a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The head.
    pub head: Head,
    /// The sealed data, if any was ever written.
    pub sealed: Option<Vec<u8>>,
    /// How long it stays.
    pub left: Duration,
}

/// A cell that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Milliseconds since the epoch, by the clock that locks go by.
    pub now: u64,
    /// Memcached's unique number; 0 elsewhere.
    pub unique: u64,
    /// What is there, if it has not expired.
    pub entry: Option<Entry>,
}

/// What is to stand in a cell.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    /// The head.
    pub head: Head,
    /// The data.
    pub sealed: Option<&'a [u8]>,
    /// Whether it is other data than before: stores that can leave it alone do.
    pub is_new: bool,
    /// How long it stays.
    pub ttl: Duration,
}

/// Cells by name.
pub trait Cells: Send {
    /// Reads the cell.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer, or refuses; so in all methods.
    fn load(&self, name: &Name) -> Result<Loaded, Fault>;

    /// Puts `next` (`None`: nothing) into the cell if it is still `was`; its unique number then, or
    /// `None` when it is not.
    fn swap(&self, name: &Name, was: Option<Receipt>, next: Option<&Next<'_>>) -> Result<Option<u64>, Fault>;

    /// See [`Store::collect`].
    fn collect(&self) -> Result<u64, Fault>;

    /// See [`Store::count`].
    fn count(&self) -> Result<Option<u64>, Fault>;

    /// See [`Store::name`].
    fn name(&self) -> &str;
}

/// A store out of cells.
pub struct CellStore<C>(pub C);

impl Loaded {
    fn head(&self) -> Option<Head> {
        self.entry.as_ref().map(|entry| entry.head)
    }

    /// The data of a session that lives.
    fn data(&self) -> Option<&[u8]> {
        let entry = self.entry.as_ref()?;
        entry.sealed.as_deref().filter(|_| entry.head.state == State::Live)
    }

    fn receipt(&self) -> Option<Receipt> {
        Some(Receipt { head: self.head()?, unique: self.unique })
    }
}

/// What is to be written, and what the caller is told when it is.
struct Step<'a, R> {
    result: R,
    write: Write<'a>,
}

enum Write<'a> {
    Nothing,
    Remove,
    /// The data stays, if the session lives.
    Head {
        head: Head,
        ttl: Duration,
    },
    Data {
        head: Head,
        sealed: &'a [u8],
        ttl: Duration,
    },
}

impl Write<'_> {
    /// What the cell is to hold; `None`: nothing.
    fn next<'b>(&'b self, loaded: &'b Loaded) -> Option<Next<'b>> {
        match self {
            Self::Nothing | Self::Remove => None,
            Self::Head { head, ttl } => {
                let sealed = loaded.data().filter(|_| head.state == State::Live);
                Some(Next { head: *head, sealed, is_new: sealed.is_none(), ttl: *ttl })
            }
            Self::Data { head, sealed, ttl } => {
                Some(Next { head: *head, sealed: Some(sealed), is_new: true, ttl: *ttl })
            }
        }
    }
}

impl<C: Cells> CellStore<C> {
    /// Reads the cell and does what `decide` says, until that takes effect. What was read, and the
    /// cell's unique number if it was written.
    fn change<'a, R>(
        &self,
        name: &Name,
        decide: impl Fn(&Loaded) -> Step<'a, R>,
    ) -> Result<(R, Loaded, Option<u64>), Fault> {
        for _ in 0..ATTEMPTS {
            let loaded = self.0.load(name)?;
            let step = decide(&loaded);
            if matches!(step.write, Write::Nothing) {
                return Ok((step.result, loaded, None));
            }
            let swapped = self.0.swap(name, loaded.receipt(), step.write.next(&loaded).as_ref())?;
            if swapped.is_some() {
                return Ok((step.result, loaded, swapped));
            }
        }
        Err(Fault::new(FaultKind::Command, "the session is changed too often"))
    }

    /// Writes if all is as it was left when the session was opened: one exchange.
    fn write_at_once(&self, request: &Close<'_>) -> Result<bool, Fault> {
        let (Change::Write { version, sealed }, Some(receipt)) = (request.change, request.receipt) else {
            return Ok(false);
        };
        // Locks that ended are no matter: nobody has come in between.
        let may = policy::close(Some(receipt.head), true, request, 0);
        let Closing::Store(head) = may else { return Ok(false) };
        debug_assert_eq!(head.version, version);
        let next = Next { head, sealed: Some(sealed), is_new: true, ttl: request.lifetime };
        Ok(self.0.swap(request.name, Some(receipt), Some(&next))?.is_some())
    }
}

impl<C: Cells> Store for CellStore<C> {
    fn open(&self, request: &Open<'_>) -> Result<Opened, Fault> {
        let (opening, loaded, unique) = self.change(request.name, |loaded| {
            let opening = policy::open(loaded.head(), request, loaded.now);
            let write = match opening {
                Opening::Open { head, changed, is_new } => to_open(loaded, request, head, changed, is_new),
                _ => Write::Nothing,
            };
            Step { result: opening, write }
        })?;
        Ok(match opening {
            Opening::Missing(version) => Opened::Missing(version),
            Opening::Moved(version) => Opened::Moved(version),
            Opening::Busy(left) => Opened::Busy(left),
            Opening::Open { head, is_new, .. } => {
                let is_there = loaded.entry.is_some() || unique.is_some();
                let receipt = is_there.then_some(Receipt { head, unique: unique.unwrap_or(loaded.unique) });
                let sealed = loaded.entry.and_then(|entry| entry.sealed).filter(|_| !is_new);
                Opened::Found(Found { version: head.version, sealed, receipt })
            }
        })
    }

    fn close(&self, request: &Close<'_>) -> Result<Closed, Fault> {
        if self.write_at_once(request)? {
            return Ok(Closed::Done);
        }
        let (closed, ..) = self.change(request.name, |loaded| {
            let left = loaded.entry.as_ref().map_or(request.lifetime, |entry| entry.left);
            let closing = policy::close(loaded.head(), loaded.data().is_some(), request, loaded.now);
            let (result, write) = match (closing, request.change) {
                (Closing::Store(head), Change::Write { sealed, .. }) => {
                    (Closed::Done, Write::Data { head, sealed, ttl: request.lifetime })
                }
                (Closing::Store(_) | Closing::Nothing, _) => (Closed::Done, Write::Nothing),
                (Closing::Unlock(head), change) => {
                    (Closed::Done, Write::Head { head, ttl: refreshed(left, request.lifetime, change) })
                }
                (Closing::Remove, _) => (Closed::Done, Write::Remove),
                (Closing::Lost(None), _) => (Closed::Lost, Write::Nothing),
                (Closing::Lost(Some(head)), _) => (Closed::Lost, Write::Head { head, ttl: left }),
            };
            Step { result, write }
        })?;
        Ok(closed)
    }

    fn mirror(&self, name: &Name, version: u64, sealed: &[u8], lifetime: Duration) -> Result<bool, Fault> {
        let (stored, ..) = self.change(name, |loaded| match policy::mirror(loaded.head(), version) {
            Some(head) => Step { result: true, write: Write::Data { head, sealed, ttl: lifetime } },
            None => Step { result: false, write: Write::Nothing },
        })?;
        Ok(stored)
    }

    fn destroy(&self, name: &Name, tombstone: &Tombstone) -> Result<(), Fault> {
        let bury = |loaded: &Loaded| {
            let head = policy::destroy(loaded.head(), tombstone);
            Step { result: (), write: Write::Head { head, ttl: tombstone.ttl } }
        };
        self.change(name, bury).map(drop)
    }

    fn collect(&self) -> Result<u64, Fault> {
        self.0.collect()
    }

    fn count(&self) -> Result<Option<u64>, Fault> {
        self.0.count()
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

/// What opening writes: the lock, a new end of the session's life, both, or nothing.
fn to_open(loaded: &Loaded, request: &Open<'_>, head: Head, changed: bool, is_new: bool) -> Write<'static> {
    let left = loaded.entry.as_ref().map_or(Duration::ZERO, |entry| entry.left);
    match (is_new, changed) {
        // What was never written stays as long as its lock.
        (true, true) => Write::Head { head, ttl: request.lock.unwrap_or(request.lifetime) },
        (true, false) => Write::Nothing,
        (false, _) if loaded.data().is_none() => match changed {
            true => Write::Head { head, ttl: request.lock.unwrap_or(left).max(left) },
            false => Write::Nothing,
        },
        (false, false) if !policy::is_to_be_refreshed(left, request.lifetime) => Write::Nothing,
        (false, _) => Write::Head { head, ttl: refreshed(left, request.lifetime, Change::Refresh) },
    }
}

fn refreshed(left: Duration, lifetime: Duration, change: Change<'_>) -> Duration {
    let is_due = matches!(change, Change::Refresh) && policy::is_to_be_refreshed(left, lifetime);
    if is_due { lifetime } else { left }
}
