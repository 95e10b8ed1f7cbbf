//! How an entry lies in a record of the shared table.
//!
//! Layout: tag (8 bytes: site and list), time added (4, Unix seconds), kind (1), then three texts,
//! each with its length before it: entry, source, reason. A network is its prefix length and its
//! bytes. A reason that does not fit is cut; an entry and a source never are.

use std::net::IpAddr;

use ipnet::IpNet;

use super::entry::Entry;
use super::{Listed, MAX_SOURCE_BYTES};
use crate::clock::Timestamp;
use crate::limiter::glob::Glob;
use crate::shm::PAYLOAD_BYTES;

const NETWORK: u8 = 1;
const EXACT: u8 = 2;
const PATTERN: u8 = 3;

pub(super) fn encode(tag: u64, listed: &Listed) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAYLOAD_BYTES);
    bytes.extend(tag.to_le_bytes());
    bytes.extend(u32::try_from(listed.added.secs()).unwrap_or(u32::MAX).to_le_bytes());
    match &listed.entry {
        Entry::Network(network) => {
            let mut text = vec![network.prefix_len()];
            match network.addr() {
                IpAddr::V4(four) => text.extend(four.octets()),
                IpAddr::V6(six) => text.extend(six.octets()),
            }
            bytes.push(NETWORK);
            push(&mut bytes, &text);
        }
        Entry::Exact(text) => {
            bytes.push(EXACT);
            push(&mut bytes, text.as_bytes());
        }
        Entry::Pattern(text, _) => {
            bytes.push(PATTERN);
            push(&mut bytes, text.as_bytes());
        }
    }
    push(&mut bytes, cut(&listed.source, MAX_SOURCE_BYTES).as_bytes());
    let room = PAYLOAD_BYTES.saturating_sub(bytes.len() + 1);
    push(&mut bytes, cut(&listed.reason, room).as_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.push(text.len() as u8);
    bytes.extend(text);
}

/// At most `room` bytes of `text`, ending between two characters.
fn cut(text: &str, room: usize) -> &str {
    text.get(..text.floor_char_boundary(room)).unwrap_or(text)
}

/// A record, looked at where it lies.
pub(super) struct Stored<'a> {
    pub(super) tag: u64,
    added: u32,
    kind: u8,
    entry: &'a [u8],
    source: &'a [u8],
    reason: &'a [u8],
}

impl<'a> Stored<'a> {
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let (tag, rest) = payload.split_first_chunk::<8>()?;
        let (added, rest) = rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first()?;
        let (entry, rest) = text(rest)?;
        let (source, rest) = text(rest)?;
        let (reason, _) = text(rest)?;
        let (tag, added) = (u64::from_le_bytes(*tag), u32::from_le_bytes(*added));
        Some(Self { tag, added, kind: *kind, entry, source, reason })
    }

    pub(super) fn network(&self) -> Option<IpNet> {
        let (length, octets) = self.entry.split_first().filter(|_| self.kind == NETWORK)?;
        let address = match octets.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        };
        IpNet::new(address, *length).ok()
    }

    pub(super) fn is_exactly(&self, id: &[u8]) -> bool {
        self.kind == EXACT && self.entry == id
    }

    pub(super) fn is_pattern(&self) -> bool {
        self.kind == PATTERN
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        let text = || str::from_utf8(self.entry).map(str::to_owned).ok();
        match self.kind {
            NETWORK => self.network().map(Entry::Network),
            EXACT => text().map(Entry::Exact),
            _ => text().map(|text| Entry::Pattern(text.clone(), Glob::wildcard(&text))),
        }
    }

    pub(super) fn listed(&self, expires: Option<u64>) -> Option<Listed> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Listed {
            entry: self.entry()?,
            reason: text(self.reason),
            source: text(self.source),
            added: Timestamp::from_secs(self.added.into()),
            expires: expires.map(Timestamp::from_secs),
        })
    }
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}
