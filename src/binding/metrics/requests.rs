//! Measuring every request: RINIT notes when it began, RSHUTDOWN counts what it was.
//!
//! Without WordPress nothing is known of the site while a request begins, so all that needs the site
//! is done at its end, after the response has been sent where the script calls
//! `fastcgi_finish_request`. On the command line nothing is measured. `slbp.request_metrics` = 0 turns
//! it off.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::time::Instant;

use ext_php_rs::ffi::{ext_php_rs_executor_globals, zend_string};
use ext_php_rs::zend::{SapiGlobals, SapiModule};

use super::learned;
use crate::binding::door::visit;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::{ini, segment};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::metrics::requests::{Finished, Level, Route};
use crate::metrics::{Registry, Workers};
use crate::ports::Environment;
use crate::shm::Owner;

unsafe extern "C" {
    fn zend_memory_peak_usage(real: bool) -> usize;
    fn zend_observer_error_register(callback: ErrorCallback);
}

type ErrorCallback = unsafe extern "C" fn(c_int, *mut zend_string, u32, *mut zend_string);

thread_local! {
    /// When the request began; `None` between requests and where nothing is measured.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static ERRORS: [Cell<u32>; Level::ALL.len()] = const { [const { Cell::new(0) }; Level::ALL.len()] };
    /// This process among the workers, with its pid: a child that it forks is another one.
    static WORKER: Cell<Option<(u32, usize)>> = const { Cell::new(None) };
    static IS_ON: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Has PHP tell of its errors. Phase: MINIT.
pub fn watch_errors() {
    // SAFETY: MINIT; the callback has the engine's signature and lives as long as the module.
    unsafe { zend_observer_error_register(count_error) };
}

/// Phase: RINIT.
pub fn begin() {
    if !is_on() {
        return;
    }
    BEGAN.set(Some(Instant::now()));
    ERRORS.with(|errors| errors.iter().for_each(|count| count.set(0)));
    if let (Ok(workers), Some(place)) = (workers(), place()) {
        workers.begin(place, SystemClock.now());
    }
}

/// Phase: RSHUTDOWN, while the site's constants are still defined.
pub fn end() {
    let Some(began) = BEGAN.take() else { return };
    if let (Ok(workers), Some((_, place))) = (workers(), WORKER.get()) {
        workers.end(place);
    }
    let script = variable(c"SCRIPT_FILENAME").unwrap_or_default();
    let finished = Finished {
        route: Route::of(&variable(c"REQUEST_URI").unwrap_or_default(), &script),
        status: status(),
        duration: began.elapsed(),
        // SAFETY: a request is running; the function only reads a number. No lock.
        memory: unsafe { zend_memory_peak_usage(true) } as u64,
        errors: ERRORS.with(|errors| errors.each_ref().map(Cell::get)),
    };
    // Where there is no room for the site, its class has said so; a line in the log for each request
    // would help nobody.
    let _ = registry(&script)
        .and_then(|registry| registry.finish(&finished, &segment::get()?.counters(), &SystemClock));
}

/// The metrics of the request's site. One that was answered at the door has not said which it is, but
/// those before it have.
fn registry(script: &str) -> Result<Registry<'static>> {
    let folder = script.strip_suffix("/index.php");
    if PhpEnvironment.constant("ABSPATH").is_some() {
        let registry = super::registry()?;
        if let Some(folder) = folder {
            learned::note_site(folder, registry.tag())?;
        }
        return Ok(registry);
    }
    match folder.and_then(learned::site) {
        Some(tag) => Registry::tagged(segment::get()?, tag),
        None => super::registry(),
    }
}

fn workers() -> Result<Workers<'static>> {
    Workers::open(segment::get()?)
}

/// The place of this process among the workers, taken at its first request.
fn place() -> Option<usize> {
    let pid = std::process::id();
    if let Some((_, place)) = WORKER.get().filter(|(known, _)| *known == pid) {
        return Some(place);
    }
    let place = workers().ok()?.join(Owner::current())?;
    WORKER.set(Some((pid, place)));
    Some(place)
}

/// Read once: both can be changed only by a restart.
fn is_on() -> bool {
    if let Some(known) = IS_ON.get() {
        return known;
    }
    // SAFETY: set before MINIT to a string that lives as long as the process. No lock.
    let sapi = unsafe { CStr::from_ptr(SapiModule::get().name) };
    let is_on = sapi != c"cli" && ini::text("slbp.request_metrics").is_some_and(|value| is_yes(&value));
    IS_ON.set(Some(is_on));
    is_on
}

fn is_yes(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "off" | "no" | "false")
}

/// The status that was sent; 200 where nobody set one.
fn status() -> u16 {
    let code = SapiGlobals::get().sapi_headers().http_response_code;
    u16::try_from(code).ok().filter(|code| *code > 0).unwrap_or(200)
}

/// What the web server said of the request. `$_SERVER` may have been changed, or never made.
fn variable(name: &CStr) -> Option<String> {
    visit::look(name, |value| value.to_string_lossy().into_owned())
}

/// Called by the engine for each error, silenced ones too. It must neither call PHP nor unwind.
unsafe extern "C" fn count_error(
    kind: c_int,
    _file: *mut zend_string,
    _line: u32,
    _message: *mut zend_string,
) {
    // SAFETY: called on the request's thread between MINIT and MSHUTDOWN; a number is read. No lock.
    let reporting =
        unsafe { ext_php_rs_executor_globals().as_ref() }.map_or(0, |globals| globals.error_reporting);
    let is_silenced = kind & reporting == 0;
    if let Some(level) = Level::of(kind).filter(|level| !is_silenced || *level == Level::Fatal) {
        let _ = ERRORS.try_with(|errors| {
            if let Some(count) = errors.get(level as usize) {
                count.set(count.get().saturating_add(1));
            }
        });
    }
}
