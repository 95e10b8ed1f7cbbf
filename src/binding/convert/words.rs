//! Array keys that keep coming back.
//!
//! A site's arrays have a few hundred different keys. Each is kept once per process as a string that
//! the engine takes for one of its own: its hash is known, and nobody counts who holds it. Building an
//! array of eight from them takes half the time of making eight strings and hashing them.
//!
//! Such a string is never freed, so there are at most [`PLACES`] of them, none longer than
//! [`LONGEST`]; a key that finds its place taken is made anew each time.

use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use ext_php_rs::ffi::{zend_hash_func, zend_string};
use ext_php_rs::types::ZendStr;

use super::zend::bytes_of;

const PLACES: usize = 2048;
const LONGEST: usize = 40;

/// `IS_STR_INTERNED`: nobody counts who holds it.
const INTERNED: u32 = 1 << 6;

static WORDS: [AtomicPtr<zend_string>; PLACES] = [const { AtomicPtr::new(std::ptr::null_mut()) }; PLACES];

/// The string of a key, if it is one that is kept.
#[inline]
pub fn known(bytes: &[u8]) -> Option<*mut zend_string> {
    if bytes.len() < 2 || bytes.len() > LONGEST {
        return None;
    }
    let place = WORDS.get(place_of(bytes))?;
    let word = place.load(Relaxed);
    if word.is_null() {
        // Of two threads that keep a word at once (PHP has one) the slower one's is lost, and still good.
        let word = keep(bytes);
        place.store(word, Relaxed);
        return Some(word);
    }
    // SAFETY: made by `keep` and never freed.
    (unsafe { bytes_of(word) } == bytes).then_some(word)
}

/// Mixes the length, the first and the last bytes: keys differ there or collide, which costs little.
#[inline]
fn place_of(bytes: &[u8]) -> usize {
    let end = |word: Option<&[u8; 8]>| word.map_or(0, |word| u64::from_ne_bytes(*word));
    let (first, last) = match bytes.len() {
        8.. => (end(bytes.first_chunk()), end(bytes.last_chunk())),
        _ => (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
    };
    let mixed = (first ^ last.rotate_left(29) ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 53) as usize
}

fn keep(bytes: &[u8]) -> *mut zend_string {
    let word = ZendStr::new(bytes, true).into_raw();
    let word: *mut zend_string = word;
    // SAFETY: a new string of this process, which nobody else has seen.
    unsafe {
        (*word).h = zend_hash_func(bytes.as_ptr().cast(), bytes.len());
        (*word).gc.u.type_info |= INTERNED;
    }
    word
}
