//! Standing in for internal functions.
//!
//! A handler is swapped in the function's own entry, so every caller meets ours: interpreted, compiled
//! by opcache's JIT, or another extension. What stood there before, PHP's own or another tracer's, is
//! called by ours. Functions are swapped at MINIT through `CG(function_table)`; methods when their class
//! exists, which is after the MINIT of its extension: then, or in the first request.
//!
//! Swapping later would be too late: code that the JIT has compiled calls the handler it saw.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use ext_php_rs::ffi::{
    ext_php_rs_compiler_globals, ext_php_rs_executor_globals, zend_execute_data, zend_function,
    zend_hash_str_find, zval,
};

use super::targets::{TARGETS, Target};
use super::watch::{self, Call};
use crate::binding::{class_table, ini, segment};
use crate::shm::Counter;

/// Panics of ours in one process after which it watches no more.
const MOST_PANICS: u32 = 3;

static PANICS: AtomicU32 = AtomicU32::new(0);

/// What stood before our handlers; null where nothing was swapped.
static ORIGINALS: [AtomicPtr<()>; TARGETS.len()] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; TARGETS.len()];

type Handler = unsafe extern "C" fn(*mut zend_execute_data, *mut zval);

/// Swaps the functions, and the methods of the classes that exist already. Phase: MINIT.
pub fn install_functions() {
    if is_wanted() {
        swap_all();
    }
}

/// Swaps the methods of classes that did not exist at MINIT. Phase: RINIT.
pub fn install_methods() {
    static FIRST_REQUEST: Once = Once::new();
    FIRST_REQUEST.call_once(|| {
        if is_wanted() {
            swap_all();
        }
    });
}

/// php.ini reads a bare `off` as an empty value.
fn is_wanted() -> bool {
    ini::text("slbp.query_hook").is_some_and(|mode| mode != "off" && mode != "0")
}

fn swap_all() {
    for ((target, original), ours) in TARGETS.iter().zip(&ORIGINALS).zip(HANDLERS) {
        if original.load(Relaxed).is_null()
            && let Some(function) = find(target)
        {
            swap(function, original, ours);
        }
    }
}

/// The entry of an internal function.
fn find(target: &Target) -> Option<*mut zend_function> {
    // SAFETY: MINIT or the first RINIT, on the only thread: the engine has built both tables, whose
    // entries live until module shutdown; the lookup only reads. No lock.
    unsafe {
        let table = match target.class {
            Some(class) => &raw const class_table::find(class)?.function_table,
            None => ext_php_rs_compiler_globals().as_ref()?.function_table.cast_const(),
        };
        let entry = zend_hash_str_find(table, target.name.as_ptr().cast(), target.name.len()).as_ref()?;
        entry.ptr::<zend_function>()
    }
}

fn swap(function: *mut zend_function, original: &AtomicPtr<()>, ours: Handler) {
    const INTERNAL: u8 = 1;
    // SAFETY: as in `find`; the entry is an internal function's, as its type says, and nobody runs it yet.
    unsafe {
        if (*function).type_ != INTERNAL {
            return;
        }
        let handler = &mut (*function).internal_function.handler;
        if let Some(theirs) = *handler {
            original.store(theirs as *mut (), Relaxed);
            *handler = Some(ours);
        }
    }
}

/// Our handler of target `N`. It holds nothing while the original runs, which may jump over it.
unsafe extern "C" fn hooked<const N: usize>(frame: *mut zend_execute_data, result: *mut zval) {
    let Some(original) = original(N) else { return };
    let began = begin();
    // SAFETY: the engine calls us as it would call the original, with the same arguments.
    unsafe { original(frame, result) };
    if let Some(began) = began {
        finish(N, began, frame, result);
    }
}

#[inline]
fn original(number: usize) -> Option<Handler> {
    let address = ORIGINALS.get(number)?.load(Relaxed);
    // SAFETY: null, or what `swap` found in a handler's place, which has this type.
    unsafe { std::mem::transmute::<*mut (), Option<Handler>>(address) }
}

/// When the call began, unless nobody watches.
#[inline]
fn begin() -> Option<Instant> {
    (PANICS.load(Relaxed) < MOST_PANICS && watch::is_on()).then(Instant::now)
}

fn finish(number: usize, began: Instant, frame: *const zend_execute_data, result: *const zval) {
    let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let note = AssertUnwindSafe(|| {
        let Some(target) = TARGETS.get(number) else { return };
        // SAFETY: the call's frame and result, which its caller keeps until we return; the engine sets
        // `exception` on this thread only. No lock.
        let (frame, result, failed) = unsafe {
            let (Some(frame), Some(result)) = (frame.as_ref(), result.as_ref()) else { return };
            let thrown =
                ext_php_rs_executor_globals().as_ref().is_some_and(|globals| !globals.exception.is_null());
            (frame, result, thrown || result.is_false())
        };
        watch::note(&Call { reads: target.reads, frame, result, nanos, failed });
    });
    if catch_unwind(note).is_err() {
        PANICS.fetch_add(1, Relaxed);
        if let Ok(segment) = segment::get() {
            segment.counters().add(Counter::QueryHookPanics, 1);
        }
    }
}

macro_rules! handlers {
    ($($number:literal)+) => { [$(hooked::<$number>),+] };
}

/// One handler for each target, because it is told nothing but the call.
static HANDLERS: [Handler; TARGETS.len()] =
    handlers!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27);
