//! Buffers that are used again from call to call.
//!
//! A fatal error in PHP code jumps over the frames that use them, so no frame owns them: they lie in
//! a stack of the thread, of which [`with`] hands out the next level and [`reset`] takes all back
//! when the request is over. A call from within a call (an autoloader that asks the cache) gets the
//! level above.

use std::cell::{Cell, RefCell};

use crate::binding::convert::encode::Walk;
use crate::cache::codec::{Encoded, Encoder};
use crate::cache::facade::Value;

/// Memory that one value has blown up beyond this is given back when the request is over.
const KEPT_BYTES: usize = 1 << 20;

/// What one call needs.
#[derive(Default)]
pub struct Scratch {
    /// An encoded value that was read.
    pub body: Vec<u8>,
    /// Several of them.
    pub values: Vec<Option<Value>>,
    /// Where a value is being encoded.
    pub encoder: Option<Encoder>,
    /// Memory for the next encoder.
    pub spare: Vec<u8>,
    /// Values that have been encoded.
    pub encoded: Vec<Option<Encoded>>,
    /// What the walk through the value has seen.
    pub walk: Walk,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "a level stays where it is when the stack grows")]
    static LEVELS: RefCell<Vec<Box<Scratch>>> = const { RefCell::new(Vec::new()) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work` with a level of its own.
pub fn with<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    struct Level(usize);
    impl Drop for Level {
        fn drop(&mut self) {
            DEPTH.set(self.0);
        }
    }
    let level = Level(DEPTH.get());
    DEPTH.set(level.0 + 1);
    let scratch: *mut Scratch = LEVELS.with_borrow_mut(|levels| {
        if levels.len() <= level.0 {
            levels.resize_with(level.0 + 1, Box::default);
        }
        levels.get_mut(level.0).map_or(std::ptr::null_mut(), |scratch| &raw mut **scratch)
    });
    // SAFETY: never null, for the stack was just made high enough. A box stays where it is when the
    // stack grows, levels are freed only between requests, and the depth keeps others off this one.
    work(unsafe { &mut *scratch })
}

/// Takes all levels back. Phase: post-deactivate.
pub fn reset() {
    DEPTH.set(0);
    LEVELS.with_borrow_mut(|levels| {
        levels.truncate(1);
        for scratch in levels {
            let is_large = scratch.body.capacity() > KEPT_BYTES || scratch.spare.capacity() > KEPT_BYTES;
            scratch.values = Vec::new();
            scratch.encoded = Vec::new();
            if is_large {
                **scratch = Scratch::default();
            }
        }
    });
}
