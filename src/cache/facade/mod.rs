//! The cache as its host sees it.
//!
//! Owns: the order of the layers and when each may be believed. Everything else is in the modules
//! it puts together.
//!
//! - Shared memory alone is always believed.
//! - With Redis it is believed while the link is alive on which Redis pushes invalidations
//!   ([`super::listener`]); one slow answer of its changes nothing about that.
//! - With Memcached it is believed once the request has seen, in its first round trip, what others
//!   have written.
//! - While the second layer is away, this host is an island: what was there before is not believed,
//!   and what it stores lives for [`ISLAND_TTL`] only. What it deletes meanwhile is written down and
//!   deleted in the second layer before that is believed again.
//!
//! What is read to be written anew takes a token along ([`Cache::read_for_write`]), so that it can be
//! refused when somebody else was quicker.
//!
//! A value is written to the second layer first and then removed from shared memory, from where
//! readers fetch it anew. Storing it in both would have Redis' push of the same write remove it.

mod outage;
mod read;
mod remember;
mod stats;
mod token;
mod write;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

pub use read::Value;
pub use remember::{Computation, Lookup, RememberOptions};
pub use stats::{LayerStats, Snapshot};
pub use token::Token;

use super::auth::Signer;
use super::backing::Backing;
use super::backing::memcached::MemcachedBacking;
use super::backing::redis::RedisBacking;
use super::entry::Packing;
use super::keys::Key;
use super::l1::{self, L1, Site};
use super::listener::{self, Post};
use super::meta::{Facts, Refs, Times};
use super::settings::{Backend, Settings};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::shm::{Owner, Segment};
use remember::Held;
use stats::Tally;

/// How long what an island stores is served: no longer than a lost link goes unnoticed.
const ISLAND_TTL: Duration = Duration::from_secs(1);

/// How long the link that pushes invalidations may be silent and still count as alive.
pub(super) const LINK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a request may go by what it has seen at its beginning.
const SYNC_PATIENCE: Duration = Duration::from_secs(1);

/// How long shared memory serves what the second layer keeps for longer, as a last bound.
const LOCAL_TTL: Duration = Duration::from_secs(3600);

/// What the cache gets from its host.
pub struct Host {
    /// The memory that the workers share.
    pub segment: &'static Segment,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which site this is: opaque, and best with a secret in it.
    pub site: Vec<u8>,
    /// Whether this process may run the thread that listens to Redis: a worker may, a short-lived
    /// command may not.
    pub may_listen: bool,
    /// What payloads with objects are signed with: the site's salts. Without them such payloads stay
    /// in shared memory.
    pub secret: Option<Vec<u8>>,
}

/// When a value expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// When the settings say.
    Default,
    /// Never.
    Never,
    /// After that time.
    After(Duration),
    /// It has already: storing it deletes what is there.
    Past,
}

impl Expiry {
    /// Seconds as callers give them: `None` is the default, 0 never, negative the past.
    pub fn from_seconds(seconds: Option<i64>) -> Self {
        match seconds {
            None => Self::Default,
            Some(0) => Self::Never,
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) => Self::After(Duration::from_secs(seconds)),
                Err(_) => Self::Past,
            },
        }
    }
}

/// A value that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the encoded value, at the start of the buffer that was given.
    pub len: usize,
    /// What is known of it.
    pub facts: Facts,
    /// Whether its time is over and it is served under its grace.
    pub stale: bool,
}

/// Shared memory, the store behind it, and the rules between them.
pub struct Cache {
    host: Host,
    settings: Settings,
    l1: L1<'static>,
    site: Site<'static>,
    shared: Option<Shared>,
    /// What to listen to, where this process may.
    post: Option<Post>,
    signer: Option<Signer>,
    owner: Owner,
    tally: Tally,
    /// When this request has last seen what others changed.
    synced: Cell<Option<Timestamp>>,
    /// The joined key, so that a read allocates nothing.
    name: RefCell<Vec<u8>>,
    /// Leases for values that are being computed.
    held: RefCell<Vec<Held>>,
    random: Cell<u64>,
}

/// The second layer and what guards it.
struct Shared {
    backing: Box<dyn Backing>,
    believed: Belief,
}

/// What makes shared memory believable in front of a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// The link on which the store pushes invalidations.
    Link,
    /// Asking once per request.
    Request,
}

/// Whether shared memory may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Local {
    Believed,
    /// Only what was stored since the second layer went away.
    Island,
    Bypassed,
}

