//! The engine's tables and values, read and written in place.
//!
//! Owns: the few accesses that ext-php-rs has no safe form of, or only one that allocates: walking a
//! table while PHP code may change it, filling one of known size, and writing a value without
//! touching what lies beside it.

use std::mem::ManuallyDrop;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::ffi::{
    _emalloc, _zend_new_array, Bucket, IS_ARRAY_EX, IS_STRING, IS_STRING_EX, zend_hash_index_del,
    zend_hash_index_update, zend_hash_next_index_insert, zend_hash_real_init_mixed,
    zend_hash_real_init_packed, zend_hash_str_del, zend_hash_update, zend_string,
};
use ext_php_rs::types::{ZendHashTable, ZendStr, Zval};

use super::words;
use crate::cache::value::ArrayKey;

const HASH_PACKED: u32 = 1 << 2;
const HASH_UNINITIALIZED: u32 = 1 << 3;

/// What a value is, as the engine numbers types.
pub fn kind_of(zval: &Zval) -> u32 {
    // SAFETY: every view of the union is the same four bytes. No lock.
    unsafe { zval.u1.type_info & 0xFF }
}

/// `true` or `false`.
#[inline]
pub fn flag(value: bool) -> Zval {
    let mut zval = Zval::new();
    zval.set_bool(value);
    zval
}

/// An integer.
#[inline]
pub fn whole(value: i64) -> Zval {
    let mut zval = Zval::new();
    zval.set_long(value);
    zval
}

/// An integer, or `false` where there is none.
pub fn whole_or_false(value: Option<i64>) -> Zval {
    value.map_or_else(|| flag(false), whole)
}

/// A float.
pub fn real(value: f64) -> Zval {
    let mut zval = Zval::new();
    zval.set_double(value);
    zval
}

/// The bytes of an engine string.
///
/// # Safety
/// `string` is a live string that outlives `'a`.
pub unsafe fn bytes_of<'a>(string: *const zend_string) -> &'a [u8] {
    // SAFETY: the caller gives a live string; its bytes follow its header.
    unsafe { std::slice::from_raw_parts((&raw const (*string).val).cast(), (*string).len) }
}

/// How a key stands in a table.
#[derive(Clone, Copy)]
pub enum Key {
    /// An integer.
    Int(i64),
    /// A string of the table's.
    String(*const zend_string),
}

impl Key {
    /// The same key as the cache's encoding has it.
    ///
    /// # Safety
    /// The table that the key is of outlives `'a`.
    #[inline]
    pub unsafe fn as_array_key<'a>(self) -> ArrayKey<'a> {
        match self {
            Self::Int(index) => ArrayKey::Int(index),
            // SAFETY: as the caller says.
            Self::String(name) => ArrayKey::Bytes(unsafe { bytes_of(name) }),
        }
    }
}

/// Walks a table by position. It looks at the table anew at every step, so PHP code may change it in
/// between: elements are then missed or seen twice, but never memory that is gone.
pub struct Elements {
    table: *const ZendHashTable,
    at: u32,
}

impl Elements {
    /// Walks `table`, which the caller keeps alive.
    pub fn of(table: &ZendHashTable) -> Self {
        Self { table, at: 0 }
    }
}

impl Iterator for Elements {
    type Item = (Key, *const Zval);

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the table is alive (`Elements::of`); positions below nNumUsed are initialized.
        unsafe {
            let table = &*self.table;
            while self.at < table.nNumUsed {
                let at = self.at as usize;
                self.at += 1;
                let (key, zval) = element(table, at);
                if kind_of(&*zval) != 0 {
                    return Some((key, zval));
                }
            }
            None
        }
    }
}

/// Where a table that is not packed keeps its elements; PHP 8.2 moved the field into a union.
///
/// # Safety
/// `table` is live and not packed.
unsafe fn buckets_of(table: &ZendHashTable) -> *mut Bucket {
    #[cfg(php82)]
    // SAFETY: as the caller says.
    return unsafe { table.__bindgen_anon_1.arData };
    #[cfg(not(php82))]
    return table.arData;
}

/// # Safety
/// Both are live strings.
unsafe fn is_same(one: *const zend_string, other: *const zend_string) -> bool {
    // SAFETY: as the caller says.
    std::ptr::eq(one, other) || unsafe { bytes_of(one) == bytes_of(other) }
}

