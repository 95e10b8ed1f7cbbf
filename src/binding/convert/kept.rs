//! Values that outlive a request and that every script may hold without copying them.
//!
//! Owns: arrays of scalars, strings and arrays in the form in which opcache keeps a script's literals:
//! immutable, in the process' own memory, counted by nobody. The engine copies such an array when
//! somebody writes to it. Refuses to do: objects, which scripts may change.
//!
//! What is kept is freed only between requests, when no script is left that could hold it.

use std::mem::ManuallyDrop;

use ext_php_rs::ffi::{
    _zend_hash_init, IS_ARRAY, IS_STRING, zend_hash_destroy, zend_hash_func, zend_hash_index_update,
    zend_hash_next_index_insert, zend_hash_real_init_mixed, zend_hash_real_init_packed, zend_hash_update,
    zend_string,
};
use ext_php_rs::types::{ZendHashTable, ZendStr, Zval};

use super::words;
use super::zend::{Elements, Key, bytes_of, flag, kind_of, real, whole};
use crate::cache::codec::{self, DecodeError, Objects};
use crate::cache::value::{ArrayKey, Builder};

/// `GC_IMMUTABLE`: of strings, interned; of arrays, never written to.
const IMMUTABLE: u32 = 1 << 6;

/// A kept array.
pub struct Kept {
    zval: ManuallyDrop<Zval>,
    bytes: usize,
}

impl Kept {
    /// The array that `body` encodes; `None` when it encodes something else.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut builder = Keeper { bytes: body.len() };
        let zval = ManuallyDrop::new(codec::decode(body, Objects::Refused, &mut builder).ok()?);
        (kind_of(&zval) == IS_ARRAY).then_some(Self { zval, bytes: builder.bytes })
    }

    /// The value as a script gets it.
    #[inline]
    pub fn share(&self) -> Zval {
        let mut zval = Zval::new();
        zval.value = self.zval.value;
        zval.u1 = self.zval.u1;
        zval
    }

    /// What it takes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frees it.
    ///
    /// # Safety
    /// No script holds it, nor part of it.
    pub unsafe fn free(self) {
        // SAFETY: as the caller says; made by `decode`, of memory of the process.
        unsafe { free_value(&self.zval) };
    }
}

/// Builds kept values. It is only given what has been decoded before, so it never ends half-way.
struct Keeper {
    bytes: usize,
}

/// Words of a table and of an element, in bytes.
const TABLE: usize = size_of::<ZendHashTable>();
const ELEMENT: usize = 40;

impl Keeper {
    fn table(&mut self, len: usize, init: unsafe extern "C" fn(*mut ZendHashTable)) -> *mut ZendHashTable {
        self.bytes += TABLE + len * ELEMENT;
        let table: *mut ZendHashTable = Box::into_raw(Box::<ZendHashTable>::new_uninit()).cast();
        // SAFETY: a table of our own in the process' memory, initialized here.
        unsafe {
            _zend_hash_init(table, u32::try_from(len).unwrap_or(0), None, true);
            init(table);
        }
        table
    }

    fn new_string(&mut self, bytes: &[u8]) -> *mut zend_string {
        self.bytes += size_of::<zend_string>() + bytes.len();
        new_string(bytes)
    }
}

fn new_string(bytes: &[u8]) -> *mut zend_string {
    let string: *mut zend_string = ZendStr::new(bytes, true).into_raw();
    // SAFETY: a new string of the process, which nobody else has seen.
    unsafe {
        (*string).h = zend_hash_func(bytes.as_ptr().cast(), bytes.len());
        (*string).gc.u.type_info |= IMMUTABLE;
    }
    string
}

impl Builder for Keeper {
    type Value = Zval;
    type Array = *mut ZendHashTable;
    type Object = ();

    fn null(&mut self) -> Zval {
        Zval::null()
    }

    fn bool(&mut self, value: bool) -> Zval {
        flag(value)
    }

