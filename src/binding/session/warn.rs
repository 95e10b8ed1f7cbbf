//! Warnings about sessions.
//!
//! The session module adds its own, with `session.save_path` as it was set. Where there is a password in
//! it, the module is shown another text until the request ends.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};

use ext_php_rs::ffi::php_error_docref;

use super::symbols;
use crate::error::Error;
use crate::session::address;

const E_WARNING: i32 = 1 << 1;
const E_CORE_WARNING: i32 = 1 << 5;

thread_local! {
    /// The text of the last warning: an error handler that never comes back leaves nothing behind.
    static LAST: RefCell<CString> = RefCell::default();
    /// What the module is shown, and what it had.
    static SHOWN: Cell<Option<Shown>> = const { Cell::new(None) };
    static REDACTED: RefCell<CString> = RefCell::default();
}

#[derive(Clone, Copy)]
struct Shown {
    ours: *const c_char,
    its: *const c_char,
}

/// Gives PHP's E_WARNING that says what failed. It may run PHP code, throw, or never return; so the error
/// is taken, and what the text is made of is freed before PHP sees it.
pub fn warn(error: Error) {
    keep(&error.to_string());
    drop(error);
    give(E_WARNING);
}

/// Says so while PHP starts. Phase: MINIT.
pub fn at_start(message: &str) {
    keep(message);
    give(E_CORE_WARNING);
}

fn keep(message: &str) {
    LAST.replace(CString::new(format!("slbp: {message}").replace('\0', "")).unwrap_or_default());
}

fn give(level: i32) {
    let text = LAST.with_borrow(|text| text.as_ptr());
    // SAFETY: MINIT or a running request, on its thread; the format takes exactly the one string that is
    // passed, which lives until the next warning: PHP formats it before it calls anybody. No lock.
    unsafe { php_error_docref(std::ptr::null(), level, c"%s".as_ptr(), text) };
}

/// Has the module show `session.save_path` without passwords from now on. Called where a callback is about
/// to fail.
pub fn hide_passwords() {
    let Some(place) = symbols::save_path() else { return };
    // SAFETY: a request is running, on the only thread of a PHP in which the place exists; the module keeps
    // null or a string there, which lives until the directive changes. Only the pointer is replaced.
    unsafe {
        let its = *place;
        if its.is_null() || SHOWN.get().is_some_and(|shown| shown.ours == its) {
            return;
        }
        let told = CStr::from_ptr(its).to_string_lossy();
        let redacted = address::redacted(&told);
        if redacted == told {
            return;
        }
        let text = CString::new(redacted).unwrap_or_default();
        let ours = text.as_ptr();
        REDACTED.replace(text);
        *place = ours;
        SHOWN.set(Some(Shown { ours, its }));
    }
}

/// Gives the module back what it had, unless the directive was changed meanwhile.
pub fn restore_save_path() {
    // Every request ends here, and hardly any has something to give back.
    let Some(shown) = SHOWN.take() else { return };
    let Some(place) = symbols::save_path() else { return };
    // SAFETY: as in `hide_passwords`; the directive still has its string, or the place would not hold ours.
    unsafe {
        if *place == shown.ours {
            *place = shown.its;
        }
    }
}
