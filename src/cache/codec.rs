//! Values as bytes: compact, canonical, and safe to read from anywhere.
//!
//! Owns: the encoding and its limits. A reader never trusts a length: no count larger than the
//! bytes that are left is passed on, nesting is bounded, and bytes after the value are an error.
//! Refuses to do: compression, checksums, expiry; that is [`super::entry`]'s.
//!
//! One byte says type and, for what is common, also size:
//!
//! | byte | value |
//! |---|---|
//! | `00` `01` `02` | null, false, true |
//! | `03` | integer, zigzag LEB128 |
//! | `04` | float, 8 bytes little-endian |
//! | `05` | string: length, bytes |
//! | `06` `07` | list: count, values; map: count, (key, value)… |
//! | `08` | object: class (as string), count, (name, value)… |
//! | `09` | the host's serialization: length, bytes |
//! | `40`–`7f` | the integers 0–63 |
//! | `80`–`bf` | string of 0–63 bytes |
//! | `c0`–`df` `e0`–`ff` | list, map of 0–31 elements |
//!
//! Lengths and counts are LEB128. Map keys: `00`–`7f` string of so many bytes, `80`–`bf` the
//! integers 0–63, `c0` integer, `c1` longer string.

use super::value::{ArrayKey, Builder, Source};

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 256;

const NULL: u8 = 0x00;
const FALSE: u8 = 0x01;
const TRUE: u8 = 0x02;
const INT: u8 = 0x03;
const FLOAT: u8 = 0x04;
const STRING: u8 = 0x05;
const LIST: u8 = 0x06;
const MAP: u8 = 0x07;
const OBJECT: u8 = 0x08;
const SERIALIZED: u8 = 0x09;
const SMALL_INT: u8 = 0x40;
const SMALL_STRING: u8 = 0x80;
const SMALL_LIST: u8 = 0xC0;
const SMALL_MAP: u8 = 0xE0;
const KEY_SMALL_INT: u8 = 0x80;
const KEY_INT: u8 = 0xC0;
const KEY_STRING: u8 = 0xC1;

/// Why a value cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// It nests deeper than [`MAX_DEPTH`] (or refers to itself).
    TooDeep,
    /// It is larger than the limit.
    TooLarge,
    /// Something in it has no stored form: what it is.
    Unsupported(String),
}

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They end too early, go on too long, or hold a byte that means nothing.
    Malformed,
    /// They nest deeper than [`MAX_DEPTH`].
    TooDeep,
    /// They are well-formed, but the host cannot build what they describe.
    Rejected,
}

/// Writes values into a buffer.
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    limit: usize,
    depth: usize,
    objects: bool,
}

