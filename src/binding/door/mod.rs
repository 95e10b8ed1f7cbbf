//! The door: addresses that are answered before any PHP runs.
//!
//! Owns: recognising them when a request begins, and answering in place of the site's script. So the
//! answer needs no WordPress, no database and no file, and neither maintenance mode, a redirect to
//! another host, nor a plugin that is broken stands in its way. Refuses to do: decide what to answer;
//! a [`Route`] does, and may leave it to WordPress, where the same address is a REST route.
//!
//! How: RINIT compares the address ([`target`]); nothing else happens to a request that is not ours.
//! For one that is, the engine's `zend_compile_file` is replaced for this request, outermost, so that
//! opcache does not serve the script past it. When PHP is about to compile the first file (the script,
//! or an `auto_prepend_file`), every RINIT has run and nothing of the site has: the route answers, and
//! PHP is told that there is nothing to run. A route that declines gives the file back to the engine.
//!
//! The pointer is the process', so threads (ZTS) would see each other's: there the door stays shut.

pub mod target;
pub mod visit;

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ext_php_rs::ffi::_zend_file_handle;
use ext_php_rs::zend::SapiGlobals;

use super::{health, ini, metrics};
use visit::Visit;

/// What is sent.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// One address at the door.
pub struct Route {
    /// The REST route below the namespace.
    pub name: &'static str,
    /// Answers, or leaves it to WordPress with `None`: also whoever may not see it is refused there.
    pub answer: fn(&Visit) -> Option<Answer>,
}

/// Every address that is answered here.
static ROUTES: [Route; 5] = [
    Route { name: "live", answer: health::door::live },
    Route { name: "ready", answer: health::door::ready },
    Route { name: "health", answer: health::door::health },
    Route { name: "health/detailed", answer: health::door::detailed },
    Route { name: "metrics", answer: metrics::door::metrics },
];

/// `zend_op_array *(*)(zend_file_handle *file_handle, int type)`.
type Compile = unsafe extern "C" fn(*mut _zend_file_handle, c_int) -> *mut c_void;

unsafe extern "C" {
    static mut zend_compile_file: Option<Compile>;
}

thread_local! {
    /// What php.ini and the pool say, read at the worker's first request.
    static FOLDER: OnceCell<Option<Rc<String>>> = const { OnceCell::new() };
    /// The route of this request, until it is answered.
    static ROUTE: Cell<Option<&'static Route>> = const { Cell::new(None) };
    /// The engine's compiler, while ours stands in its place.
    static COMPILER: Cell<Option<Compile>> = const { Cell::new(None) };
    /// What is being sent: kept here, because the engine may leave by a jump when the client is gone.
    static SENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Looks who comes. Phase: RINIT.
pub fn knock() {
    let Some(route) = route() else { return };
    // SAFETY: RINIT on PHP's only thread; the pointer is the process' and read by nobody else. No lock.
    let compiler = unsafe { zend_compile_file };
    ROUTE.set(Some(route));
    COMPILER.set(compiler);
    // SAFETY: as above; `answer_instead` has the engine's signature.
    unsafe { zend_compile_file = Some(answer_instead) };
}

/// Puts everything back. Phase: post-deactivate.
pub fn close() {
    ROUTE.set(None);
    if let Some(compiler) = COMPILER.take() {
        // SAFETY: the request is over, on PHP's only thread. No lock.
        unsafe { zend_compile_file = Some(compiler) };
        SENT.with_borrow_mut(Vec::clear);
    }
}

fn route() -> Option<&'static Route> {
    if cfg!(php_zts) {
        return None;
    }
    let folder = FOLDER.with(|folder| folder.get_or_init(settings).clone())?;
    let folder = Some(folder.as_str()).filter(|folder| !folder.is_empty());
    // Every request pays for this line; the others are for those that might be ours.
    let uri = visit::look(c"REQUEST_URI", |uri| {
        let uri = uri.to_str().ok()?;
        target::may_be_ours(uri, folder).then(|| uri.to_owned())
    })??;
    if !is_read() {
        return None;
    }
    let visit = Visit::current();
    let target = target::parse(&uri, &visit.variable("SCRIPT_NAME")?, folder)?;
    let route = ROUTES.iter().find(|route| route.name == target.name)?;
    let is_prefix = |prefix: &str| prefix == health::door::prefix(&visit);
    target.prefix.is_none_or(is_prefix).then_some(route)
}

/// `slbp.probe_path`, empty when it is no path; `None` while `slbp.probes` is off.
fn settings() -> Option<Rc<String>> {
    let is_on =
        ini::text("slbp.probes").is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("off"));
    let folder = ini::text("slbp.probe_path").filter(|path| path.starts_with('/'));
    is_on.then(|| Rc::new(folder.unwrap_or_default()))
}

fn is_read() -> bool {
    matches!(SapiGlobals::get().request_info().request_method(), Some("GET" | "HEAD"))
}

/// Stands in for the engine's compiler while a request of ours runs.
unsafe extern "C" fn answer_instead(file: *mut _zend_file_handle, kind: c_int) -> *mut c_void {
    if let Some(route) = ROUTE.take() {
        let answered = catch_unwind(AssertUnwindSafe(|| (route.answer)(&Visit::current())));
        match answered {
            Ok(Some(answer)) => send(answer),
            // A panic of ours must not cost the site its answer: WordPress has one too.
            Ok(None) | Err(_) => close(),
        }
    }
    match COMPILER.get() {
        // Answered: the script, and what php.ini appends to it, does not run.
        Some(_) => std::ptr::null_mut(),
        // SAFETY: the engine calls this with its own arguments, which are passed on as they are.
        None => unsafe { zend_compile_file.map_or(std::ptr::null_mut(), |compile| compile(file, kind)) },
    }
}

fn send(answer: Answer) {
    use ext_php_rs::zend::{output_write, remove_header, set_header, set_response_code};
    // Fails only when headers are gone already, and then there is nobody to tell.
    let _ = remove_header("X-Powered-By");
    let _ = set_response_code(answer.status);
    let _ = set_header(&format!("Content-Type: {}", answer.content_type));
    let _ = set_header("Cache-Control: no-store");
    let body = SENT.with_borrow_mut(|sent| {
        *sent = answer.body;
        (sent.as_ptr(), sent.len())
    });
    // SAFETY: SENT keeps the bytes until the request is over, and nobody borrows it meanwhile. They are
    // not borrowed here, because the engine may jump out of this call. No lock.
    let _ = output_write(unsafe { std::slice::from_raw_parts(body.0, body.1) });
}
