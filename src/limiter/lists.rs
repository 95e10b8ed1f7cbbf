//! Who is always refused, always let through, or banned.
//!
//! Owns: the three lists of a site, what may stand on them ([`Entry`]), and the protection of
//! addresses that must never be refused: loopback, trusted proxies and the server's own. Changes are
//! seen by every worker at once ([`shared`]). Refuses to do: keep a list beyond the segment; the host
//! stores [`Lists::export`] and gives it back to [`Lists::import`] when a segment is new.
//!
//! Entries that stand in the settings hold as well, in the process that read them; they are never
//! stored.

mod document;
mod entry;
mod hints;
mod record;
mod shared;

use std::net::IpAddr;

use ipnet::IpNet;

pub use entry::{Entry, MAX_ENTRY_BYTES, network};
use shared::SharedList;

use super::keys::Client;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::shm::{Segment, Written};

/// Longest source, in bytes.
pub const MAX_SOURCE_BYTES: usize = 16;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// Always let through, unless blacklisted.
    Whitelist,
    /// Always refused.
    Blacklist,
    /// Refused until the ban ends.
    Bans,
}

/// An entry with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it speaks of.
    pub entry: Entry,
    /// Why it is there, for a person. Cut to the 90 or so bytes that fit.
    pub reason: String,
    /// Who put it there: `admin`, `config`, `auto_ban`… At most [`MAX_SOURCE_BYTES`].
    pub source: String,
    /// When.
    pub added: Timestamp,
    /// Until when it holds; `None` for good.
    pub expires: Option<Timestamp>,
}

/// Until when a client is on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedUntil {
    /// Until this instant.
    Then(Timestamp),
    /// For good.
    Forever,
}

impl From<Option<u64>> for ListedUntil {
    fn from(expires: Option<u64>) -> Self {
        expires.map_or(Self::Forever, |seconds| Self::Then(Timestamp::from_secs(seconds)))
    }
}

/// Addresses that no list and no ban may refuse.
#[derive(Clone, Debug, Default)]
pub struct Protected(Vec<IpNet>);

impl Protected {
    /// Loopback and `networks`.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
        let loopback = LOOPBACK.iter().filter_map(|text| text.parse().ok());
        Self(loopback.chain(networks).collect())
    }

    /// Whether `address` is protected.
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    fn touched_by(&self, entry: &Entry) -> Option<&IpNet> {
        self.0.iter().find(|network| entry.overlaps(network))
    }

    fn refuse(&self, entry: &Entry) -> Result<()> {
        match self.touched_by(entry) {
            None => Ok(()),
            Some(network) => Err(Error::invalid(
                &format!("entry '{entry}'"),
                format!(
                    "covers {network} (loopback, a trusted proxy or this server), which cannot be blacklisted"
                ),
            )),
        }
    }
}

/// The lists of one site.
pub struct Lists {
    whitelist: List,
    blacklist: List,
    bans: List,
    protected: Protected,
}

struct List {
    shared: SharedList,
    fixed: Vec<Entry>,
}

impl List {
    fn find(&self, client: &Client<'_>, id: &[u8], now: Timestamp) -> Option<ListedUntil> {
        let fixed = self.fixed.iter().any(|entry| entry.covers(client, id));
        if fixed { Some(ListedUntil::Forever) } else { self.shared.find(client, id, now) }
    }
}

impl Lists {
    /// The lists of the site with the hash `site`; `whitelist` and `blacklist` are the settings'.
    ///
    /// # Errors
    /// Invalid argument when a blacklisted entry covers a protected address; an error of the segment
    /// when it has no room.
    pub fn new(
        segment: &'static Segment,
        site: u128,
        protected: Protected,
        whitelist: Vec<Entry>,
        blacklist: Vec<Entry>,
    ) -> Result<Self> {
        blacklist.iter().try_for_each(|entry| protected.refuse(entry))?;
        let list =
            |name, fixed| Ok::<_, Error>(List { shared: SharedList::new(segment, site, name)?, fixed });
        Ok(Self {
            whitelist: list("whitelist", whitelist)?,
            blacklist: list("blacklist", blacklist)?,
            bans: list("bans", Vec::new())?,
            protected,
        })
    }

    /// Until when `client`, whose id is `id`, is on the list. A protected address is on no list that
    /// refuses.
    pub fn find(
        &self,
        kind: ListKind,
        client: &Client<'_>,
        id: &[u8],
        now: Timestamp,
    ) -> Option<ListedUntil> {
        let found = self.list(kind).find(client, id, now)?;
        let refuses = kind != ListKind::Whitelist;
        let is_protected = refuses && matches!(client, Client::Address(ip) if self.protected.contains(ip));
        (!is_protected).then_some(found)
    }

    /// Whether `entry` may not stand on a list that refuses, because a protected address is in it: a
    /// neighbour in the /64 of a proxy or of this server, for one, cannot be banned without it.
    pub fn is_protected(&self, entry: &Entry) -> bool {
        self.protected.touched_by(entry).is_some()
    }

    /// Puts an entry on a list, for all workers.
    ///
    /// # Errors
    /// Invalid argument when it would refuse a protected address or its source is too long; an error
    /// of the segment when the table is full. Nothing has changed then.
    pub fn add(&self, kind: ListKind, listed: &Listed, now: Timestamp) -> Result<Written> {
        self.check(kind, listed)?;
        self.list(kind).shared.put(listed, now)
    }

    fn check(&self, kind: ListKind, listed: &Listed) -> Result<()> {
        if listed.source.len() > MAX_SOURCE_BYTES {
            return Err(Error::invalid("source", format!("expected at most {MAX_SOURCE_BYTES} bytes")));
        }
        if kind == ListKind::Whitelist { Ok(()) } else { self.protected.refuse(&listed.entry) }
    }

    /// Takes an entry off a list; whether it was on it.
    ///
    /// # Errors
    /// When the table is locked by a process that does not move.
    pub fn remove(&self, kind: ListKind, entry: &Entry, now: Timestamp) -> Result<bool> {
        self.list(kind).shared.remove(entry, now)
    }

    /// What stands on a list: the settings' entries (source `config`), then the stored ones, the
    /// oldest first.
    pub fn entries(&self, kind: ListKind, now: Timestamp) -> Vec<Listed> {
        let list = self.list(kind);
        let fixed = list.fixed.iter().map(|entry| Listed {
            entry: entry.clone(),
            reason: String::new(),
            source: "config".to_owned(),
            added: now,
            expires: None,
        });
        fixed.chain(list.shared.entries(now)).collect()
    }

    fn list(&self, kind: ListKind) -> &List {
        match kind {
            ListKind::Whitelist => &self.whitelist,
            ListKind::Blacklist => &self.blacklist,
            ListKind::Bans => &self.bans,
        }
    }
}
