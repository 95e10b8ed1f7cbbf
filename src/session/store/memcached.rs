//! Sessions in Memcached: one item each, head and data together, swapped by its unique number.
//!
//! The lock lies in the item, so taking it moves the unique number, and whoever was overtaken cannot
//! write any more. Opening is two exchanges with a lock and one without, closing is one.
//!
//! Locks go by the clocks of the hosts, which must agree to within a part of the lock's lifetime. An
//! item is at most 1 MB (`-I`). A server that runs full evicts sessions, and one that restarts has
//! lost its own.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::cells::{Cells, Entry, Loaded, Next};
use super::{Kind, Receipt, Token};
use crate::clock::Clock;
use crate::error::Result as CrateResult;
use crate::remote::memcached::protocol::{Item, Mode, Reply, Request, expiry, is_plain};
use crate::remote::memcached::{MemcachedLink, SharedLink};
use crate::remote::settings::MemcachedSettings;
use crate::remote::{Fault, FaultKind};
use crate::session::name::Name;
use crate::session::policy::{Head, State};
use crate::session::store::guarded;
use crate::shm::Segment;

/// Marks an item as ours, in this layout.
const MAGIC: u8 = 0xA1;

const HAS_DATA: u8 = 1;
const DESTROYED: u8 = 2;
const MOVED: u8 = 4;

/// Magic, flags, version, token, end of the lock, end of the session.
const HEAD: usize = 2 + 8 + 16 + 8 + 8;

/// The sessions whose items begin with a prefix.
pub struct MemcachedCells {
    link: SharedLink,
    prefix: String,
    clock: Arc<dyn Clock>,
    name: String,
}

impl MemcachedCells {
    /// The sessions in the servers that `settings` name, each behind the host's breaker.
    ///
    /// # Errors
    /// A shared-memory error when there is no room for the breakers.
    pub fn new(
        settings: &MemcachedSettings,
        segment: &'static Segment,
        clock: Arc<dyn Clock>,
    ) -> CrateResult<Self> {
        let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
        let breakers = servers.iter().map(|server| guarded::breaker(segment, &format!("memcached {server}")));
        let breakers = breakers.collect::<CrateResult<Vec<_>>>()?;
        let open = || MemcachedLink::new(settings.clone(), breakers, Arc::clone(&clock));
        let link = MemcachedLink::shared(settings, open);
        let name = format!("memcached {}", servers.join(","));
        Ok(Self { link, prefix: settings.prefix.clone(), clock, name })
    }

    fn item(&self, name: &Name) -> Vec<u8> {
        let plain = [self.prefix.as_bytes(), name.as_bytes()].concat();
        if is_plain(&plain) { plain } else { format!("~{}", blake3::hash(&plain).to_hex()).into_bytes() }
    }

    fn ask(&self, request: Request) -> Result<Reply, Fault> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let routed = link.route(request);
        let reply = link.batch(&[routed]).pop();
        reply.unwrap_or_else(|| Err(Fault::new(FaultKind::Protocol, "no reply")))
    }

    fn millis(&self) -> u64 {
        self.clock.now().nanos() / 1_000_000
    }
}

impl Cells for MemcachedCells {
    fn load(&self, name: &Name) -> Result<Loaded, Fault> {
        let reply = self.ask(Request::get(&self.item(name)))?;
        let now = self.millis();
        match reply {
            Reply::Missing => Ok(Loaded { now, unique: 0, entry: None }),
            Reply::Found(item) => match read(&item, now) {
                Some(entry) => Ok(Loaded { now, unique: item.unique, entry: Some(entry) }),
                None => Err(Fault::new(
                    FaultKind::Command,
                    "memcached has something else where a session should be",
                )),
            },
            other => Err(refused(&other)),
        }
    }