impl Cache {
    /// Opens the cache of `host`'s site. Connections are opened when first needed.
    ///
    /// # Errors
    /// A shared-memory error when the segment has no room for the site.
    pub fn open(host: Host, settings: Settings) -> Result<Self> {
        let now = host.clock.now();
        let l1 = L1::open(host.segment, settings.site_share)?;
        let site = l1
            .site(&host.site, now)
            .ok_or_else(|| Error::new(Kind::SharedMemory, "no room for another site in the cache"))?;
        let shared = match &settings.backend {
            Backend::Shm => None,
            Backend::Redis(redis) => {
                let clock = Arc::clone(&host.clock);
                let backing = RedisBacking::new(redis, &settings.prefix, host.segment, clock)?;
                Some(Shared { backing: Box::new(backing), believed: Belief::Link })
            }
            Backend::Memcached(memcached) => {
                let clock = Arc::clone(&host.clock);
                let backing = MemcachedBacking::new(memcached, &settings.prefix, host.segment, clock)?;
                Some(Shared { backing: Box::new(backing), believed: Belief::Request })
            }
        };
        let post = match &settings.backend {
            Backend::Redis(redis) if host.may_listen => Some(Post {
                segment: host.segment,
                clock: Arc::clone(&host.clock),
                site: host.site.clone(),
                redis: redis.clone(),
                prefix: settings.prefix.clone(),
                patience: LINK_PATIENCE,
            }),
            _ => None,
        };
        Ok(Self {
            post,
            signer: host.secret.as_deref().map(Signer::new),
            random: Cell::new(seed(now)),
            tally: Tally::new(host.segment),
            owner: Owner::current(),
            synced: Cell::new(None),
            name: RefCell::default(),
            held: RefCell::default(),
            host,
            settings,
            l1,
            site,
            shared,
        })
    }

    /// What the cache was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A new request begins: what others have changed is to be asked for again, and somebody has to
    /// listen.
    pub fn begin_request(&self) {
        self.synced.set(None);
        if let Some(post) = &self.post
            && !self.site.is_linked(self.now(), LINK_PATIENCE)
        {
            listener::ensure(post);
        }
    }

    /// The request is over: counts are written where all workers' are, and nobody has to wait for
    /// a computation that never came back.
    pub fn end_request(&self) {
        self.release_all();
        self.tally.flush();
    }

    fn now(&self) -> Timestamp {
        self.host.clock.now()
    }

    /// Whether what others changed is known. A long request has to ask again.
    fn is_synced(&self, now: Timestamp) -> bool {
        self.synced.get().is_some_and(|then| now.since(then) < SYNC_PATIENCE)
    }

    fn local(&self, now: Timestamp) -> Local {
        let Some(shared) = &self.shared else { return Local::Believed };
        let is_current = match shared.believed {
            Belief::Link => self.site.is_linked(now, LINK_PATIENCE),
            Belief::Request => self.is_synced(now),
        };
        match (self.site.is_island(), is_current) {
            (true, _) => Local::Island,
            (false, true) => Local::Believed,
            (false, false) => Local::Bypassed,
        }
    }

    /// The generations on which a value of `key` with `tags` depends.
    fn refs(&self, key: Key<'_>, tags: &[&[u8]]) -> Result<Refs> {
        let group = l1::group_slot(key.group);
        Refs::new(group, tags.iter().map(|tag| l1::tag_slot(tag)))
            .ok_or_else(|| Error::invalid("tags", format!("expected at most 31, got {}", tags.len())))
    }

    fn ttl(&self, expiry: Expiry) -> Option<Duration> {
        match expiry {
            Expiry::Default => self.settings.expiration,
            Expiry::Never => None,
            Expiry::After(ttl) => Some(ttl),
            Expiry::Past => Some(Duration::ZERO),
        }
    }

    fn packing(&self) -> Packing {
        Packing { compress_from: self.settings.compress_from }
    }

    /// How long shared memory may serve a value with `times` now.
    fn local_times(&self, times: Times, local: Local, now: Timestamp) -> Times {
        match (&self.shared, local) {
            (None, _) => times,
            (Some(_), Local::Island) => times.capped(now.plus(ISLAND_TTL)),
            (Some(_), _) => times.capped(now.plus(LOCAL_TTL)),
        }
    }
}

/// Workers of different hosts may have the same process id and begin at the same moment.
fn seed(now: Timestamp) -> u64 {
    getrandom::u64().unwrap_or_else(|_| now.nanos() ^ u64::from(std::process::id()) << 32) | 1
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.end_request();
    }
}
