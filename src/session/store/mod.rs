//! Where sessions are kept.
//!
//! Owns: what a store must be able to do, in four calls that each are one exchange where the store
//! allows it. Refuses to do: know ids, secrets or what the data means; wait.
//!
//! | store | open | close | lock and version |
//! |---|---|---|---|
//! | shared memory | a copy under a robust lock | the same | in the slot |
//! | Redis | 1 script | 1 script | in the session's hash |
//! | Memcached | `mg`, `ms` on its unique number | `ms` on that of the first | in the item |
//! | database | `SELECT`, `UPDATE` if unchanged | `UPDATE` if unchanged | in the row |
//!
//! The three that are no scripts share one implementation ([`cells`]).

mod arena;
pub mod cells;
pub mod database;
pub mod guarded;
pub mod memcached;
pub mod redis;
pub mod shm;

use std::time::Duration;

use super::name::Name;
use super::policy::Head;
use crate::remote::Fault;

/// Who holds a lock: 128 random bits, drawn anew each time a session is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u128);

impl Token {
    /// Nobody's.
    pub const NOBODY: Self = Self(0);

    /// A new one. Where the system gives no random bits it is made of the time and the process:
    /// nobody guesses it who does not see the store.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            let now = std::time::UNIX_EPOCH.elapsed().map_or(1, |now| now.as_nanos());
            return Self(now << 32 | u128::from(std::process::id()));
        }
        Self(u128::from_le_bytes(bytes).max(1))
    }

    /// Its digits, as stores keep it; empty for nobody's.
    pub fn to_hex(self) -> String {
        if self == Self::NOBODY { String::new() } else { format!("{:032x}", self.0) }
    }

    /// The token with these digits.
    pub fn from_hex(text: &str) -> Self {
        u128::from_str_radix(text, 16).map_or(Self::NOBODY, Self)
    }
}

/// How a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For good; the same id may begin a new one.
    Destroyed,
    /// It has another id now. Who still comes with the old one sees an empty session and saves nothing.
    Moved,
}

/// A session that is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// Which.
    pub name: &'a Name,
    /// Who asks.
    pub token: Token,
    /// How long the lock lives; `None` takes none.
    pub lock: Option<Duration>,
    /// Whether one is made that is not there.
    pub create: bool,
    /// How long it lives from now on.
    pub lifetime: Duration,
}

/// What opening gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// There is none. The version is that of its tombstone, or 0.
    Missing(u64),
    /// It has another id now; the version is that of its tombstone.
    Moved(u64),
    /// Somebody else holds the lock for that long at most.
    Busy(Duration),
    /// Here it is.
    Found(Found),
}

/// An open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The version to be named when it is closed.
    pub version: u64,
    /// Its sealed data; `None` when it is new.
    pub sealed: Option<Vec<u8>>,
    /// What the store wants to see again.
    pub receipt: Option<Receipt>,
}

/// What a store knew of a session when it opened it, so that it need not look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The head.
    pub head: Head,
    /// Memcached's unique number.
    pub unique: u64,
}

/// What is to become of a session.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// New data under a new version.
    Write {
        /// Greater than any before.
        version: u64,
        /// Sealed.
        sealed: &'a [u8],
    },
    /// It lives on unchanged.
    Refresh,
    /// Only the lock is given back.
    Release,
}

/// A session that is to be closed.
#[derive(Clone, Copy, Debug)]
pub struct Close<'a> {
    /// Which.
    pub name: &'a Name,
    /// Who opened it.
    pub token: Token,
    /// The version it had then.
    pub seen: u64,
    /// What opening it gave.
    pub receipt: Option<Receipt>,
    /// What is to be done.
    pub change: Change<'a>,
    /// How long it lives from now on.
    pub lifetime: Duration,
}

/// What closing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Done.
    Done,
    /// Somebody else wrote or ended it meanwhile; nothing was written.
    Lost,
}

/// What an ended session leaves.
#[derive(Clone, Copy, Debug)]
pub struct Tombstone {
    /// At least this version.
    pub version: u64,
    /// How it ended.
    pub kind: Kind,
    /// How long it stays.
    pub ttl: Duration,
}

/// Where sessions are kept. Every call is bounded in time.
pub trait Store: Send {
    /// Looks for a session, locks it, reads it and prolongs it.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer, or refuses; so in all methods.
    fn open(&self, request: &Open<'_>) -> Result<Opened, Fault>;

    /// Writes or prolongs a session and gives its lock back, if nobody else came in between.
    fn close(&self, request: &Close<'_>) -> Result<Closed, Fault>;

    /// Stores a copy that was written elsewhere, unless a newer one is here; whether it was stored.
    fn mirror(&self, name: &Name, version: u64, sealed: &[u8], lifetime: Duration) -> Result<bool, Fault>;

    /// Ends a session: data and lock go together.
    fn destroy(&self, name: &Name, tombstone: &Tombstone) -> Result<(), Fault>;

    /// Removes what has expired, at most a few thousand; how many. 0 where the store does so itself.
    fn collect(&self) -> Result<u64, Fault>;

    /// How many sessions there are; `None` where that cannot be told without stopping everybody.
    fn count(&self) -> Result<Option<u64>, Fault>;

    /// What it is, for messages: no password in it.
    fn name(&self) -> &str;
}