    fn swap(&self, name: &Name, was: Option<Receipt>, next: Option<&Next<'_>>) -> Result<Option<u64>, Fault> {
        let key = self.item(name);
        let request = match (next, was) {
            (None, None) => return Ok(Some(0)),
            (None, Some(was)) => Request::delete_unchanged(&key, was.unique),
            (Some(next), was) => {
                let mode = was.map_or(Mode::Add, |was| Mode::Unchanged(was.unique));
                let until = self.millis().saturating_add(next.ttl.as_millis() as u64);
                let expiry = expiry(Some(next.ttl), self.clock.now());
                Request::store_and_tell(&key, &write(next, until), expiry, mode)
            }
        };
        match self.ask(request)? {
            Reply::Found(item) => Ok(Some(item.unique)),
            Reply::Done => Ok(Some(0)),
            Reply::Missing if next.is_none() => Ok(Some(0)),
            Reply::Refused | Reply::Missing => Ok(None),
            other => Err(refused(&other)),
        }
    }

    /// Memcached forgets what has expired itself.
    fn collect(&self) -> Result<u64, Fault> {
        Ok(0)
    }

    /// Memcached cannot tell.
    fn count(&self) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn refused(reply: &Reply) -> Fault {
    let said = match reply {
        Reply::Failed(said) => said.clone(),
        other => format!("an answer to something else: {other:?}"),
    };
    Fault::new(FaultKind::Command, format!("memcached: {said}"))
}

fn write(next: &Next<'_>, until: u64) -> Vec<u8> {
    let state = match next.head.state {
        State::Live => 0,
        State::Dead(Kind::Destroyed) => DESTROYED,
        State::Dead(Kind::Moved) => MOVED,
    };
    let flags = state | if next.sealed.is_some() { HAS_DATA } else { 0 };
    let sealed = next.sealed.unwrap_or(&[]);
    let mut bytes = Vec::with_capacity(HEAD + sealed.len());
    bytes.extend_from_slice(&[MAGIC, flags]);
    bytes.extend_from_slice(&next.head.version.to_le_bytes());
    bytes.extend_from_slice(&next.head.token.0.to_le_bytes());
    bytes.extend_from_slice(&next.head.until.to_le_bytes());
    bytes.extend_from_slice(&until.to_le_bytes());
    bytes.extend_from_slice(sealed);
    bytes
}

/// The session in an item; `None` when it is none of ours.
fn read(item: &Item, now: u64) -> Option<Entry> {
    let (head, sealed) = item.value.split_at_checked(HEAD)?;
    let (marks, head) = head.split_at_checked(2)?;
    let &[MAGIC, flags] = marks else { return None };
    let (version, head) = head.split_first_chunk::<8>()?;
    let (token, head) = head.split_first_chunk::<16>()?;
    let (until, head) = head.split_first_chunk::<8>()?;
    let ends = u64::from_le_bytes(*head.first_chunk::<8>()?);
    let state = match flags & (DESTROYED | MOVED) {
        0 => State::Live,
        DESTROYED => State::Dead(Kind::Destroyed),
        _ => State::Dead(Kind::Moved),
    };
    Some(Entry {
        head: Head {
            version: u64::from_le_bytes(*version),
            token: Token(u128::from_le_bytes(*token)),
            until: u64::from_le_bytes(*until),
            state,
        },
        sealed: (flags & HAS_DATA != 0).then(|| sealed.to_vec()),
        left: Duration::from_millis(ends.saturating_sub(now)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn items_come_back_and_others_are_none(version: u64, token: u128, until: u64, data: Option<Vec<u8>>, junk: Vec<u8>) {
            for state in [State::Live, State::Dead(Kind::Destroyed), State::Dead(Kind::Moved)] {
                let head = Head { version, token: Token(token), until, state };
                let next = Next { head, sealed: data.as_deref(), is_new: true, ttl: Duration::ZERO };
                let item = Item { value: write(&next, 9_000), ..Item::default() };
                let entry = read(&item, 2_000).unwrap();
                prop_assert_eq!((entry.head, entry.sealed, entry.left), (head, data.clone(), Duration::from_secs(7)));
            }
            if junk.first() != Some(&MAGIC) {
                let item = Item { value: junk, ..Item::default() };
                prop_assert!(read(&item, 0).is_none());
            }
        }
    }
}
