//! Typed placement inside the mapping, without `unsafe` for the caller.
//!
//! Owns: the rule that shared memory is only ever seen through atomics. [`Shared`] marks types that
//! are valid for every bit pattern and change only by atomic operations, so a scribbling or dying
//! neighbour can make a value wrong but never undefined. A [`Carver`] hands out a region's bytes
//! front to back, so that two typed views cannot overlap.
//!
//! Bulk bytes are copied as 64-bit relaxed atomics by [`store_bytes`] and [`load_bytes`]: a copy
//! that races with a writer gives torn bytes, which a sequence number or a lock must detect, and
//! not undefined behaviour.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use portable_atomic::AtomicU128;

use super::lock::Locks;
use crate::error::{Error, Kind, Result};

/// Types that may lie in shared memory.
///
/// # Safety
/// Every bit pattern is a valid value, all of it is interior-mutable and changed by atomic
/// operations only, and it holds no pointer and needs no drop.
pub unsafe trait Shared: Sync {}

macro_rules! shared_atomics {
    ($($atomic:ty),+) => {$(
        // SAFETY: an atomic integer has no invalid bit pattern and changes only atomically.
        unsafe impl Shared for $atomic {}
    )+};
}
shared_atomics!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicI64, AtomicU128);

// SAFETY: an array of shared values holds nothing but them.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {}

/// Declares a `#[repr(C)]` struct whose fields are all [`Shared`], and makes it [`Shared`].
macro_rules! shared_struct {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $ty),+ }

        #[allow(unsafe_code)]
        // SAFETY: `all_shared` compiles only if every field is Shared, and the struct adds nothing
        // but padding, which nobody reads.
        unsafe impl $crate::shm::Shared for $name {}

        const _: () = {
            const fn shared<T: $crate::shm::Shared>() {}
            const fn all_shared() { $(shared::<$ty>();)+ }
            all_shared();
        };
    };
}
pub(crate) use shared_struct;

/// One part of the segment: some locks, and zero-initialised bytes that they guard.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    base: NonNull<u8>,
    len: usize,
    locks: Locks<'a>,
    segment: PhantomData<&'a [AtomicU8]>,
}

// SAFETY: a region is a view of memory that is only seen through `Shared` types, which are Sync.
unsafe impl Send for Region<'_> {}
// SAFETY: as above.
unsafe impl Sync for Region<'_> {}

impl<'a> Region<'a> {
    /// A region of `len` bytes at `base`.
    ///
    /// # Safety
    /// The bytes are mapped readable and writable for `'a`, and no reference that is not to
    /// [`Shared`] values points into them.
    pub(super) unsafe fn new(base: NonNull<u8>, len: usize, locks: Locks<'a>) -> Self {
        Self { base, len, locks, segment: PhantomData }
    }

    /// Bytes in the region, without its locks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the region has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The region's locks, as many as its plan gave it.
    pub fn locks(&self) -> Locks<'a> {
        self.locks
    }

    /// Where the region starts in this process (differs between processes that map a file).
    pub fn address(&self) -> *const u8 {
        self.base.as_ptr()
    }

    /// Starts to lay typed values into the region, from its first byte.
    pub fn carve(&self) -> Carver<'a> {
        Carver { region: *self, at: 0 }
    }
}

/// Hands out a region front to back. Every process must carve the same types in the same order.
pub struct Carver<'a> {
    region: Region<'a>,
    at: usize,
}

impl<'a> Carver<'a> {
    /// The next `count` values of `T`, aligned.
    ///
    /// # Errors
    /// [`Kind::SharedMemory`] when the region has no room for them.
    pub fn slice<T: Shared>(&mut self, count: usize) -> Result<&'a [T]> {
        let start = (self.region.base.as_ptr() as usize + self.at).next_multiple_of(align_of::<T>())
            - self.region.base.as_ptr() as usize;
        let end = size_of::<T>().checked_mul(count).and_then(|bytes| start.checked_add(bytes));
        match end {
            Some(end) if end <= self.region.len => self.at = end,
            _ => return Err(Error::new(Kind::SharedMemory, "a region is too small for its tables")),
        }
        // SAFETY: start..end lies in the region, which is mapped for 'a (Region::new), `start` is
        // aligned for T, and T: Shared is valid for whatever the bytes hold.
        Ok(unsafe { std::slice::from_raw_parts(self.region.base.as_ptr().add(start).cast::<T>(), count) })
    }

    /// The next value of `T`.
    ///
    /// # Errors
    /// As [`Carver::slice`].
    pub fn one<T: Shared>(&mut self) -> Result<&'a T> {
        self.slice(1)?.first().ok_or_else(|| Error::new(Kind::SharedMemory, "a region is empty"))
    }

    /// How many more `T` fit.
    pub fn room_for<T: Shared>(&self) -> usize {
        let at = self.region.base.as_ptr() as usize + self.at;
        let padding = at.next_multiple_of(align_of::<T>()) - at;
        self.region.len.saturating_sub(self.at + padding) / size_of::<T>().max(1)
    }
}

/// Copies `bytes` into `words`, from its start; false, and nothing done, when they do not fit.
///
/// The last word is filled up with zeros.
pub fn store_bytes(words: &[AtomicU64], bytes: &[u8]) -> bool {
    if bytes.len() > words.len() * 8 {
        return false;
    }
    let (whole, rest) = bytes.as_chunks::<8>();
    let (whole_words, rest_words) = words.split_at(whole.len());
    for (word, chunk) in whole_words.iter().zip(whole) {
        word.store(u64::from_ne_bytes(*chunk), Relaxed);
    }
    if let Some(word) = rest_words.first().filter(|_| !rest.is_empty()) {
        let mut raw = [0; 8];
        raw.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        word.store(u64::from_ne_bytes(raw), Relaxed);
    }
    true
}

/// Fills `bytes` from the start of `words`; false, and nothing done, when there are too few words.
pub fn load_bytes(words: &[AtomicU64], bytes: &mut [u8]) -> bool {
    if bytes.len() > words.len() * 8 {
        return false;
    }
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    let (whole_words, rest_words) = words.split_at(whole.len());
    for (word, chunk) in whole_words.iter().zip(whole) {
        *chunk = word.load(Relaxed).to_ne_bytes();
    }
    if let Some(word) = rest_words.first() {
        rest.iter_mut().zip(word.load(Relaxed).to_ne_bytes()).for_each(|(to, from)| *to = from);
    }
    true
}
