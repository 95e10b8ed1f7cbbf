//! How a session's data is stored: what it is, and proof that it is ours.
//!
//! PHP builds objects from session data, so whoever can write to the store could run code. Where the
//! site has a secret, the data is signed (keyed BLAKE3) together with the session's name and version:
//! it is not taken from another session, nor from an earlier time. Data that was stored unsigned
//! is refused then. Data over 2 KB is compressed (LZ4) where that gains a tenth.

use std::borrow::Cow;

use super::name::Name;

const CONTEXT: &str = "slbp 2026-11 session data";
const PLAIN: u8 = 0x51;
const SIGNED: u8 = 0x52;
const COMPRESSED: u8 = 0x04;
const MAC: usize = 16;

/// From here on compressing is worth a try.
const WORTH_COMPRESSING: usize = 2 << 10;

/// The most bytes a session may have.
pub const LARGEST: usize = 4 << 20;

/// Bytes that sealing adds at most.
pub const OVERHEAD: usize = 1 + MAC;

/// Seals and opens data under a site's secret, if it has one.
#[derive(Clone)]
pub struct Sealer {
    key: Option<[u8; 32]>,
}

impl Sealer {
    /// The sealer of who knows `secret`.
    pub fn new(secret: Option<&[u8]>) -> Self {
        Self { key: secret.map(|secret| blake3::derive_key(CONTEXT, secret)) }
    }

    /// `data` as it is stored.
    pub fn seal(&self, name: &Name, version: u64, data: &[u8]) -> Vec<u8> {
        let (body, packed) = match compressed(data) {
            Some(packed) => (Cow::Owned(packed), COMPRESSED),
            None => (Cow::Borrowed(data), 0),
        };
        let mut sealed = Vec::with_capacity(body.len() + OVERHEAD);
        match &self.key {
            None => sealed.push(PLAIN | packed),
            Some(key) => {
                sealed.push(SIGNED | packed);
                sealed.extend_from_slice(&mac(key, name, version, SIGNED | packed, &body));
            }
        }
        sealed.extend_from_slice(&body);
        sealed
    }

    /// The data in `sealed`; `None` when it is not ours or not intact.
    pub fn open(&self, name: &Name, version: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        let (first, rest) = sealed.split_first()?;
        let body = match &self.key {
            None => (first & !COMPRESSED == PLAIN).then_some(rest)?,
            Some(key) => {
                let (told, body) = rest.split_at_checked(MAC)?;
                let ours = mac(key, name, version, *first, body);
                let is_ours = first & !COMPRESSED == SIGNED && is_same(told, &ours);
                is_ours.then_some(body)?
            }
        };
        if first & COMPRESSED == 0 { Some(body.to_vec()) } else { decompressed(body) }
    }
}

fn mac(key: &[u8; 32], name: &Name, version: u64, format: u8, body: &[u8]) -> [u8; MAC] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(name.as_bytes()).update(&version.to_le_bytes()).update(&[format]).update(body);
    let mut mac = [0; MAC];
    mac.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    mac
}

/// Compares without telling by its time where the difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

fn compressed(data: &[u8]) -> Option<Vec<u8>> {
    if data.len() < WORTH_COMPRESSING {
        return None;
    }
    let packed = lz4_flex::compress_prepend_size(data);
    (packed.len() <= data.len() / 10 * 9).then_some(packed)
}

fn decompressed(body: &[u8]) -> Option<Vec<u8>> {
    let size = body.first_chunk::<4>().map(|size| u32::from_le_bytes(*size) as usize)?;
    if size > LARGEST {
        return None;
    }
    lz4_flex::decompress_size_prepended(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::name::Namer;
    use proptest::prelude::*;

    fn name(id: &str) -> Name {
        Namer::new(None, b"").name(id.as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_sealed_comes_back(data in proptest::collection::vec(any::<u8>(), 0..6000), repeat in 1usize..4, signed: bool) {
            let sealer = Sealer::new(signed.then_some(b"secret"));
            let data = data.repeat(repeat);
            let sealed = sealer.seal(&name("a"), 7, &data);
            prop_assert!(sealed.len() <= data.len() + OVERHEAD);
            prop_assert_eq!(sealer.open(&name("a"), 7, &sealed), Some(data));
        }

        #[test]
        fn whatever_lies_in_the_store_does_no_harm(bytes: Vec<u8>, first in prop_oneof![Just(PLAIN), Just(SIGNED), Just(PLAIN | COMPRESSED), any::<u8>()]) {
            let poisoned = [&[first][..], &bytes].concat();
            prop_assert_eq!(Sealer::new(Some(b"secret")).open(&name("a"), 7, &poisoned), None);
            let _ = Sealer::new(None).open(&name("a"), 7, &poisoned);
        }
    }

    #[test]
    fn signed_data_belongs_to_one_session_at_one_time() {
        let sealer = Sealer::new(Some(b"secret"));
        let sealed = sealer.seal(&name("a"), 7, b"admin|b:1;");
        assert_eq!(sealer.open(&name("b"), 7, &sealed), None, "another session's");
        assert_eq!(sealer.open(&name("a"), 8, &sealed), None, "an earlier one");
        let unsigned = Sealer::new(None).seal(&name("a"), 7, b"admin|b:1;");
        assert_eq!(sealer.open(&name("a"), 7, &unsigned), None, "unsigned");
        assert_eq!(Sealer::new(Some(b"other")).open(&name("a"), 7, &sealed), None);
    }

    #[test]
    fn a_size_that_lies_gets_no_memory() {
        let bomb = [&[PLAIN | COMPRESSED][..], &u32::MAX.to_le_bytes(), &[0; 16]].concat();
        assert_eq!(Sealer::new(None).open(&name("a"), 1, &bomb), None);
    }
}
