//! Reading: one pass over bytes that nobody vouches for, into whatever a [`Builder`] makes of them.

use super::super::value::{ArrayKey, Builder, Tree, Value};
use super::{
    FALSE, FLOAT, INT, KEY_INT, KEY_SMALL_INT, KEY_STRING, LIST, MAP, MAX_DEPTH, NULL, OBJECT, SERIALIZED,
    SMALL_INT, SMALL_LIST, SMALL_MAP, SMALL_STRING, STRING, TRUE, unzigzag,
};

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

/// The integer that `bytes` encode, if they encode one.
pub(in super::super) fn as_int(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [byte @ SMALL_INT..SMALL_STRING] => Some(i64::from(byte - SMALL_INT)),
        [INT, ..] => match decode(bytes, Objects::Refused, &mut Tree) {
            Ok(Value::Int(value)) => Some(value),
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
