//! `session.save_handler = slbp`.
//!
//! The module calls with C's conventions. Each callback takes what it needs, lets the domain do it,
//! puts everything down, and only then gives a warning or makes a PHP string, because neither may
//! return.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ext_php_rs::ffi::zend_string;
use ext_php_rs::types::ZendStr;

use super::open::{IniOnly, directive_secret, find_or_open};
use super::symbols::SaveHandler;
use super::{create_id, lifetime, warn, warn::hide_passwords};
use crate::binding::convert::zend::bytes_of;
use crate::binding::ini;
use crate::error::{Error, Result};
use crate::session::address;
use crate::session::facade::Saved;
use crate::session::handler::Handler;
use crate::session::settings::Settings;

const SUCCESS: c_int = 0;
const FAILURE: c_int = -1;

/// What PHP is told to call.
pub static HANDLER: SaveHandler = SaveHandler {
    name: c"slbp".as_ptr(),
    open,
    close,
    read,
    write,
    destroy,
    gc,
    create_sid,
    validate_sid,
    update_timestamp,
};

/// The handler of this request, and what was read last: a string that PHP copies.
#[derive(Default)]
struct Request {
    handler: Option<Handler>,
    save_path: Vec<u8>,
    data: Vec<u8>,
}

thread_local! {
    static REQUEST: RefCell<Request> = RefCell::default();
}

/// Gives back what a script left open. Phase: post-deactivate.
pub fn end_request() {
    let left = REQUEST.take().handler;
    if let Some(mut handler) = left {
        // The lock ends by itself where the store does not answer now.
        let _ = handler.close();
    }
}

/// How sessions are kept by the directives, of which a script may change some.
///
/// # Errors
/// A directive is wrong.
pub fn settings() -> Result<Settings> {
    let settings = Settings::read(&IniOnly)?;
    Ok(Settings { lock_wait: settings.lock_wait.min(time_to_run()), ..settings })
}

/// A script does not wait for longer than it may run. PHP counts only its work and not its waiting.
fn time_to_run() -> Duration {
    let seconds = ini::text("max_execution_time").and_then(|text| text.trim().parse::<u64>().ok());
    seconds.filter(|seconds| *seconds > 0).map_or(Duration::MAX, Duration::from_secs)
}

/// Runs `call` on the handler with everything put down afterwards; what it failed with becomes a warning.
fn with<T>(call: impl FnOnce(&mut Handler) -> Result<T>) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        REQUEST.with_borrow_mut(|request| match request.handler.as_mut() {
            Some(handler) => call(handler),
            None => Err(Error::store("the session is not open")),
        })
    }));
    answer(outcome.unwrap_or_else(|_| Err(Error::store("an error in the extension"))))
}

fn answer<T>(outcome: Result<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            hide_passwords();
            warn(error);
            None
        }
    }
}

fn status(outcome: Option<()>) -> c_int {
    if outcome.is_some() { SUCCESS } else { FAILURE }
}

/// # Safety
/// `text` is a live string of the caller's, which it keeps for the call.
unsafe fn copied(text: *const zend_string) -> Vec<u8> {
    // SAFETY: as the caller says.
    unsafe { bytes_of(text) }.to_vec()
}

unsafe extern "C" fn open(data: *mut *mut c_void, save_path: *const c_char, _name: *const c_char) -> c_int {
    super::warn::restore_save_path();
    let save_path = match save_path.is_null() {
        true => Vec::new(),
        // SAFETY: the module passes its directive's text, or what stood in its place a moment ago.
        false => unsafe { CStr::from_ptr(current_path(save_path)) }.to_bytes().to_vec(),
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| prepare(save_path)));
    let is_open = answer(outcome.unwrap_or_else(|_| Err(Error::store("an error in the extension"))));
    // SAFETY: the module's own place. It takes null for "not open".
    unsafe { *data = if is_open.is_some() { std::ptr::dangling_mut() } else { std::ptr::null_mut() } };
    status(is_open)
}

/// The module read its path before it was restored.
fn current_path(given: *const c_char) -> *const c_char {
    match super::symbols::save_path() {
        // SAFETY: the module's own place, see `warn`.
        Some(place) => unsafe { *place },
        None => given,
    }
}

