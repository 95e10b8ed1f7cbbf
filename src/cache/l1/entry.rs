//! An entry as it lies in a shard's log.
//!
//! ```text
//! word 0   hash of the key (never SKIP)
//! word 1   key bytes (16 bits) | references (8) | flags (8) | body bytes (32)
//! word 2   site (16) | slot of the key (8) | unused (8) | milliseconds the value took to compute (32)
//! word 3   fingerprint of the generations it belongs to
//! word 4   fresh until, ms since the epoch (42; 0 = for ever) | grace after that, seconds (22)
//! then     references (16 bits each), key, body, each starting on a word
//! ```
//!
//! A reader sees these words while a writer may already overwrite them; so every size is checked
//! against the log before it is used, and nothing is believed until the shard's epoch is found
//! unchanged.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::meta::{Facts, Meta, Times};
use crate::shm::{load_bytes, store_bytes};

pub(super) const HEADER_WORDS: usize = 5;

/// In place of a hash: the log goes on at its start.
pub(super) const SKIP: u64 = u64::MAX;

/// The fixed part of an entry, unpacked.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub hash: u64,
    pub key_len: usize,
    pub refs: usize,
    pub flags: u8,
    pub body_len: usize,
    pub site: u16,
    pub slot: u8,
    pub cost: u32,
    pub fingerprint: u64,
    pub times: Times,
}

impl Header {
    pub(super) fn read(words: &[AtomicU64]) -> Option<Self> {
        let [hash, sizes, origin, fingerprint, times] = words.first_chunk::<HEADER_WORDS>()?;
        let (sizes, origin, times) = (sizes.load(Relaxed), origin.load(Relaxed), times.load(Relaxed));
        Some(Self {
            hash: hash.load(Relaxed),
            key_len: usize::from(sizes as u16),
            refs: usize::from((sizes >> 16) as u8),
            flags: (sizes >> 24) as u8,
            body_len: (sizes >> 32) as usize,
            site: origin as u16,
            slot: (origin >> 16) as u8,
            cost: (origin >> 32) as u32,
            fingerprint: fingerprint.load(Relaxed),
            times: Times::unpack(times),
        })
    }

    /// Words of the whole entry.
    pub(super) fn words(&self) -> usize {
        self.body_at() + self.body_len.div_ceil(8)
    }

    fn key_at(&self) -> usize {
        HEADER_WORDS + self.refs.div_ceil(4)
    }

    pub(super) fn body_at(&self) -> usize {
        self.key_at() + self.key_len.div_ceil(8)
    }

    /// Whether the entry in `words` is the one of `key`.
    pub(super) fn is_of(&self, words: &[AtomicU64], site: u16, key: &[u8]) -> bool {
        if self.site != site || self.key_len != key.len() {
            return false;
        }
        let Some(stored) = words.get(self.key_at()..self.body_at()) else { return false };
        let (whole, rest) = key.as_chunks::<8>();
        let (stored_whole, stored_rest) = stored.split_at(whole.len());
        let wholes_match =
            stored_whole.iter().zip(whole).all(|(s, k)| s.load(Relaxed) == u64::from_ne_bytes(*k));
        wholes_match && stored_rest.first().is_none_or(|word| word.load(Relaxed) == padded(rest))
    }

    /// The generation slots it depends on.
    pub(super) fn refs<'w>(&self, words: &'w [AtomicU64]) -> impl Iterator<Item = u16> + use<'w> {
        let words = words.get(HEADER_WORDS..).unwrap_or(&[]);
        (0..self.refs).map_while(|index| {
            let four = words.get(index / 4)?.load(Relaxed);
            Some((four >> (16 * (index % 4))) as u16)
        })
    }

    pub(super) fn facts(&self) -> Facts {
        Facts { fingerprint: self.fingerprint, times: self.times, cost: self.cost, flags: self.flags }
    }

    /// Copies the body to the start of `out`, which only grows; false when sizes make no sense.
    pub(super) fn copy_body(&self, words: &[AtomicU64], out: &mut Vec<u8>) -> bool {
        let Some(body) = words.get(self.body_at()..self.words()) else { return false };
        if out.len() < self.body_len {
            out.resize(self.body_len, 0);
        }
        out.get_mut(..self.body_len).is_some_and(|out| load_bytes(body, out))
    }
}

fn padded(rest: &[u8]) -> u64 {
    let mut raw = [0; 8];
    raw.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    u64::from_ne_bytes(raw)
}

/// An entry about to be written.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub hash: u64,
    pub slot: u8,
    pub site: u16,
    pub key: &'a [u8],
    pub meta: &'a Meta,
    pub body: &'a [u8],
}

impl Draft<'_> {
    pub(super) fn words(&self) -> usize {
        self.body_at() + self.body.len().div_ceil(8)
    }

    fn key_at(&self) -> usize {
        HEADER_WORDS + self.meta.refs.slots().len().div_ceil(4)
    }

    fn body_at(&self) -> usize {
        self.key_at() + self.key.len().div_ceil(8)
    }

    /// Writes itself to the start of `words`; false when it does not fit.
    pub(super) fn write(&self, words: &[AtomicU64]) -> bool {
        let slots = self.meta.refs.slots();
        let sizes = self.key.len() as u64
            | (slots.len() as u64) << 16
            | u64::from(self.meta.flags) << 24
            | (self.body.len() as u64) << 32;
        let fixed = [
            self.hash,
            sizes,
            u64::from(self.site) | u64::from(self.slot) << 16 | u64::from(self.meta.cost) << 32,
            self.meta.fingerprint,
            self.meta.times.pack(),
        ];
        words.iter().zip(fixed).for_each(|(word, value)| word.store(value, Relaxed));
        let (Some(refs), Some(key), Some(body)) = (
            words.get(HEADER_WORDS..self.key_at()),
            words.get(self.key_at()..self.body_at()),
            words.get(self.body_at()..self.words()),
        ) else {
            return false;
        };
        for (word, four) in refs.iter().zip(slots.chunks(4)) {
            let packed = four.iter().rev().fold(0u64, |packed, slot| packed << 16 | u64::from(*slot));
            word.store(packed, Relaxed);
        }
        store_bytes(key, self.key) && store_bytes(body, self.body)
    }
}
