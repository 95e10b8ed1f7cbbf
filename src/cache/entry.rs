//! An entry as it travels to Redis or Memcached: self-describing, checked, and signed where reading
//! it back would run code.
//!
//! ```text
//!  0  magic b5 1b            2  version            3  kind (counter 1, objects 2, lz4 4, signed 8)
//!  4  checksum (xxh3, 32 bits) of all that follows, a counter's digits excepted
//!  8  fingerprint           16  times             24  cost, ms        28  references (1 byte)
//! 29  references, 2 bytes each
//!  …  lz4: bytes of the plain body (4)
//!  …  signed: BLAKE3 under the site's key (32)
//!  …  body; a counter's is decimal digits, so that the store can add to it
//! ```
//!
//! All numbers are little-endian. Format, codec and compression may change at any time without a
//! flush: what is not of this version, not intact or not signed as it must be is a miss, and the
//! caller is told which ([`Refusal`]), because a forged entry is a security event.
//!
//! The signature covers the key too: an entry copied to another key is forged.
//!
//! A reservation is the first four bytes, of kind 16, and eight that no other reservation has. To
//! readers it is a miss; its writer can tell whether anybody else has written since.

use xxhash_rust::xxh3::xxh3_64;

use super::auth::{SIGNATURE_BYTES, Signer};
use super::codec;
use super::meta::{MAX_REFS, Meta, Refs, Times, flags};

const MAGIC: [u8; 2] = [0xB5, 0x1B];
const VERSION: u8 = 1;
const LZ4: u8 = 4;
const SIGNED: u8 = 8;
const FIXED: usize = 29;
const RESERVATION: [u8; 4] = [MAGIC[0], MAGIC[1], VERSION, flags::RESERVED];
const RESERVATION_BYTES: usize = RESERVATION.len() + size_of::<u64>();
const CHECKED_FROM: usize = 8;

/// No body is unpacked to more than this.
const MAX_PLAIN: usize = 64 << 20;

/// How entries are made.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// Bodies of at least so many bytes are compressed, if that saves a tenth.
    pub compress_from: usize,
}

impl Default for Packing {
    fn default() -> Self {
        Self { compress_from: 1024 }
    }
}

/// Why bytes are not an entry that may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not ours, or of another version.
    Foreign,
    /// Ours once, but not intact.
    Damaged,
    /// It holds objects and its signature is not the site's.
    Forged,
    /// It holds objects and is not signed, or there is no key to check it with.
    Unsigned,
    /// A reservation: nothing is stored here yet.
    Reserved,
}

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is known of the value.
    pub meta: Meta,
    /// The encoded value.
    pub body: Vec<u8>,
}

/// The entry of `body` under `key`; `None` when it holds objects and there is no key to sign it with.
pub fn seal(
    key: &[u8],
    meta: &Meta,
    body: &[u8],
    signer: Option<&Signer>,
    packing: Packing,
) -> Option<Vec<u8>> {
    let counter = codec::as_int(body);
    let has_objects = meta.flags & flags::OBJECTS != 0;
    let packed = if counter.is_some() { None } else { compress(body, packing) };
    let signer = if has_objects { Some(signer?) } else { None };
    let kind = (meta.flags & flags::OBJECTS)
        | counter.map_or(0, |_| flags::COUNTER)
        | packed.as_ref().map_or(0, |_| LZ4)
        | signer.map_or(0, |_| SIGNED);

    let mut out = Vec::with_capacity(FIXED + 2 * MAX_REFS + SIGNATURE_BYTES + 8 + body.len());
    out.extend_from_slice(&[MAGIC[0], MAGIC[1], VERSION, kind, 0, 0, 0, 0]);
    out.extend_from_slice(&meta.fingerprint.to_le_bytes());
    out.extend_from_slice(&meta.times.pack().to_le_bytes());
    out.extend_from_slice(&meta.cost.to_le_bytes());
    out.push(meta.refs.slots().len() as u8);
    meta.refs.slots().iter().for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
    if packed.is_some() {
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    }
    let digits = counter.map(|value| value.to_string().into_bytes());
    let stored = digits.as_deref().or(packed.as_deref()).unwrap_or(body);
    if let Some(signer) = signer {
        let signature = signer.sign(&[key, out.get(..4)?, out.get(CHECKED_FROM..)?, stored]);
        out.extend_from_slice(&signature);
    }
    let head = out.len();
    out.extend_from_slice(stored);
    let checked = if counter.is_some() { out.get(CHECKED_FROM..head) } else { out.get(CHECKED_FROM..) };
    let checksum = (xxh3_64(checked?) as u32).to_le_bytes();
    out.get_mut(4..8)?.copy_from_slice(&checksum);
    Some(out)
}