impl Encoder {
    /// An encoder that refuses to write more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self::reusing(Vec::new(), limit)
    }

    /// The same into a buffer whose memory is used again.
    pub fn reusing(mut buffer: Vec<u8>, limit: usize) -> Self {
        buffer.clear();
        Self { out: buffer, limit, depth: 0, objects: false }
    }

    /// Encodes `value`.
    ///
    /// # Errors
    /// What its [`Source::write`] met.
    pub fn encode(mut self, value: &(impl Source + ?Sized)) -> Result<Encoded, EncodeError> {
        value.write(&mut self)?;
        Ok(self.finish())
    }

    /// What was written: one value, if no call failed.
    pub fn finish(self) -> Encoded {
        Encoded { bytes: self.out, has_objects: self.objects }
    }

    /// Writes null.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`], as every method here.
    pub fn null(&mut self) -> Result<(), EncodeError> {
        self.byte(NULL)
    }

    /// Writes a boolean.
    ///
    /// # Errors
    /// See [`Encoder::null`].
    pub fn bool(&mut self, value: bool) -> Result<(), EncodeError> {
        self.byte(if value { TRUE } else { FALSE })
    }

    /// Writes an integer.
    ///
    /// # Errors
    /// See [`Encoder::null`].
    pub fn int(&mut self, value: i64) -> Result<(), EncodeError> {
        if let small @ 0..=63 = value {
            return self.byte(SMALL_INT + small as u8);
        }
        self.byte(INT)?;
        self.varint(zigzag(value))
    }

    /// Writes a float.
    ///
    /// # Errors
    /// See [`Encoder::null`].
    pub fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        self.byte(FLOAT)?;
        self.raw(&value.to_bits().to_le_bytes())
    }

    /// Writes a string.
    ///
    /// # Errors
    /// See [`Encoder::null`].
    pub fn string(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.head(SMALL_STRING, 63, STRING, bytes.len())?;
        self.raw(bytes)
    }

    /// Writes what the host serialized itself.
    ///
    /// # Errors
    /// See [`Encoder::null`].
    pub fn serialized(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.objects = true;
        self.byte(SERIALIZED)?;
        self.varint(bytes.len() as u64)?;
        self.raw(bytes)
    }

    /// Starts a list of `len` values, to be written next and followed by [`Encoder::end`].
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`] too.
    pub fn begin_list(&mut self, len: usize) -> Result<(), EncodeError> {
        self.enter()?;
        self.head(SMALL_LIST, 31, LIST, len)
    }

    /// Starts a map of `len` pairs of [`Encoder::key`] and value, followed by [`Encoder::end`].
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`] too.
    pub fn begin_map(&mut self, len: usize) -> Result<(), EncodeError> {
        self.enter()?;
        self.head(SMALL_MAP, 31, MAP, len)
    }

    /// Starts an object of `len` pairs of [`Encoder::property`] and value, followed by
    /// [`Encoder::end`].
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`] too.
    pub fn begin_object(&mut self, class: &[u8], len: usize) -> Result<(), EncodeError> {
        self.enter()?;
        self.objects = true;
        self.byte(OBJECT)?;
        self.name(class)?;
        self.varint(len as u64)
    }

    /// Writes the key of the next value of a map.
    ///
    /// # Errors
    /// See [`Encoder::null`].
    pub fn key(&mut self, key: ArrayKey<'_>) -> Result<(), EncodeError> {
        match key {
            ArrayKey::Bytes(bytes) => self.name(bytes),
            ArrayKey::Int(small @ 0..=63) => self.byte(KEY_SMALL_INT + small as u8),
            ArrayKey::Int(value) => {
                self.byte(KEY_INT)?;
                self.varint(zigzag(value))
            }
        }
    }

    /// Writes the name of the next value of an object.
    ///
    /// # Errors
    /// See [`Encoder::null`].
    pub fn property(&mut self, name: &[u8]) -> Result<(), EncodeError> {
        self.name(name)
    }

    /// Ends the innermost list, map or object.
    pub fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn enter(&mut self) -> Result<(), EncodeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(EncodeError::TooDeep) } else { Ok(()) }
    }

    fn head(&mut self, small: u8, most: usize, large: u8, len: usize) -> Result<(), EncodeError> {
        if len <= most {
            return self.byte(small + len as u8);
        }
        self.byte(large)?;
        self.varint(len as u64)
    }

    fn name(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() < 128 {
            self.byte(bytes.len() as u8)?;
        } else {
            self.byte(KEY_STRING)?;
            self.varint(bytes.len() as u64)?;
        }
        self.raw(bytes)
    }

    fn varint(&mut self, mut value: u64) -> Result<(), EncodeError> {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80)?;
            value >>= 7;
        }
        self.byte(value as u8)
    }

    fn byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        if self.out.len() >= self.limit {
            return Err(EncodeError::TooLarge);
        }
        self.out.push(byte);
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.out.len() + bytes.len() > self.limit {
            return Err(EncodeError::TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// An encoded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether reading them back runs the host's object machinery.
    pub has_objects: bool,
}

/// Encodes one value of at most `limit` bytes.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode(value: &(impl Source + ?Sized), limit: usize) -> Result<Encoded, EncodeError> {
    Encoder::new(limit).encode(value)
}

/// Writes the encoding of one integer over `out`; its length.
pub(super) fn encode_int(value: i64, out: &mut Vec<u8>) -> usize {
    let mut encoder = Encoder::reusing(std::mem::take(out), usize::MAX);
    // Without a limit nothing refuses.
    let _ = encoder.int(value);
    *out = encoder.out;
    out.len()
}

/// The integer that `bytes` encode, if they encode one.
pub(super) fn as_int(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [byte @ SMALL_INT..SMALL_STRING] => Some(i64::from(byte - SMALL_INT)),
        [INT, ..] => match decode(bytes, Objects::Refused, &mut super::value::Tree) {
            Ok(super::value::Value::Int(value)) => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// Whether `bytes` begin like the encoding of an array with something in it.
pub fn is_filled_array(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(&(LIST | MAP)) => true,
        Some(&byte) => byte > SMALL_LIST && byte != SMALL_MAP,
        None => false,
    }
}

/// Whether a decoder may build objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objects {
    /// The bytes are our own or were authenticated as holding objects.
    Allowed,
    /// They claim to hold none; if they do, somebody tampered with them.
    Refused,
}

/// Builds the value that `bytes` hold.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode<B: Builder>(bytes: &[u8], objects: Objects, builder: &mut B) -> Result<B::Value, DecodeError> {
    let mut decoder = Decoder { rest: bytes, builder, depth: 0, objects };
    let value = decoder.value()?;
    if decoder.rest.is_empty() { Ok(value) } else { Err(DecodeError::Malformed) }
}

struct Decoder<'a, 'b, B> {
    rest: &'a [u8],
    builder: &'b mut B,
    depth: usize,
    objects: Objects,
}

impl<'a, B: Builder> Decoder<'a, '_, B> {
    /// Inlined where elements are read, because most of them are short strings and small integers.
    #[inline]
    fn value(&mut self) -> Result<B::Value, DecodeError> {
        match self.byte()? {
            byte @ SMALL_STRING..SMALL_LIST => self.string(usize::from(byte - SMALL_STRING)),
            byte @ SMALL_INT..SMALL_STRING => Ok(self.builder.int(i64::from(byte - SMALL_INT))),
            byte => self.other(byte),
        }
    }

    fn other(&mut self, byte: u8) -> Result<B::Value, DecodeError> {
        match byte {
            NULL => Ok(self.builder.null()),
            FALSE => Ok(self.builder.bool(false)),
            TRUE => Ok(self.builder.bool(true)),
            INT => {
                let value = unzigzag(self.varint()?);
                Ok(self.builder.int(value))
            }
            FLOAT => {
                let bits = self.take(8)?.try_into().map_err(|_| DecodeError::Malformed)?;
                Ok(self.builder.float(f64::from_bits(u64::from_le_bytes(bits))))
            }
            STRING => {
                let len = self.length()?;
                self.string(len)
            }
            LIST => {
                let len = self.length()?;
                self.list(len)
            }
            MAP => {
                let len = self.length()?;
                self.map(len)
            }
            OBJECT | SERIALIZED if self.objects == Objects::Refused => Err(DecodeError::Rejected),
            OBJECT => self.object(),
            SERIALIZED => {
                let len = self.length()?;
                let bytes = self.take(len)?;
                self.builder.serialized(bytes)
            }
            byte @ SMALL_LIST..SMALL_MAP => self.list(usize::from(byte - SMALL_LIST)),
            byte @ SMALL_MAP.. => self.map(usize::from(byte - SMALL_MAP)),
            _ => Err(DecodeError::Malformed),
        }
    }

    #[inline]
    fn string(&mut self, len: usize) -> Result<B::Value, DecodeError> {
        let bytes = self.take(len)?;
        Ok(self.builder.string(bytes))
    }

    fn list(&mut self, len: usize) -> Result<B::Value, DecodeError> {
        self.enter(len)?;
        let mut list = self.builder.list(len);
        for _ in 0..len {
            let value = self.value()?;
            self.builder.push(&mut list, value);
        }
        self.depth -= 1;
        Ok(self.builder.array(list))
    }

    fn map(&mut self, len: usize) -> Result<B::Value, DecodeError> {
        self.enter(len)?;
        let mut map = self.builder.map(len);
        for _ in 0..len {
            let key = self.key()?;
            let value = self.value()?;
            self.builder.insert(&mut map, key, value);
        }
        self.depth -= 1;
        Ok(self.builder.array(map))
    }

    fn object(&mut self) -> Result<B::Value, DecodeError> {
        let class = self.name()?;
        let len = self.length()?;
        self.enter(len)?;
        let mut object = self.builder.object(class, len)?;
        for _ in 0..len {
            let name = self.name()?;
            let value = self.value()?;
            self.builder.property(&mut object, name, value);
        }
        self.depth -= 1;
        self.builder.finish(object)
    }

    #[inline]
    fn key(&mut self) -> Result<ArrayKey<'a>, DecodeError> {
        match self.byte()? {
            byte @ KEY_SMALL_INT..KEY_INT => Ok(ArrayKey::Int(i64::from(byte - KEY_SMALL_INT))),
            KEY_INT => Ok(ArrayKey::Int(unzigzag(self.varint()?))),
            byte => self.name_after(byte).map(ArrayKey::Bytes),
        }
    }

    fn name(&mut self) -> Result<&'a [u8], DecodeError> {
        let byte = self.byte()?;
        self.name_after(byte)
    }

    #[inline]
    fn name_after(&mut self, byte: u8) -> Result<&'a [u8], DecodeError> {
        let len = match byte {
            0..KEY_SMALL_INT => usize::from(byte),
            KEY_STRING => self.length()?,
            _ => return Err(DecodeError::Malformed),
        };
        self.take(len)
    }

    /// Goes one level down, if there can be `len` elements: each takes a byte at least.
    fn enter(&mut self, len: usize) -> Result<(), DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::Malformed);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(DecodeError::TooDeep) } else { Ok(()) }
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::super::value::{OwnedKey, Tree, Value};
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1 << 20;

    fn through(value: &Value) -> Value {
        decode(&encode(value, MIB).unwrap().bytes, Objects::Allowed, &mut Tree).unwrap()
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-5i64..80).prop_map(Value::Int),
            any::<f64>().prop_filter("NaN is not equal to itself", |f| !f.is_nan()).prop_map(Value::Float),
            bytes().prop_map(Value::Bytes),
            bytes().prop_map(Value::Serialized),
        ];
        leaf.prop_recursive(4, 64, 40, move |inner| {
            let key = prop_oneof![any::<i64>().prop_map(OwnedKey::Int), bytes().prop_map(OwnedKey::Bytes)];
            let pairs = proptest::collection::vec((key, inner.clone()), 0..40).prop_map(unique);
            let properties = proptest::collection::vec((bytes(), inner.clone()), 0..8);
            prop_oneof![
                proptest::collection::vec(inner, 0..40).prop_map(Value::list),
                pairs.prop_map(Value::Array),
                (bytes(), properties).prop_map(|(class, properties)| Value::Object { class, properties }),
            ]
        })
    }

    fn unique(pairs: Vec<(OwnedKey, Value)>) -> Vec<(OwnedKey, Value)> {
        let mut tree = Tree;
        let mut map = tree.map(0);
        for (key, value) in pairs {
            match key {
                OwnedKey::Int(index) => tree.insert(&mut map, ArrayKey::Int(index), value),
                OwnedKey::Bytes(bytes) => tree.insert(&mut map, ArrayKey::Bytes(&bytes), value),
            }
        }
        map
    }

    #[test]
    fn small_values_take_few_bytes() {
        let sizes = [
            (Value::Null, 1),
            (Value::Int(63), 1),
            (Value::Int(64), 3),
            (Value::Int(-1), 2),
            (Value::text("hello"), 6),
            (Value::list([Value::Int(1), Value::Int(2)]), 3),
            (Value::Array(vec![(OwnedKey::Bytes(b"id".to_vec()), Value::Int(7))]), 5),
        ];
        for (value, size) in sizes {
            assert_eq!(encode(&value, MIB).unwrap().bytes.len(), size, "{value:?}");
            assert_eq!(through(&value), value);
        }
    }

    #[test]
    fn every_bit_of_a_float_is_kept() {
        for bits in [0x7ff8_0000_0000_0001u64, (-0.0f64).to_bits(), f64::MIN_POSITIVE.to_bits()] {
            match through(&Value::Float(f64::from_bits(bits))) {
                Value::Float(back) => assert_eq!(back.to_bits(), bits),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn only_values_with_objects_are_said_to_have_some() {
        let object = Value::Object { class: b"stdClass".to_vec(), properties: vec![] };
        assert!(encode(&Value::list([object]), MIB).unwrap().has_objects);
        assert!(encode(&Value::Serialized(b"O:1:\"A\":0:{}".to_vec()), MIB).unwrap().has_objects);
        assert!(!encode(&Value::list([Value::text("O:8:\"stdClass\":0:{}")]), MIB).unwrap().has_objects);
    }

    #[test]
    fn objects_are_built_only_where_they_are_allowed() {
        let object = Value::Object { class: b"A".to_vec(), properties: vec![] };
        for value in [object.clone(), Value::Serialized(b"O:1:\"A\":0:{}".to_vec()), Value::list([object])] {
            let bytes = encode(&value, MIB).unwrap().bytes;
            assert_eq!(decode(&bytes, Objects::Refused, &mut Tree), Err(DecodeError::Rejected));
        }
    }

    #[test]
    fn depth_and_size_are_bounded_both_ways() {
        let nested = |depth| (0..depth).fold(Value::Null, |inner, _| Value::list([inner]));
        assert_eq!(through(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        assert_eq!(encode(&nested(MAX_DEPTH + 1), MIB), Err(EncodeError::TooDeep));
        let mut bytes = vec![SMALL_LIST + 1; 100_000];
        bytes.push(NULL);
        assert_eq!(decode(&bytes, Objects::Allowed, &mut Tree), Err(DecodeError::TooDeep));
        assert_eq!(encode(&Value::Bytes(vec![0; 100]), 100), Err(EncodeError::TooLarge));
    }

    #[test]
    fn a_count_that_cannot_be_true_is_refused_before_memory_is_taken() {
        for tag in [LIST, MAP, STRING, SERIALIZED] {
            let bytes = [tag, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, NULL];
            assert_eq!(decode(&bytes, Objects::Allowed, &mut Tree), Err(DecodeError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were(value in any_value()) {
            prop_assert_eq!(through(&value), value);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, Objects::Allowed, &mut Tree);
        }

        /// Damaged real encodings reach deeper than random bytes.
        #[test]
        fn no_damage_makes_it_panic(value in any_value(), at: prop::sample::Index, byte: u8, cut: bool) {
            let mut bytes = encode(&value, MIB).unwrap().bytes;
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at); } else { bytes[at] = byte; }
            let _ = decode(&bytes, Objects::Allowed, &mut Tree);
        }
    }
}
