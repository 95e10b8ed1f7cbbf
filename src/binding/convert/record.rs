//! Result arrays whose keys are always the same.
//!
//! Inserting eight string keys one by one costs about 500 ns; duplicating a prepared table and
//! writing eight values into it costs a fifth of that, because the engine copies the hash part in
//! one `memcpy`. So each such array is a [`Shape`], prepared once at MINIT with interned keys.

use std::sync::atomic::{AtomicPtr, Ordering};

use ext_php_rs::boxed::ZBox;
use ext_php_rs::ffi::{_zend_hash_init, zend_array_dup, zend_hash_add_new};
use ext_php_rs::types::{ZendHashTable, ZendStr, Zval};

/// A string that the engine keeps for the life of the process, so that using it allocates nothing.
pub struct Interned {
    text: &'static str,
    string: AtomicPtr<ZendStr>,
}

impl Interned {
    /// The string, usable once [`Interned::prepare`] has run.
    pub const fn new(text: &'static str) -> Self {
        Self { text, string: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Interns the string. Phase: MINIT, the only one in which interning is permanent.
    pub fn prepare(&self) {
        self.string.store(ZendStr::new_interned(self.text, true).into_raw(), Ordering::Release);
    }
}

/// One value of a record.
pub enum Cell<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A string known at build time.
    Word(&'a Interned),
    /// A string that is copied.
    Text(&'a [u8]),
}

impl Cell<'_> {
    fn zval(&self) -> Zval {
        let mut zval = Zval::new();
        match self {
            Cell::Bool(flag) => zval.set_bool(*flag),
            Cell::Int(number) => zval.set_long(*number),
            Cell::Text(bytes) => zval.set_zend_string(ZendStr::new(bytes, false)),
            Cell::Word(word) => match std::ptr::NonNull::new(word.string.load(Ordering::Acquire)) {
                // SAFETY: `prepare` interned it at MINIT; interned strings are never freed, and the
                // engine ignores reference counts on them.
                Some(string) => zval.set_zend_string(unsafe { ZBox::from_raw(string.as_ptr()) }),
                None => zval.set_zend_string(ZendStr::new(word.text, false)),
            },
        }
        zval
    }
}

/// An array type with `N` fixed string keys, in order.
pub struct Shape<const N: usize> {
    keys: [&'static str; N],
    template: AtomicPtr<ZendHashTable>,
}

impl<const N: usize> Shape<N> {
    /// The shape with these keys, usable once [`Shape::prepare`] has run.
    pub const fn new(keys: [&'static str; N]) -> Self {
        Self { keys, template: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Builds the table that every record of this shape is a copy of. Phase: MINIT.
    pub fn prepare(&self) {
        // SAFETY: MINIT runs once per process image on one thread. The table and its keys are
        // persistent (malloc, interned) and are never freed or written again, so that every later
        // request may read them without a lock.
        unsafe {
            let table: *mut ZendHashTable = Box::into_raw(Box::<ZendHashTable>::new_uninit()).cast();
            _zend_hash_init(table, N as u32, None, true);
            let mut null = Zval::null();
            for key in self.keys {
                let key = ZendStr::new_interned(key, true).into_raw();
                zend_hash_add_new(table, key, &raw mut null);
            }
            self.template.store(table, Ordering::Release);
        }
    }

    /// A new array of this shape holding `cells` in the order of the keys.
    pub fn record(&self, cells: [Cell<'_>; N]) -> ZBox<ZendHashTable> {
        let template = self.template.load(Ordering::Acquire);
        if template.is_null() {
            return self.record_by_insertion(cells);
        }
        // SAFETY: a request is running, so the engine may allocate. The copy is ours alone, has
        // exactly N buckets without holes, and every bucket holds null, which owns nothing.
        unsafe {
            let table = zend_array_dup(template);
            let buckets = bucket_array(table);
            for (index, cell) in cells.iter().enumerate() {
                write_value(&raw mut (*buckets.add(index)).val, cell.zval());
            }
            ZBox::from_raw(table)
        }
    }

    fn record_by_insertion(&self, cells: [Cell<'_>; N]) -> ZBox<ZendHashTable> {
        let mut table = ZendHashTable::new();
        for (key, cell) in self.keys.iter().zip(&cells) {
            // Fails only on a full table.
            let _ = table.insert(*key, cell.zval());
        }
        table
    }
}

/// Moves `zval` into `place`, whose old value owns nothing, and leaves the link to the next bucket of
/// the hash alone: it lives in the last word of the same struct.
///
/// # Safety
/// `place` is a bucket's value in a live table that nobody else uses.
unsafe fn write_value(place: *mut Zval, zval: Zval) {
    let zval = std::mem::ManuallyDrop::new(zval);
    // SAFETY: as above; the parts are plain old data and ownership moves with them.
    unsafe {
        (*place).value = zval.value;
        (*place).u1 = zval.u1;
    }
}

/// Where a hash with string keys keeps its buckets; PHP 8.2 moved the field into a union.
unsafe fn bucket_array(table: *mut ZendHashTable) -> *mut ext_php_rs::ffi::Bucket {
    #[cfg(php82)]
    // SAFETY: the caller gives a live, unpacked table.
    return unsafe { (*table).__bindgen_anon_1.arData };
    #[cfg(not(php82))]
    // SAFETY: the caller gives a live, unpacked table.
    return unsafe { (*table).arData };
}
