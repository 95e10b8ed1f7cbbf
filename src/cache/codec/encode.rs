//! Writing: calls that follow a value's shape, one after the other, into one buffer.

use super::super::value::{ArrayKey, Source};
use super::{
    FALSE, FLOAT, INT, KEY_INT, KEY_SMALL_INT, KEY_STRING, LIST, MAP, MAX_DEPTH, NULL, OBJECT, SERIALIZED,
    SMALL_INT, SMALL_LIST, SMALL_MAP, SMALL_STRING, STRING, TRUE, zigzag,
};

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
pub(in super::super) fn encode_int(value: i64, out: &mut Vec<u8>) -> usize {
    let mut encoder = Encoder::reusing(std::mem::take(out), usize::MAX);
    // Without a limit nothing refuses.
    let _ = encoder.int(value);
    *out = encoder.out;
    out.len()
}
