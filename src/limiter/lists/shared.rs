//! A list in shared memory.
//!
//! Networks are found by *hashed prefixes*: a network is a record under the hash of its length and
//! its bits, and a lookup asks once for every length that [`Hints`] name and the table's group counts
//! confirm. An empty list costs one load.
//!
//! Why not a prefix tree: a tree in shared memory needs a lock that its readers respect, or a copy in
//! every worker that is built again at each change. A hashed prefix is one record that changes
//! atomically, is seen by every worker at once, and costs the same however many there are. A private
//! tree answers sooner; `tests/bench/limiter.rs` has the figures beside the `prefix-trie` crate.
//!
//! The hash decides only where to look: a record that is found is compared with what was sought.

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::entry::name_of;
use super::hints::Hints;
use super::record::{Stored, encode};
use super::{Entry, Listed, ListedUntil};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::limiter::glob::Glob;
use crate::limiter::keys::Client;
use crate::shm::{Cell, Key, Record, RecordTable, Segment, Written};

/// Groups of one list, counted from its base: 0-32 IPv4 lengths, 33 exact ids, 34 patterns, from 35
/// on the IPv6 lengths. Lists may share groups: their counts only say where looking is worth while.
const EXACT_GROUP: u16 = 33;
const PATTERN_GROUP: u16 = 34;
const V6_GROUP: u16 = 35;
const GROUPS_OF_A_LIST: u16 = V6_GROUP + 129;

/// One list of one site.
pub struct SharedList {
    table: RecordTable<'static>,
    hints: Hints,
    /// Moves whenever a pattern comes or goes.
    pattern_generation: Cell<'static>,
    patterns: Mutex<Patterns>,
    keyed: SipHasher13,
    tag: u64,
    base: u16,
}

/// This process' compiled copy of the list's patterns.
#[derive(Default)]
struct Patterns {
    generation: u64,
    compiled: Arc<[(Glob, Option<u64>)]>,
}

impl SharedList {
    /// The list `name` of the site with the hash `site`.
    ///
    /// # Errors
    /// When the segment has no room for the list's cells.
    pub fn new(segment: &'static Segment, site: u128, name: &str) -> Result<Self> {
        let hasher = segment.hasher();
        let part = |what: &str| {
            hasher.key_of(&[b"limiter list", &site.to_le_bytes(), name.as_bytes(), what.as_bytes()])
        };
        let secret = part("keys").bits();
        let tag = part("tag").bits() as u64;
        let cells = segment.cells()?;
        Ok(Self {
            table: segment.records()?,
            hints: Hints::new(segment, cells.cell(part("present"))?, tag)?,
            pattern_generation: cells.cell(part("patterns"))?,
            patterns: Mutex::default(),
            keyed: SipHasher13::new_with_keys((secret >> 64) as u64, secret as u64),
            tag,
            base: (tag % u64::from(crate::shm::GROUPS as u16 - GROUPS_OF_A_LIST)) as u16,
        })
    }

    /// Until when `client`, whose id is `id`, is on the list.
    pub fn find(&self, client: &Client<'_>, id: &[u8], now: Timestamp) -> Option<ListedUntil> {
        let present = self.hints.present();
        if present.is_empty() {
            return None;
        }
        let now = now.secs();
        let found = match client {
            Client::Address(address) => self
                .hints
                .lengths(present, address)
                .filter_map(|length| IpNet::new(*address, length).ok())
                .filter(|network| self.has(group_of_network(network)))
                .find_map(|network| self.network(&network.trunc(), now)),
            Client::Named(id) if present.has_exact() && self.has(EXACT_GROUP) => {
                self.exact(name_of(id).as_bytes(), now)
            }
            Client::Named(_) => None,
        };
        let has_patterns = present.has_patterns() && self.has(PATTERN_GROUP);
        found.or_else(|| if has_patterns { self.pattern(client, id, now) } else { None })
    }

    /// Puts `listed` on the list, in the place of what it said of the same entry.
    ///
    /// # Errors
    /// When the table is full, or locked by a process that does not move.
    pub fn put(&self, listed: &Listed, now: Timestamp) -> Result<Written> {
        let group = self.base + group_of(&listed.entry);
        let expires = listed.expires.map(Timestamp::secs);
        let record = Record::new(self.key(&listed.entry), group, expires, &encode(self.tag, listed))?;
        self.hints.note(&listed.entry);
        let written = self.table.put(&record, now.secs())?;
        self.note_pattern(&listed.entry);
        Ok(written)
    }

