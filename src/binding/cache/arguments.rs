//! Arguments that only the caching classes have.

use std::borrow::Cow;

use ext_php_rs::convert::{FromZval, FromZvalMut, StubLiteral};
use ext_php_rs::ffi::zend_empty_array;
use ext_php_rs::flags::DataType;
use ext_php_rs::types::{ZendHashTable, Zval};

use crate::binding::convert::zend::{Elements, Key, bytes_of};
use crate::cache::value::ArrayKey;

/// A `?bool &$found = null` parameter.
pub struct Found<'a>(Option<&'a mut Zval>);

impl Found<'_> {
    /// Tells the caller.
    pub fn tell(self, found: bool) {
        if let Some(zval) = self.0 {
            zval.set_bool(found);
        }
    }
}

impl<'a> FromZvalMut<'a> for Found<'a> {
    const TYPE: DataType = DataType::Bool;
    const NULLABLE: bool = true;
    const BY_REF: bool = true;

    fn from_zval_mut(zval: &'a mut Zval) -> Option<Self> {
        Some(Self(Some(zval)))
    }

    fn from_missing() -> Option<Self> {
        Some(Self(None))
    }
}

/// An `array $x = []` parameter.
pub struct Items<'a>(Option<&'a ZendHashTable>);

impl<'a> Items<'a> {
    /// The default.
    pub fn empty() -> Self {
        Self(None)
    }

    /// The array.
    pub fn table(&self) -> &'a ZendHashTable {
        // SAFETY: the engine's own empty array, which is never changed. No lock.
        self.0.unwrap_or(unsafe { &zend_empty_array })
    }
}

impl<'a> FromZval<'a> for Items<'a> {
    const TYPE: DataType = DataType::Array;

    fn from_zval(zval: &'a Zval) -> Option<Self> {
        zval.array().map(|table| Self(Some(table)))
    }
}

impl StubLiteral for Items<'_> {
    fn stub_literal(&self) -> String {
        "[]".to_owned()
    }
}

/// A name in the bytes that PHP would make of it.
pub type Name<'a> = Cow<'a, [u8]>;

/// Reading a name.
pub trait FromValue<'a> {
    /// The name in `zval`: a string, or what PHP makes a string of.
    fn of(zval: &'a Zval) -> Self;
}

impl<'a> FromValue<'a> for Name<'a> {
    fn of(zval: &'a Zval) -> Self {
        let zval = zval.dereference();
        match (zval.zend_str(), zval.long()) {
            (Some(text), _) => Cow::Borrowed(text.as_bytes()),
            (None, Some(number)) => Cow::Owned(number.to_string().into_bytes()),
            // Booleans and floats have a text; what has none becomes the empty name.
            (None, None) if zval.is_scalar() => {
                Cow::Owned(zval.coerce_to_string().unwrap_or_default().into_bytes())
            }
            (None, None) => Cow::Borrowed(b""),
        }
    }
}

/// The values of a list of names.
pub fn names_of(names: &ZendHashTable) -> Vec<Name<'_>> {
    // SAFETY: elements of an argument, which the call holds.
    Elements::of(names).map(|(_, name)| Name::of(unsafe { &*name })).collect()
}

/// The keys of an array.
pub fn keys_of(items: &ZendHashTable) -> Vec<Name<'_>> {
    let names = Elements::of(items).map(|(key, _)| match key {
        Key::Int(index) => Cow::Owned(index.to_string().into_bytes()),
        // SAFETY: a key of an argument, which the call holds.
        Key::String(name) => Cow::Borrowed(unsafe { bytes_of(name) }),
    });
    names.collect()
}

/// The key that PHP makes of a name: one that is written like an integer becomes one.
pub fn array_key(name: &[u8]) -> ArrayKey<'_> {
    let looks_so = matches!(name, [b'0'..=b'9', ..] | [b'-', b'1'..=b'9', ..]) && name.len() <= 20;
    let number = looks_so.then(|| std::str::from_utf8(name).ok()?.parse::<i64>().ok()).flatten();
    match number {
        // "007" and "-9223372036854775808" stay strings.
        Some(number) if number != i64::MIN && (name == b"0" || !matches!(name, [b'0', ..])) => {
            ArrayKey::Int(number)
        }
        _ => ArrayKey::Bytes(name),
    }
}