/// # Safety
/// `at` is below the live table's nNumUsed.
unsafe fn element(table: &ZendHashTable, at: usize) -> (Key, *const Zval) {
    // SAFETY: as the caller says. The engine keeps values alone in a packed table from 8.2 on.
    unsafe {
        #[cfg(php82)]
        if is_packed(table) {
            return (Key::Int(at as i64), table.__bindgen_anon_1.arPacked.add(at));
        }
        let bucket = buckets_of(table).add(at);
        let key = match (*bucket).key.is_null() {
            true => Key::Int((*bucket).h as i64),
            false => Key::String((*bucket).key),
        };
        (key, &raw const (*bucket).val)
    }
}

/// Whether the table has the keys 0, 1, 2, … in this order.
pub fn is_list(table: &ZendHashTable) -> bool {
    if is_packed(table) && table.nNumUsed == table.nNumOfElements {
        return true;
    }
    let mut next = 0;
    Elements::of(table).all(|(key, _)| {
        next += 1;
        matches!(key, Key::Int(index) if index == next - 1)
    })
}

fn is_packed(table: &ZendHashTable) -> bool {
    // SAFETY: every view of the union is the same four bytes. No lock.
    unsafe { table.u.flags & HASH_PACKED != 0 }
}

/// A share in a table, so that whoever changes it meanwhile changes a copy.
pub fn hold(table: &ZendHashTable) -> Option<Zval> {
    if table.is_immutable() {
        return None;
    }
    let table = std::ptr::from_ref(table).cast_mut();
    let mut zval = Zval::new();
    // SAFETY: a live table of the request, which counts who holds it.
    unsafe { (*table).gc.refcount += 1 };
    zval.value.arr = table;
    zval.u1.type_info = IS_ARRAY_EX;
    Some(zval)
}

/// A string value. The engine keeps all strings of up to one byte.
#[inline]
pub fn string(bytes: &[u8]) -> Zval {
    let mut zval = Zval::new();
    if bytes.len() < 2 {
        zval.set_zend_string(ZendStr::new(bytes, false));
    } else {
        zval.value.str_ = new_string(bytes);
        zval.u1.type_info = IS_STRING_EX;
    }
    zval
}

/// A new string of the request's, of two bytes or more. The engine's own function is no macro to us,
/// and calling it takes longer than what it does.
#[inline]
fn new_string(bytes: &[u8]) -> *mut zend_string {
    /// `GC_STRING`: a string, not for the cycle collector.
    const KIND: u32 = IS_STRING | 1 << 4;
    const HEADER: usize = std::mem::offset_of!(zend_string, val);
    // SAFETY: a request is running; the engine returns memory for the header, the bytes and a NUL, or
    // bails out. All of it is written before anybody sees it.
    unsafe {
        let string = _emalloc((HEADER + bytes.len() + 1).next_multiple_of(8)).cast::<zend_string>();
        (&raw mut (*string).gc.refcount).write(1);
        (&raw mut (*string).gc.u.type_info).write(KIND);
        (&raw mut (*string).h).write(0);
        (&raw mut (*string).len).write(bytes.len());
        let to = (&raw mut (*string).val).cast::<u8>();
        to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        to.add(bytes.len()).write(0);
        string
    }
}

/// Moves `zval` into `place` and drops what was there.
///
/// # Safety
/// `place` is a live value that nobody else uses.
pub unsafe fn replace(place: *mut Zval, zval: Zval) {
    // SAFETY: as the caller says; what was there is dropped only after the new value stands.
    drop(unsafe { place.replace(zval) });
}

/// A table being filled.
pub struct Filling {
    table: ZBox<ZendHashTable>,
}

impl Filling {
    /// A table for `len` values with the keys 0, 1, 2, ….
    pub fn list(len: usize) -> Self {
        let mut filling = Self::sized(len);
        if len > 0 {
            // SAFETY: a new table that is ours alone; the engine may allocate, a request is running.
            unsafe { zend_hash_real_init_packed(&raw mut *filling.table) };
        }
        filling
    }

    /// A table for `len` values with keys of their own.
    pub fn map(len: usize) -> Self {
        let mut filling = Self::sized(len);
        if len > 0 {
            // SAFETY: as in `list`.
            unsafe { zend_hash_real_init_mixed(&raw mut *filling.table) };
        }
        filling
    }

