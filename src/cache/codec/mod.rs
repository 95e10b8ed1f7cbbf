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

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, Objects, decode, is_filled_array};
pub use encode::{EncodeError, Encoded, Encoder, encode};

pub(super) use decode::as_int;
pub(super) use encode::encode_int;

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

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
