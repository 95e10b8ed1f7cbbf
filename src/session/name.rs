//! What a session is called in a store.
//!
//! Whoever reads the store must not be able to take over the sessions in it, so it holds a keyed hash
//! of each id. The hash also keeps apart the sites that share a store: the same id, chosen by a
//! visitor of one, is another name in the other.

use std::fmt;

/// The longest id that is taken, as in PHP.
const LONGEST_ID: usize = 256;

const CONTEXT: &str = "slbp 2026-11 session names";

/// Hashes ids under a site's key.
#[derive(Clone)]
pub struct Namer {
    key: [u8; 32],
}

/// A session's name: 160 bits in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; 40]);

impl Namer {
    /// The names of the site that `realm` identifies, under what only this site knows.
    pub fn new(secret: Option<&[u8]>, realm: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        for part in [secret.unwrap_or(&[]), realm] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self { key: *hasher.finalize().as_bytes() }
    }

    /// The name of the session with `id`; `None` when PHP would not take that for one: it is empty,
    /// too long, or has other characters than letters, digits, comma and minus.
    pub fn name(&self, id: &[u8]) -> Option<Name> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b',' | b'-');
        if id.is_empty() || id.len() > LONGEST_ID || !id.iter().all(is_plain) {
            return None;
        }
        let hash = blake3::keyed_hash(&self.key, id);
        let mut hex = [0; 40];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(hash.as_bytes()) {
            pair.iter_mut().zip([byte >> 4, byte & 15]).for_each(|(digit, half)| *digit = hex_digit(half));
        }
        Some(Name(hex))
    }
}

fn hex_digit(half: u8) -> u8 {
    if half < 10 { b'0' + half } else { b'a' + half - 10 }
}

impl Name {
    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digits as text.
    pub fn as_str(&self) -> &str {
        // They are ASCII by construction.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_php_would_not_take_for_an_id_has_no_name() {
        let namer = Namer::new(None, b"");
        let long = [b'a'; 257];
        for odd in [&b""[..], b"a b", b"../../etc/passwd", b"a\0b", "\u{e9}".as_bytes(), &long] {
            assert_eq!(namer.name(odd), None, "{odd:?}");
        }
        assert!(namer.name(&long[1..]).is_some() && namer.name(b"AZaz09,-").is_some());
    }

    #[test]
    fn another_site_has_other_names_for_the_same_ids() {
        let names = [
            Namer::new(None, b"a").name(b"id"),
            Namer::new(None, b"b").name(b"id"),
            Namer::new(Some(b"key"), b"a").name(b"id"),
            Namer::new(Some(b"ke"), b"ya").name(b"id"),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_hexadecimal_and_says_nothing_of_the_id(id in "[A-Za-z0-9,-]{22,64}") {
            let name = Namer::new(None, b"").name(id.as_bytes()).unwrap();
            prop_assert!(name.as_str().len() == 40 && name.as_bytes().iter().all(u8::is_ascii_hexdigit));
            prop_assert!(!name.as_str().contains(&id));
        }
    }
}
