//! Which prefix lengths a lookup has to try.
//!
//! Owns: a word of hints per neighbourhood of addresses (an IPv4 /16, an IPv6 /32), in which the bit of
//! a length is set when the list has, or once had, such a network there. With them a lookup among
//! 100,000 networks asks for one or two lengths and not for all that the list has anywhere: two to five
//! times faster than without (`tests/bench/limiter.rs`). Networks larger than a neighbourhood stand in the
//! list's own cell, as do exact ids and patterns.
//!
//! A hint too many costs one look in vain, so several lists and sites may share a word, and nobody
//! clears one. A hint too few would be a hole in the list: it is set before the record is written.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use ipnet::IpNet;

use super::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::shm::{Cell, RegionKind, Segment};

/// IPv4 lengths from here on are hinted by neighbourhood.
const V4_NEIGHBOURHOOD: u8 = 16;
/// IPv6 lengths from here on are hinted by neighbourhood, three to a bit.
const V6_NEIGHBOURHOOD: u8 = 32;
const V6_LENGTHS_PER_BIT: u8 = 3;

/// Bits of a neighbourhood's word: 17 for IPv4 lengths 16-32, then 33 for IPv6 lengths 32-128.
const V6_FIRST_BIT: u8 = 17;

/// Bits of the list's own cell: 16 for IPv4 lengths 0-15, 32 for IPv6 lengths 0-31, then these.
const OWN_V6_FIRST_BIT: u8 = 16;
const V4_SOMEWHERE: u64 = 1 << 48;
const V6_SOMEWHERE: u64 = 1 << 49;
const EXACT: u64 = 1 << 50;
const PATTERNS: u64 = 1 << 51;

/// The hints of one list.
pub(super) struct Hints {
    own: Cell<'static>,
    words: &'static [AtomicU64],
    seed: u64,
}

/// What the list's own cell says: read once for a lookup.
#[derive(Clone, Copy)]
pub(super) struct Present(u64);

impl Present {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has_exact(self) -> bool {
        self.0 & EXACT != 0
    }

    pub(super) fn has_patterns(self) -> bool {
        self.0 & PATTERNS != 0
    }
}

impl Hints {
    /// The hints of the list whose own cell is `own`; `seed` spreads lists over the words.
    ///
    /// # Errors
    /// When the segment has no words for them: without any, a lookup would find nothing.
    pub(super) fn new(segment: &'static Segment, own: Cell<'static>, seed: u64) -> Result<Self> {
        let mut carver = segment.region(RegionKind::ListHints).carve();
        match carver.slice(carver.room_for::<AtomicU64>())? {
            [] => Err(Error::new(Kind::SharedMemory, "the segment has no room for hints of lists")),
            words => Ok(Self { own, words, seed }),
        }
    }

    pub(super) fn present(&self) -> Present {
        Present(self.own.load(Acquire))
    }

    /// Says that `entry` is, or is about to be, on the list.
    pub(super) fn note(&self, entry: &Entry) {
        let own = match entry {
            Entry::Exact(_) => EXACT,
            Entry::Pattern(..) => PATTERNS,
            Entry::Network(network) => self.note_network(network),
        };
        self.own.fetch_or(own, AcqRel);
    }

    fn note_network(&self, network: &IpNet) -> u64 {
        let length = network.prefix_len();
        let (bit, somewhere) = match network {
            IpNet::V4(_) if length < V4_NEIGHBOURHOOD => return 1 << length,
            IpNet::V6(_) if length < V6_NEIGHBOURHOOD => return 1 << (OWN_V6_FIRST_BIT + length),
            IpNet::V4(_) => (length - V4_NEIGHBOURHOOD, V4_SOMEWHERE),
            IpNet::V6(_) => (V6_FIRST_BIT + (length - V6_NEIGHBOURHOOD) / V6_LENGTHS_PER_BIT, V6_SOMEWHERE),
        };
        if let Some(word) = self.neighbourhood(&network.addr()) {
            word.fetch_or(1 << bit, AcqRel);
        }
        somewhere
    }

    /// The lengths of networks around `address` that the list may have, the longest first.
    pub(super) fn lengths(&self, present: Present, address: &IpAddr) -> impl Iterator<Item = u8> + use<> {
        let near = |somewhere| match self.neighbourhood(address) {
            Some(word) if present.0 & somewhere != 0 => word.load(Acquire),
            _ => 0,
        };
        let (near, near_first, per_bit, own) = match address {
            IpAddr::V4(_) => {
                (near(V4_SOMEWHERE) & low(V6_FIRST_BIT), V4_NEIGHBOURHOOD, 1, present.0 & low(16))
            }
            IpAddr::V6(_) => (
                near(V6_SOMEWHERE) >> V6_FIRST_BIT,
                V6_NEIGHBOURHOOD,
                V6_LENGTHS_PER_BIT,
                present.0 >> OWN_V6_FIRST_BIT & low(32),
            ),
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let of_bit = move |bit| {
            let first = near_first + bit * per_bit;
            (first..first + per_bit).rev().filter(move |length| *length <= longest)
        };
        set_bits(near).flat_map(of_bit).chain(set_bits(own))
    }

    fn neighbourhood(&self, address: &IpAddr) -> Option<&AtomicU64> {
        let prefix = match address {
            IpAddr::V4(four) => u64::from(four.to_bits() >> 16),
            IpAddr::V6(six) => (six.to_bits() >> 96) as u64 | 1 << 32,
        };
        // Fibonacci hashing (Knuth, TAOCP 6.4): the high half of the product is spread evenly.
        let spread = (prefix ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let position = (u128::from(spread) * self.words.len() as u128) >> 64;
        self.words.get(position as usize)
    }
}

const fn low(bits: u8) -> u64 {
    (1 << bits) - 1
}

/// The numbers of the set bits, the highest first.
fn set_bits(mut bits: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let highest = 63_u32.checked_sub(bits.leading_zeros())?;
        bits &= !(1 << highest);
        Some(highest as u8)
    })
}