    fn sized(len: usize) -> Self {
        // SAFETY: a request is running; the engine returns a table of our own or bails out.
        let table = unsafe { ZBox::from_raw(_zend_new_array(u32::try_from(len).unwrap_or(u32::MAX >> 1))) };
        Self { table }
    }

    /// Appends a value.
    #[inline]
    pub fn push(&mut self, zval: Zval) {
        let mut zval = ManuallyDrop::new(zval);
        let table = &mut *self.table;
        // SAFETY: the table is ours alone. A packed one of nTableSize values has room below that; the
        // value's ownership moves into it.
        unsafe {
            #[cfg(php82)]
            if is_packed(table) && table.nNumUsed < table.nTableSize {
                let place = table.__bindgen_anon_1.arPacked.add(table.nNumUsed as usize);
                place.cast::<ManuallyDrop<Zval>>().write(zval);
                table.nNumUsed += 1;
                table.nNumOfElements += 1;
                table.nNextFreeElement = i64::from(table.nNumUsed);
                return;
            }
            zend_hash_next_index_insert(table, &raw mut *zval);
        }
    }

    /// Adds a value; one under the same key is replaced.
    #[inline]
    pub fn insert(&mut self, key: ArrayKey<'_>, zval: Zval) {
        match key {
            ArrayKey::Int(index) => {
                let mut zval = ManuallyDrop::new(zval);
                // SAFETY: the table is ours alone; the value's ownership moves into it.
                unsafe { zend_hash_index_update(&raw mut *self.table, index as u64, &raw mut *zval) };
            }
            ArrayKey::Bytes(bytes) => match words::known(bytes) {
                Some(key) => self.insert_known(key, zval),
                None => self.update(&mut ZendStr::new(bytes, false), zval),
            },
        }
    }

    fn update(&mut self, key: &mut ZendStr, zval: Zval) {
        let mut zval = ManuallyDrop::new(zval);
        // SAFETY: the table is ours alone; the value's ownership moves into it, and it takes a share of
        // the key of its own.
        unsafe { zend_hash_update(&raw mut *self.table, key, &raw mut *zval) };
    }

    /// Adds a value under a key whose hash is known and that is never freed: what `zend_hash_add` does,
    /// without asking what is known, and without a call.
    #[inline]
    fn insert_known(&mut self, key: *mut zend_string, zval: Zval) {
        let table = &mut *self.table;
        // SAFETY: the table is ours alone and not packed, so it has buckets and, below them, the hash
        // part, both initialized; there is room for another bucket below nTableSize. The engine finds a
        // chain's start by the hash with the mask's bits set, as a negative index, and the chain by the
        // word beside each value.
        unsafe {
            let is_mixed = table.u.flags & (HASH_PACKED | HASH_UNINITIALIZED) == 0;
            if !is_mixed || table.nNumUsed >= table.nTableSize {
                return self.update(&mut *key, zval);
            }
            let buckets = buckets_of(table);
            let hash = (*key).h;
            let chain = buckets.cast::<u32>().offset((hash as u32 | table.nTableMask) as i32 as isize);
            let mut at = *chain;
            while at != u32::MAX {
                let bucket = buckets.add(at as usize);
                if (*bucket).h == hash && !(*bucket).key.is_null() && is_same((*bucket).key, key) {
                    return self.update(&mut *key, zval);
                }
                at = (*bucket).val.u2.next;
            }
            let place = buckets.add(table.nNumUsed as usize);
            (&raw mut (*place).val).cast::<ManuallyDrop<Zval>>().write(ManuallyDrop::new(zval));
            (*place).val.u2.next = *chain;
            (*place).h = hash;
            (*place).key = key;
            *chain = table.nNumUsed;
            table.nNumUsed += 1;
            table.nNumOfElements += 1;
        }
    }

    /// Takes a value out, if there is one.
    pub fn remove(&mut self, key: ArrayKey<'_>) {
        let table = &raw mut *self.table;
        // SAFETY: the table is ours alone; what stands in it is dropped. The key outlives the call.
        unsafe {
            match key {
                ArrayKey::Int(index) => zend_hash_index_del(table, index as u64),
                ArrayKey::Bytes(bytes) => zend_hash_str_del(table, bytes.as_ptr().cast(), bytes.len()),
            };
        }
    }

    /// The table.
    pub fn finish(self) -> ZBox<ZendHashTable> {
        self.table
    }
}
