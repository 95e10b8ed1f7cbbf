//! Keys: 128 bits of keyed hash.
//!
//! Owns: turning what a domain calls a key (site, rule, client…) into the fixed-size [`Key`] that
//! the tables store. The hash is SipHash-1-3 with 128 bits of output under a random secret that is
//! drawn when a segment is created and lies in its header, so every process agrees, and a visitor
//! who chooses client ids can neither aim at a slot nor craft two ids that collide: he sees neither
//! the secret nor any output. 48 bytes cost 22 ns; SipHash-2-4 36 ns, keyed BLAKE3 84 ns (tests/bench/shm.rs).

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher13};

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
    keyed: SipHasher13,
    multipliers: [u64; 4],
}

impl Hasher {
    pub(super) fn new(secret: [u64; 2]) -> Self {
        let [first, second] = secret;
        let keyed = SipHasher13::new_with_keys(first, second);
        let (one, two) = (keyed.hash(b"multipliers 1").as_u64(), keyed.hash(b"multipliers 2").as_u64());
        Self { keyed, multipliers: [one.0, one.1, two.0, two.1] }
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
        let mut buffer = Buffer { bytes: [0; 128], len: 0 };
        for part in parts {
            for bytes in [&(part.len() as u32).to_le_bytes()[..], part] {
                if !buffer.push(bytes) {
                    hasher.write(buffer.take());
                    hasher.write(bytes);
                }
            }
        }
        hasher.write(buffer.take());
        finish(&hasher)
    }

    /// The key of a number in a space (say, of an address prefix in a list): 2.4 ns instead of 20, for
    /// lookups that probe many keys. It multiplies under secret multipliers, which spreads keys as
    /// well but is no pseudo-random function: use it where nobody learns anything from an output.
    pub fn key_of_number(&self, space: Key, number: u128) -> Key {
        let (low, high) = (number as u64, (number >> 64) as u64);
        let [a, b, c, d] = self.multipliers;
        let first = fold(low ^ space.low ^ a, high ^ space.high ^ b);
        let second = fold(low ^ space.high ^ c, high ^ space.low ^ d);
        Key::from_bits(
            u128::from(fold(first ^ d, second ^ a)) << 64 | u128::from(fold(first ^ b, second ^ c)),
        )
    }
}

/// Both halves of a 128-bit product, folded: every input bit reaches every output bit.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// Gathers short parts, because hashing them one by one costs twice as much.
struct Buffer {
    bytes: [u8; 128],
    len: usize,
}

impl Buffer {
    /// Whether `part` fitted and was appended.
    fn push(&mut self, part: &[u8]) -> bool {
        match self.bytes.get_mut(self.len..self.len + part.len()) {
            Some(room) => {
                room.copy_from_slice(part);
                self.len += part.len();
                true
            }
            None => false,
        }
    }

    fn take(&mut self) -> &[u8] {
        let len = std::mem::take(&mut self.len);
        self.bytes.get(..len).unwrap_or(&[])
    }
}

fn finish(hasher: &SipHasher13) -> Key {
    let hash = hasher.finish128();
    Key::from_bits(u128::from(hash.h1) << 64 | u128::from(hash.h2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn hasher() -> Hasher {
        Hasher::new([0x0123_4567_89ab_cdef, 42])
    }

    proptest! {
        #[test]
        fn parts_differ_when_their_borders_do(text: Vec<u8>, cut in 0usize..300, other in 0usize..300) {
            let (cut, other) = (cut.min(text.len()), other.min(text.len()));
            let key = |at: usize| hasher().key_of(&[&text[..at], &text[at..]]);
            prop_assert_eq!(key(cut) == key(other), cut == other);
        }

        #[test]
        fn gathering_does_not_change_the_key(parts: Vec<Vec<u8>>) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let mut framed = Vec::new();
            for part in &parts {
                framed.extend_from_slice(&(part.len() as u32).to_le_bytes());
                framed.extend_from_slice(part);
            }
            prop_assert_eq!(hasher().key_of(&parts), hasher().key(&framed));
        }
    }

    #[test]
    fn a_long_part_among_short_ones_is_hashed_in_place() {
        let long = vec![7; 1000];
        let framed = [&[1, 0, 0, 0, b'a'][..], &[0xe8, 3, 0, 0], &long, &[1, 0, 0, 0, b'b']].concat();
        assert_eq!(hasher().key_of(&[b"a", &long, b"b"]), hasher().key(&framed));
    }

    #[test]
    fn neighbouring_numbers_spread_like_hashes() {
        // 2^16 neighbours over 2^16 places: a random function leaves e^-1 of the places empty.
        let space = hasher().key(b"list");
        for shift in [0, 16, 48, 96] {
            let keys = (0..1u128 << 16).map(|n| hasher().key_of_number(space, n << shift));
            let (low, high): (HashSet<_>, HashSet<_>) =
                keys.map(|key| (key.low & 0xffff, key.high >> 48)).unzip();
            for used in [low.len(), high.len()] {
                let empty = 1.0 - used as f64 / 65536.0;
                assert!((empty - 0.3679).abs() < 0.01, "shift {shift}: {empty}");
            }
        }
    }

    #[test]
    fn another_secret_gives_other_keys() {
        let other = Hasher::new([1, 42]);
        assert_ne!(hasher().key(b"x"), other.key(b"x"));
        let space = hasher().key(b"x");
        assert_ne!(hasher().key_of_number(space, 1), other.key_of_number(space, 1));
    }
}