/// What stands in for a value that somebody is about to store; no two with different `id`s are equal.
pub fn reservation(id: u64) -> Vec<u8> {
    [&RESERVATION[..], &id.to_le_bytes()].concat()
}

/// Reads the entry that was found under `key`.
///
/// # Errors
/// A [`Refusal`]: to the reader the key is missing.
pub fn open(key: &[u8], bytes: &[u8], signer: Option<&Signer>) -> Result<Entry, Refusal> {
    let head = Head::read(bytes)?;
    let body = bytes.get(head.body_at..).ok_or(Refusal::Damaged)?;
    let checked = if head.is(flags::COUNTER) {
        bytes.get(CHECKED_FROM..head.body_at)
    } else {
        bytes.get(CHECKED_FROM..)
    };
    if xxh3_64(checked.ok_or(Refusal::Damaged)?) as u32 != head.checksum {
        return Err(Refusal::Damaged);
    }
    if head.is(flags::OBJECTS) {
        verify(key, bytes, &head, body, signer)?;
    }
    let body = if head.is(flags::COUNTER) {
        integer(body).ok_or(Refusal::Damaged)?
    } else if head.is(LZ4) {
        decompress(body, head.plain_len).ok_or(Refusal::Damaged)?
    } else {
        body.to_vec()
    };
    Ok(Entry { meta: head.meta, body })
}

/// What precedes the digits of a counter's entry; `None` when it is no counter's. A store adds to
/// the digits of an entry that begins with these bytes.
pub fn counter_head(bytes: &[u8]) -> Option<&[u8]> {
    let head = Head::read(bytes).ok()?;
    if head.is(flags::COUNTER) { bytes.get(..head.body_at) } else { None }
}

fn verify(
    key: &[u8],
    bytes: &[u8],
    head: &Head,
    body: &[u8],
    signer: Option<&Signer>,
) -> Result<(), Refusal> {
    let (Some(signer), true) = (signer, head.is(SIGNED)) else { return Err(Refusal::Unsigned) };
    let signed_to = head.body_at - SIGNATURE_BYTES;
    let (Some(kind), Some(fixed), Some(signature)) =
        (bytes.get(..4), bytes.get(CHECKED_FROM..signed_to), bytes.get(signed_to..head.body_at))
    else {
        return Err(Refusal::Damaged);
    };
    if signer.verifies(&[key, kind, fixed, body], signature) { Ok(()) } else { Err(Refusal::Forged) }
}