    fn int(&mut self, value: i64) -> Zval {
        whole(value)
    }

    fn float(&mut self, value: f64) -> Zval {
        real(value)
    }

    fn string(&mut self, bytes: &[u8]) -> Zval {
        let mut zval = Zval::new();
        zval.value.str_ = self.new_string(bytes);
        zval.u1.type_info = IS_STRING;
        zval
    }

    fn list(&mut self, len: usize) -> *mut ZendHashTable {
        self.table(len, zend_hash_real_init_packed)
    }

    fn push(&mut self, list: &mut *mut ZendHashTable, value: Zval) {
        let mut value = ManuallyDrop::new(value);
        // SAFETY: made by `list`, and ours alone.
        unsafe { zend_hash_next_index_insert(*list, &raw mut *value) };
    }

    fn map(&mut self, len: usize) -> *mut ZendHashTable {
        self.table(len, zend_hash_real_init_mixed)
    }

    fn insert(&mut self, map: &mut *mut ZendHashTable, key: ArrayKey<'_>, value: Zval) {
        let mut value = ManuallyDrop::new(value);
        // SAFETY: made by `map`, and ours alone. The engine shares a key that is interned.
        unsafe {
            match key {
                ArrayKey::Int(index) => zend_hash_index_update(*map, index as u64, &raw mut *value),
                ArrayKey::Bytes(bytes) => {
                    let key = words::known(bytes).unwrap_or_else(|| self.new_string(bytes));
                    zend_hash_update(*map, key, &raw mut *value)
                }
            };
        }
    }

    fn array(&mut self, array: *mut ZendHashTable) -> Zval {
        let mut zval = Zval::new();
        // SAFETY: made by `list` or `map`. Two holders, so that whoever writes makes a copy.
        unsafe {
            (*array).gc.refcount = 2;
            (*array).gc.u.type_info |= IMMUTABLE;
        }
        zval.value.arr = array;
        zval.u1.type_info = IS_ARRAY;
        zval
    }

    fn object(&mut self, _class: &[u8], _len: usize) -> Result<(), DecodeError> {
        Err(DecodeError::Rejected)
    }

    fn property(&mut self, _object: &mut (), _name: &[u8], _value: Zval) {}

    fn finish(&mut self, _object: ()) -> Result<Zval, DecodeError> {
        Err(DecodeError::Rejected)
    }

    fn serialized(&mut self, _bytes: &[u8]) -> Result<Zval, DecodeError> {
        Err(DecodeError::Rejected)
    }
}

/// # Safety
/// See [`Kept::free`].
unsafe fn free_value(zval: &Zval) {
    // SAFETY: as the caller says: strings and tables made by a `Keeper`, each in one place.
    unsafe {
        match kind_of(zval) {
            IS_STRING => free_string(zval.value.str_),
            IS_ARRAY => {
                let table = zval.value.arr;
                for (key, value) in Elements::of(&*table) {
                    free_value(&*value);
                    if let Key::String(name) = key
                        && words::known(bytes_of(name)).is_none_or(|word| !std::ptr::eq(word, name))
                    {
                        free_string(name.cast_mut());
                    }
                }
                (*table).gc.refcount = 1;
                (*table).gc.u.type_info &= !IMMUTABLE;
                zend_hash_destroy(table);
                drop(Box::from_raw(table.cast::<std::mem::MaybeUninit<ZendHashTable>>()));
            }
            _ => {}
        }
    }
}

/// # Safety
/// A string made by `new_string`, which nobody holds any more.
unsafe fn free_string(string: *mut zend_string) {
    // SAFETY: as the caller says; no longer interned and of the process' memory, so the engine frees it.
    unsafe {
        (*string).gc.u.type_info &= !IMMUTABLE;
        (*string).gc.refcount = 1;
        drop(ext_php_rs::boxed::ZBox::<ZendStr>::from_raw(string));
    }
}