    /// Takes `entry` off the list; whether it was on it.
    ///
    /// # Errors
    /// When the table is locked by a process that does not move.
    pub fn remove(&self, entry: &Entry, now: Timestamp) -> Result<bool> {
        let key = self.key(entry);
        let was_live = self.table.get(key, now.secs()).is_some();
        let removed = self.table.remove(key)?;
        self.note_pattern(entry);
        Ok(removed && was_live)
    }

    /// Everything on the list, the oldest first.
    pub fn entries(&self, now: Timestamp) -> Vec<Listed> {
        let mut entries = Vec::new();
        self.table.for_each(now.secs(), |record| {
            entries.extend(self.own(record).and_then(|stored| stored.listed(record.expires)));
        });
        entries.sort_by_cached_key(|listed| (listed.added, listed.entry.to_string()));
        entries
    }

    fn own<'a>(&self, record: &'a Record) -> Option<Stored<'a>> {
        Stored::read(record.payload()).filter(|stored| stored.tag == self.tag)
    }

    fn has(&self, group: u16) -> bool {
        self.table.len(self.base + group) > 0
    }

    fn network(&self, network: &IpNet, now: u64) -> Option<ListedUntil> {
        let record = self.table.get(self.network_key(network), now)?;
        let is_it = self.own(&record)?.network().as_ref() == Some(network);
        is_it.then_some(ListedUntil::from(record.expires))
    }

    fn exact(&self, id: &[u8], now: u64) -> Option<ListedUntil> {
        let record = self.table.get(self.text_key(EXACT_GROUP, id), now)?;
        let is_it = self.own(&record)?.is_exactly(id);
        is_it.then_some(ListedUntil::from(record.expires))
    }

    fn pattern(&self, client: &Client<'_>, id: &[u8], now: u64) -> Option<ListedUntil> {
        let patterns = self.compiled(now);
        let address = match client {
            Client::Address(address) => Some(address.to_string()),
            Client::Named(_) => None,
        };
        let text = address.as_deref().map_or(id, str::as_bytes);
        let live = |expires: &Option<u64>| expires.is_none_or(|expires| expires > now);
        let found = patterns.iter().find(|(glob, expires)| live(expires) && glob.matches(text));
        found.map(|(_, expires)| ListedUntil::from(*expires))
    }

    /// The generation is read before the records: a change in between is seen next time.
    fn compiled(&self, now: u64) -> Arc<[(Glob, Option<u64>)]> {
        let generation = self.pattern_generation.load(Acquire);
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        if patterns.generation != generation {
            let mut compiled = Vec::new();
            self.table.for_each(now, |record| {
                let pattern = self.own(record).filter(Stored::is_pattern).and_then(|stored| stored.entry());
                if let Some(Entry::Pattern(_, glob)) = pattern {
                    compiled.push((glob, record.expires));
                }
            });
            *patterns = Patterns { generation, compiled: compiled.into() };
        }
        patterns.compiled.clone()
    }

    fn note_pattern(&self, entry: &Entry) {
        if matches!(entry, Entry::Pattern(..)) {
            self.pattern_generation.fetch_add(1, Release);
        }
    }

    fn key(&self, entry: &Entry) -> Key {
        match entry {
            Entry::Network(network) => self.network_key(network),
            Entry::Exact(text) => self.text_key(EXACT_GROUP, text.as_bytes()),
            Entry::Pattern(text, _) => self.text_key(PATTERN_GROUP, text.as_bytes()),
        }
    }

    fn network_key(&self, network: &IpNet) -> Key {
        let mut hasher = self.keyed;
        hasher.write_u16(group_of_network(network));
        match network.addr() {
            IpAddr::V4(four) => hasher.write(&four.octets()),
            IpAddr::V6(six) => hasher.write(&six.octets()),
        }
        Key::from_bits(hasher.finish128().into())
    }

    fn text_key(&self, group: u16, text: &[u8]) -> Key {
        let mut hasher = self.keyed;
        hasher.write_u16(group);
        hasher.write(text);
        Key::from_bits(hasher.finish128().into())
    }
}

fn group_of(entry: &Entry) -> u16 {
    match entry {
        Entry::Network(network) => group_of_network(network),
        Entry::Exact(_) => EXACT_GROUP,
        Entry::Pattern(..) => PATTERN_GROUP,
    }
}

fn group_of_network(network: &IpNet) -> u16 {
    match network {
        IpNet::V4(four) => four.prefix_len().into(),
        IpNet::V6(six) => V6_GROUP + u16::from(six.prefix_len()),
    }
}
