//! Keys: 128 bits of keyed hash.
//!
//! Owns: turning what a domain calls a key (site, rule, client…) into the fixed-size [`Key`] that
//! the tables store. The hash is SipHash-2-4 with 128 bits of output under a random secret that is
//! drawn when a segment is created and lies in its header, so every process agrees, and a visitor
//! who chooses client ids can neither aim at a slot nor craft two ids that collide.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher24};

/// A hashed key. Two different inputs never give the same one in practice (2^-128 a pair).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Never zero, because a zero marks an empty place.
    pub(super) high: u64,
    pub(super) low: u64,
}

impl Key {
    /// The key with these bits (a high half of 0 becomes 1).
    pub const fn from_bits(bits: u128) -> Self {
        let high = (bits >> 64) as u64;
        Self { high: if high == 0 { 1 } else { high }, low: bits as u64 }
    }

    /// The 128 bits.
    pub const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }
}

/// Hashes keys with the segment's secret.
#[derive(Clone, Copy)]
pub struct Hasher {
    keyed: SipHasher24,
}

impl Hasher {
    pub(super) fn new(secret: [u64; 2]) -> Self {
        let [first, second] = secret;
        Self { keyed: SipHasher24::new_with_keys(first, second) }
    }

    /// The key of one byte string.
    pub fn key(&self, bytes: &[u8]) -> Key {
        let mut hasher = self.keyed;
        hasher.write(bytes);
        finish(&hasher)
    }

    /// The key of several byte strings. Their borders count: `["ab", "c"]` is not `["a", "bc"]`.
    pub fn key_of(&self, parts: &[&[u8]]) -> Key {
        let mut hasher = self.keyed;
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        finish(&hasher)
    }
}

fn finish(hasher: &SipHasher24) -> Key {
    let hash = hasher.finish128();
    Key::from_bits(u128::from(hash.h1) << 64 | u128::from(hash.h2))
}