/// The part before the body.
struct Head {
    kind: u8,
    checksum: u32,
    meta: Meta,
    plain_len: usize,
    body_at: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() == RESERVATION_BYTES && bytes.starts_with(&RESERVATION) {
            return Err(Refusal::Reserved);
        }
        let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(Refusal::Foreign)?;
        let [m0, m1, version, kind, c0, c1, c2, c3, rest_of_fixed @ ..] = fixed;
        if [*m0, *m1] != MAGIC || *version != VERSION {
            return Err(Refusal::Foreign);
        }
        let (fingerprint, times) = rest_of_fixed.split_first_chunk::<8>().ok_or(Refusal::Foreign)?;
        let (times, cost) = times.split_first_chunk::<8>().ok_or(Refusal::Foreign)?;
        let (cost, count) = cost.split_first_chunk::<4>().ok_or(Refusal::Foreign)?;
        let count = usize::from(*count.first().ok_or(Refusal::Foreign)?);
        let mut slots = [0u16; MAX_REFS];
        for (slot, raw) in slots.iter_mut().zip(rest.as_chunks::<2>().0) {
            *slot = u16::from_le_bytes(*raw);
        }
        let refs = slots.get(..count).and_then(Refs::from_slots).ok_or(Refusal::Damaged)?;
        let mut body_at = FIXED + 2 * count;
        let mut plain_len = 0;
        if kind & LZ4 != 0 {
            let raw =
                bytes.get(body_at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Refusal::Damaged)?;
            plain_len = u32::from_le_bytes(*raw) as usize;
            body_at += 4;
        }
        if kind & SIGNED != 0 {
            body_at += SIGNATURE_BYTES;
        }
        let meta = Meta {
            fingerprint: u64::from_le_bytes(*fingerprint),
            times: Times::unpack(u64::from_le_bytes(*times)),
            cost: u32::from_le_bytes(*cost),
            flags: kind & (flags::COUNTER | flags::OBJECTS),
            refs,
        };
        Ok(Self { kind: *kind, checksum: u32::from_le_bytes([*c0, *c1, *c2, *c3]), meta, plain_len, body_at })
    }

    fn is(&self, bit: u8) -> bool {
        self.kind & bit != 0
    }
}

fn compress(body: &[u8], packing: Packing) -> Option<Vec<u8>> {
    if body.len() < packing.compress_from || body.len() > MAX_PLAIN {
        return None;
    }
    let packed = lz4_flex::block::compress(body);
    (packed.len() <= body.len() / 10 * 9).then_some(packed)
}

/// LZ4 cannot make more than 255 bytes out of one, so a larger claim is a lie.
fn decompress(packed: &[u8], plain_len: usize) -> Option<Vec<u8>> {
    if plain_len > MAX_PLAIN || plain_len / 255 > packed.len() {
        return None;
    }
    lz4_flex::block::decompress(packed, plain_len).ok().filter(|plain| plain.len() == plain_len)
}