fn prepare(save_path: Vec<u8>) -> Result<()> {
    let settings = settings()?;
    REQUEST.with_borrow_mut(|request| {
        if let Some(handler) = request.handler.as_mut().filter(|_| request.save_path == save_path) {
            handler.set(settings);
            return Ok(());
        }
        let places = address::parse(&String::from_utf8_lossy(&save_path), &IniOnly)?;
        let sessions = find_or_open(places, directive_secret())?;
        request.handler = Some(Handler::new(sessions, settings));
        request.save_path = save_path;
        Ok(())
    })
}

unsafe extern "C" fn close(data: *mut *mut c_void) -> c_int {
    let closed = with(Handler::close);
    // SAFETY: the module's own place.
    unsafe { *data = std::ptr::null_mut() };
    status(closed)
}

unsafe extern "C" fn validate_sid(_data: *mut *mut c_void, key: *mut zend_string) -> c_int {
    // SAFETY: the module passes the id that it holds.
    let id = unsafe { copied(key) };
    match with(|handler| handler.validate(&id, lifetime())) {
        Some(true) => SUCCESS,
        _ => FAILURE,
    }
}

unsafe extern "C" fn read(
    _data: *mut *mut c_void,
    key: *mut zend_string,
    value: *mut *mut zend_string,
    lifetime: c_long,
) -> c_int {
    // SAFETY: the module passes the id that it holds.
    let id = unsafe { copied(key) };
    let Some(read) = with(|handler| handler.read(&id, seconds(lifetime))) else { return FAILURE };
    drop(id);
    let is_forged = read.is_forged;
    // PHP's memory may be full, which does not come back: what was read lies where it is freed all the same.
    let bytes = REQUEST.with_borrow_mut(|request| {
        request.data = read.data;
        std::ptr::from_ref(request.data.as_slice())
    });
    // SAFETY: the buffer stays until the next read; nothing borrows it while PHP allocates. The value is the
    // module's place for a string, which it then owns.
    unsafe { *value = ZendStr::new(&*bytes, false).into_raw() };
    REQUEST.with_borrow_mut(|request| request.data = Vec::new());
    if is_forged {
        warn(Error::store(FORGED));
    }
    SUCCESS
}

unsafe extern "C" fn write(
    _data: *mut *mut c_void,
    key: *mut zend_string,
    value: *mut zend_string,
    lifetime: c_long,
) -> c_int {
    // SAFETY: the module passes strings that it holds until this returns.
    let (id, value) = unsafe { (copied(key), bytes_of(value)) };
    let saved = with(|handler| handler.write(&id, value, seconds(lifetime)));
    drop(id);
    match saved {
        Some(Saved::Yes | Saved::Unwanted) => SUCCESS,
        Some(Saved::Overtaken) => {
            hide_passwords();
            warn(Error::store(OVERTAKEN));
            FAILURE
        }
        None => FAILURE,
    }
}

/// Said where a write comes too late.
pub const OVERTAKEN: &str = "another request has changed or ended the session meanwhile; nothing was saved";

/// Said where something else was found than what was stored.
pub const FORGED: &str = "what is stored for the session is not this site's, or not intact; it begins anew";

unsafe extern "C" fn update_timestamp(
    _data: *mut *mut c_void,
    key: *mut zend_string,
    _value: *mut zend_string,
    lifetime: c_long,
) -> c_int {
    // SAFETY: the module passes the id that it holds.
    let id = unsafe { copied(key) };
    status(with(|handler| handler.touch(&id, seconds(lifetime))))
}

unsafe extern "C" fn destroy(_data: *mut *mut c_void, key: *mut zend_string) -> c_int {
    // SAFETY: the module passes the id that it holds.
    let id = unsafe { copied(key) };
    status(with(|handler| handler.destroy(&id, lifetime())))
}

unsafe extern "C" fn gc(_data: *mut *mut c_void, _lifetime: c_long, removed: *mut c_long) -> c_long {
    let count =
        with(|handler| handler.collect()).map_or(-1, |count| c_long::try_from(count).unwrap_or(c_long::MAX));
    // SAFETY: the module's place for the count, or null.
    if let Some(removed) = unsafe { removed.as_mut() } {
        *removed = count;
    }
    count
}

unsafe extern "C" fn create_sid(_data: *mut *mut c_void) -> *mut zend_string {
    let made = create_id();
    if made.is_null() {
        return made;
    }
    // SAFETY: a new string of PHP's, which the module owns when this returns.
    let id = unsafe { copied(made) };
    with(|handler| handler.made(&id, lifetime()));
    made
}

fn seconds(lifetime: c_long) -> Duration {
    Duration::from_secs(u64::try_from(lifetime).unwrap_or(0).max(1))
}
