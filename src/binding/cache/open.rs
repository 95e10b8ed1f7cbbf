//! The caches that this worker has open.
//!
//! A cache is opened when a script first asks for it and serves later requests too, with its
//! connection. A worker serves few sites, and a site uses few settings; when there are more than
//! [`KEPT`], those go first that were not used for longest.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::binding::segment;
use crate::binding::wordpress::site;
use crate::cache::facade::{Cache, Host};
use crate::cache::settings::Settings;
use crate::clock::CoarseClock;
use crate::error::Result;

/// So many stay open between requests.
const KEPT: usize = 8;

/// An open cache.
pub struct Opened {
    cache: Cache,
    site: Vec<u8>,
    /// The last request that used it; 0: none yet.
    request: Cell<u64>,
}

thread_local! {
    static OPENED: RefCell<Vec<Rc<Opened>>> = const { RefCell::new(Vec::new()) };
    /// Which request of this worker it is, counted from 1.
    static REQUEST: Cell<u64> = const { Cell::new(1) };
}

impl Opened {
    /// The cache, which is told when a request is the first to use it.
    pub fn in_request(&self) -> &Cache {
        let request = REQUEST.get();
        if self.request.replace(request) != request {
            self.cache.begin_request();
        }
        &self.cache
    }
}

/// The cache of the current site with `settings`.
///
/// # Errors
/// When it cannot be opened: there is no shared memory, or no room in it.
pub fn find_or_open(settings: Settings) -> Result<Rc<Opened>> {
    let site = site::identity();
    let known = OPENED.with_borrow(|opened| {
        let found = opened.iter().find(|opened| opened.site == site && *opened.cache.settings() == settings);
        found.map(Rc::clone)
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let host = Host {
        segment: segment::get()?,
        clock: Arc::new(CoarseClock),
        secret: site::secret(),
        may_listen: outlives_a_request(),
        site: site.clone(),
    };
    let opened = Rc::new(Opened { cache: Cache::open(host, settings)?, site, request: Cell::new(0) });
    OPENED.with_borrow_mut(|all| all.push(Rc::clone(&opened)));
    Ok(opened)
}

/// Ends the request for every cache that it used. Phase: post-deactivate.
pub fn end_request() {
    let request = REQUEST.replace(REQUEST.get() + 1);
    OPENED.with_borrow_mut(|opened| {
        opened.iter().filter(|opened| opened.request.get() == request).for_each(|opened| {
            opened.cache.end_request();
        });
        if opened.len() > KEPT {
            opened.sort_by_key(|opened| std::cmp::Reverse(opened.request.get()));
            opened.truncate(KEPT);
        }
    });
}

/// Closes all. Phase: MSHUTDOWN.
pub fn close_all() {
    OPENED.take();
}

/// Whether this process is a worker, which may keep a thread, or a command that ends in a moment.
fn outlives_a_request() -> bool {
    // SAFETY: set by the SAPI before MINIT and never changed; the name is a string literal of its. No lock.
    let name = unsafe { std::ffi::CStr::from_ptr(ext_php_rs::ffi::sapi_module.name) };
    !matches!(name.to_bytes(), b"cli" | b"phpdbg" | b"embed")
}