/// The encoding of an integer written in decimal, as a store leaves it after adding to it.
fn integer(digits: &[u8]) -> Option<Vec<u8>> {
    let value: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let mut out = Vec::new();
    codec::encode_int(value, &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::codec::{Objects, decode, encode};
    use super::super::value::{Tree, Value};
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;
    use std::time::Duration;

    fn meta(flags: u8) -> Meta {
        let times = Times::until(Timestamp::from_secs(2_000_000_000), Duration::from_secs(60));
        Meta {
            fingerprint: 0x0123_4567_89ab_cdef,
            times,
            cost: 12,
            flags,
            refs: Refs::new(7, [300, 301]).unwrap(),
        }
    }

    fn body(value: &Value) -> Vec<u8> {
        encode(value, 1 << 20).unwrap().bytes
    }

    fn sealed(value: &Value, flags: u8, signer: Option<&Signer>) -> Option<Vec<u8>> {
        seal(b"key", &meta(flags), &body(value), signer, Packing::default())
    }

    #[test]
    fn an_entry_comes_back_with_all_that_is_known_of_it() {
        for value in [Value::Null, Value::text("text"), Value::Bytes(vec![b'x'; 100_000])] {
            let bytes = sealed(&value, 0, None).unwrap();
            assert_eq!(open(b"key", &bytes, None), Ok(Entry { meta: meta(0), body: body(&value) }));
        }
        assert!(
            sealed(&Value::Bytes(vec![b'x'; 100_000]), 0, None).unwrap().len() < 1000,
            "it is compressed"
        );
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        let noise: Vec<u8> = (0..4000u32).map(|n| xxh3_64(&n.to_le_bytes()) as u8).collect();
        assert!(sealed(&Value::Bytes(noise), 0, None).unwrap().len() > 4000);
    }

    #[test]
    fn a_counter_can_be_added_to_by_the_store() {
        let bytes = sealed(&Value::Int(-41), 0, None).unwrap();
        let head = counter_head(&bytes).unwrap();
        assert_eq!(&bytes[head.len()..], b"-41");
        let added = [head, b"9223372036854775807"].concat();
        assert_eq!(open(b"key", &added, None).unwrap().body, body(&Value::Int(i64::MAX)));
        for wrong in [&b"9223372036854775808"[..], b"", b"1 ", b"1.5"] {
            assert_eq!(open(b"key", &[head, wrong].concat(), None), Err(Refusal::Damaged));
        }
        assert_eq!(counter_head(&sealed(&Value::text("5"), 0, None).unwrap()), None);
    }

    #[test]
    fn objects_are_served_only_under_the_sites_own_signature() {
        let (ours, theirs) = (Signer::new(b"our salts"), Signer::new(b"their salts"));
        let object = Value::Object { class: b"A".to_vec(), properties: vec![] };
        assert_eq!(sealed(&object, flags::OBJECTS, None), None, "no key, no entry");
        let bytes = sealed(&object, flags::OBJECTS, Some(&ours)).unwrap();
        assert_eq!(open(b"key", &bytes, Some(&ours)).unwrap().body, body(&object));
        assert_eq!(open(b"key", &bytes, Some(&theirs)), Err(Refusal::Forged));
        assert_eq!(open(b"other", &bytes, Some(&ours)), Err(Refusal::Forged), "moved to another key");
        assert_eq!(open(b"key", &bytes, None), Err(Refusal::Unsigned));
    }

    /// Without its flag an entry need not be signed, but then no object is built from it.
    #[test]
    fn taking_the_flag_off_does_not_help_a_forger() {
        let object = Value::Object { class: b"A".to_vec(), properties: vec![] };
        let forged = seal(b"key", &meta(0), &body(&object), None, Packing::default()).unwrap();
        let entry = open(b"key", &forged, Some(&Signer::new(b"salts"))).unwrap();
        assert_eq!(entry.meta.flags & flags::OBJECTS, 0);
        assert!(decode(&entry.body, Objects::Refused, &mut Tree).is_err());
    }

    #[test]
    fn foreign_bytes_are_foreign() {
        for bytes in [&b""[..], b"a:1:{i:0;i:1;}", b"\x00\x00\x00\x02\x14\x01\x06\x01", &[0xB5, 0x1B, 9, 0]] {
            assert_eq!(open(b"key", bytes, None), Err(Refusal::Foreign));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = open(b"key", &bytes, None);
        }

        /// One bit anywhere, even under a new checksum, and no value comes of it.
        #[test]
        fn no_damage_goes_unseen(at: prop::sample::Index, bit in 0u8..8, resealed: bool, len in 1usize..300) {
            let signer = Signer::new(b"salts");
            let object = Value::Object { class: b"A".to_vec(), properties: vec![] };
            let value = Value::list([object, Value::Bytes(vec![b'x'; len])]);
            let mut bytes = sealed(&value, flags::OBJECTS, Some(&signer)).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if resealed && at >= 8 || at == 3 {
                let checksum = (xxh3_64(&bytes[CHECKED_FROM..]) as u32).to_le_bytes();
                bytes[4..8].copy_from_slice(&checksum);
            }
            let value = open(b"key", &bytes, Some(&signer)).ok().and_then(|entry| {
                let objects = if entry.meta.flags & flags::OBJECTS != 0 { Objects::Allowed } else { Objects::Refused };
                decode(&entry.body, objects, &mut Tree).ok()
            });
            prop_assert_eq!(value, None);
        }
    }
}
