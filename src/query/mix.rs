//! The hash of fingerprints: the same in every process and version, because ids are shown and stored.
//!
//! Folded multiplication, eight bytes at a time. It is no cryptography: statements are written by the
//! site's own code, and two that collide would only be counted together.

const START: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIER: u64 = 0xd6e8_feb8_6659_fd93;

/// A hash being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mix(u64);

impl Mix {
    pub const fn new() -> Self {
        Self(START)
    }

    /// Adds `bytes`; where one call ends and the next begins counts.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.word(u64::from_le_bytes(*chunk));
        }
        let tail = rest.iter().rev().fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
        self.word(tail ^ (bytes.len() as u64) << 56);
    }

    /// Adds a number.
    #[inline]
    pub fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        self.0 = ((product >> 64) as u64 ^ product as u64).wrapping_add(START);
    }

    pub fn finish(self) -> u64 {
        let mut last = self;
        last.word(MULTIPLIER);
        last.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(parts: &[&[u8]]) -> u64 {
        let mut mix = Mix::new();
        parts.iter().for_each(|part| mix.add(part));
        mix.finish()
    }

    proptest! {
        #[test]
        fn other_bytes_and_other_borders_are_another_hash(bytes: Vec<u8>, other: Vec<u8>, cut in 1usize..40) {
            prop_assert_eq!(of(&[&bytes]) == of(&[&other]), bytes == other);
            let cut = cut.min(bytes.len());
            let (head, tail) = bytes.split_at(cut);
            prop_assert_ne!(of(&[&bytes]), of(&[head, tail]));
        }
    }

    #[test]
    fn ids_do_not_change_between_versions() {
        assert_eq!(of(&[b"SELECT", b"?"]), of(&[b"SELECT", b"?"]));
        assert_eq!(format!("{:016x}", of(&[b"SELECT", b"?"])), "8bab601f530632bf");
    }
}
