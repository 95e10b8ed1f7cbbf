//! What a cached value can be, without naming PHP.
//!
//! Owns: the two traits through which values enter and leave the encoding, so that the binding
//! writes from zvals and builds zvals straight from bytes, with no tree in between. [`Value`] is
//! such a tree, for tests and for callers in Rust.

use super::codec::{DecodeError, EncodeError, Encoder};

/// Something that can describe itself to an [`Encoder`].
pub trait Source {
    /// Writes exactly one value.
    ///
    /// # Errors
    /// [`EncodeError`] when a limit is passed or something cannot be stored.
    fn write(&self, out: &mut Encoder) -> Result<(), EncodeError>;
}

/// A key of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArrayKey<'a> {
    /// An integer key.
    Int(i64),
    /// A string key, any bytes.
    Bytes(&'a [u8]),
}

/// Something that builds values from what a decoder reads.
///
/// Lengths are hints that the input cannot inflate: they never exceed the bytes still unread.
pub trait Builder {
    /// A finished value.
    type Value;
    /// An array under construction.
    type Array;
    /// An object under construction.
    type Object;

    /// The null value.
    fn null(&mut self) -> Self::Value;
    /// A boolean.
    fn bool(&mut self, value: bool) -> Self::Value;
    /// An integer.
    fn int(&mut self, value: i64) -> Self::Value;
    /// A float; every bit pattern is kept.
    fn float(&mut self, value: f64) -> Self::Value;
    /// A string, any bytes.
    fn string(&mut self, bytes: &[u8]) -> Self::Value;

    /// Starts an array whose keys will be 0, 1, 2, ….
    fn list(&mut self, len: usize) -> Self::Array;
    /// Appends to a list.
    fn push(&mut self, list: &mut Self::Array, value: Self::Value);
    /// Starts an array with keys of its own, in their order.
    fn map(&mut self, len: usize) -> Self::Array;
    /// Adds to a map; a key that is there already is replaced.
    fn insert(&mut self, map: &mut Self::Array, key: ArrayKey<'_>, value: Self::Value);
    /// Finishes a list or a map.
    fn array(&mut self, array: Self::Array) -> Self::Value;

    /// Starts an object of `class`.
    ///
    /// # Errors
    /// [`DecodeError::Rejected`] when there is no such class here or it cannot be built so.
    fn object(&mut self, class: &[u8], len: usize) -> Result<Self::Object, DecodeError>;
    /// Sets a property.
    fn property(&mut self, object: &mut Self::Object, name: &[u8], value: Self::Value);
    /// Finishes an object.
    ///
    /// # Errors
    /// [`DecodeError::Rejected`] when the object refuses what it was given.
    fn finish(&mut self, object: Self::Object) -> Result<Self::Value, DecodeError>;

    /// A value in the host's own serialization.
    ///
    /// # Errors
    /// [`DecodeError::Rejected`] when the host cannot read it.
    fn serialized(&mut self, bytes: &[u8]) -> Result<Self::Value, DecodeError>;
}

/// A value as a tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string of any bytes.
    Bytes(Vec<u8>),
    /// An ordered array.
    Array(Vec<(OwnedKey, Value)>),
    /// An object with its properties in order.
    Object {
        /// Name of its class.
        class: Vec<u8>,
        /// Properties, names as the host mangles them.
        properties: Vec<(Vec<u8>, Value)>,
    },
    /// The host's own serialization of something.
    Serialized(Vec<u8>),
}

/// A key of [`Value::Array`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedKey {
    /// An integer key.
    Int(i64),
    /// A string key.
    Bytes(Vec<u8>),
}

impl Value {
    /// An array with keys 0, 1, 2, ….
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::Array(items.into_iter().zip(0..).map(|(item, index)| (OwnedKey::Int(index), item)).collect())
    }

    /// A string.
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl Source for Value {
    fn write(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        match self {
            Value::Null => out.null(),
            Value::Bool(value) => out.bool(*value),
            Value::Int(value) => out.int(*value),
            Value::Float(value) => out.float(*value),
            Value::Bytes(bytes) => out.string(bytes),
            Value::Serialized(bytes) => out.serialized(bytes),
            Value::Array(items) => write_array(items, out),
            Value::Object { class, properties } => {
                out.begin_object(class, properties.len())?;
                for (name, value) in properties {
                    out.property(name)?;
                    value.write(out)?;
                }
                out.end();
                Ok(())
            }
        }
    }
}

fn write_array(items: &[(OwnedKey, Value)], out: &mut Encoder) -> Result<(), EncodeError> {
    let is_list = items.iter().zip(0..).all(|((key, _), index)| *key == OwnedKey::Int(index));
    if is_list {
        out.begin_list(items.len())?;
    } else {
        out.begin_map(items.len())?;
    }
    for (key, value) in items {
        match key {
            _ if is_list => {}
            OwnedKey::Int(index) => out.key(ArrayKey::Int(*index))?,
            OwnedKey::Bytes(bytes) => out.key(ArrayKey::Bytes(bytes))?,
        }
        value.write(out)?;
    }
    out.end();
    Ok(())
}

/// Builds [`Value`] trees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tree;

impl Builder for Tree {
    type Value = Value;
    type Array = Vec<(OwnedKey, Value)>;
    type Object = (Vec<u8>, Vec<(Vec<u8>, Value)>);

    fn null(&mut self) -> Value {
        Value::Null
    }

    fn bool(&mut self, value: bool) -> Value {
        Value::Bool(value)
    }

    fn int(&mut self, value: i64) -> Value {
        Value::Int(value)
    }

    fn float(&mut self, value: f64) -> Value {
        Value::Float(value)
    }

    fn string(&mut self, bytes: &[u8]) -> Value {
        Value::Bytes(bytes.to_vec())
    }

    fn list(&mut self, len: usize) -> Self::Array {
        Vec::with_capacity(len)
    }

    fn push(&mut self, list: &mut Self::Array, value: Value) {
        list.push((OwnedKey::Int(list.len() as i64), value));
    }

    fn map(&mut self, len: usize) -> Self::Array {
        Vec::with_capacity(len)
    }

    fn insert(&mut self, map: &mut Self::Array, key: ArrayKey<'_>, value: Value) {
        let key = match key {
            ArrayKey::Int(index) => OwnedKey::Int(index),
            ArrayKey::Bytes(bytes) => OwnedKey::Bytes(bytes.to_vec()),
        };
        match map.iter_mut().find(|(present, _)| *present == key) {
            Some((_, old)) => *old = value,
            None => map.push((key, value)),
        }
    }

    fn array(&mut self, array: Self::Array) -> Value {
        Value::Array(array)
    }

    fn object(&mut self, class: &[u8], len: usize) -> Result<Self::Object, DecodeError> {
        Ok((class.to_vec(), Vec::with_capacity(len)))
    }

    fn property(&mut self, object: &mut Self::Object, name: &[u8], value: Value) {
        object.1.push((name.to_vec(), value));
    }

    fn finish(&mut self, (class, properties): Self::Object) -> Result<Value, DecodeError> {
        Ok(Value::Object { class, properties })
    }

    fn serialized(&mut self, bytes: &[u8]) -> Result<Value, DecodeError> {
        Ok(Value::Serialized(bytes.to_vec()))
    }
}
