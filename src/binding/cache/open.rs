//! The caches that this worker has open.
//!
//! A cache is opened when a script first asks for it and serves later requests too, with its
//! connection. A worker serves few sites, and a site uses few settings; when there are more than
//! [`KEPT`], those go first that were not used for longest.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::binding::segment;
use crate::binding::wordpress::site;
use crate::cache::facade::{Cache, Host, Token};
use crate::cache::keys::Key;
use crate::cache::settings::Settings;
use crate::clock::CoarseClock;
use crate::error::Result;

/// So many stay open between requests.
const KEPT: usize = 8;

/// So many misses are remembered in one request.
const MOST_MISSED: usize = 10_000;

/// An open cache.
pub struct Opened {
    cache: Cache,
    site: Vec<u8>,
    /// The last request that used it; 0: none yet.
    request: Cell<u64>,
    /// What this request has missed, with what it needs to fill the gap.
    missed: RefCell<HashMap<Vec<u8>, Token>>,
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

    /// Notes a miss.
    pub fn note_miss(&self, key: Key<'_>, token: Token) {
        let mut missed = self.missed.borrow_mut();
        if missed.len() < MOST_MISSED {
            missed.insert(named(key), token);
        }
    }

    /// Takes back what was noted of a miss: each token is good for one write, and what this request
    /// writes itself is no reason to refuse it.
    pub fn take_miss(&self, key: Key<'_>) -> Option<Token> {
        let mut missed = self.missed.borrow_mut();
        if missed.is_empty() { None } else { missed.remove(&named(key)) }
    }

    /// Takes all of it back.
    pub fn forget_misses(&self) {
        self.missed.borrow_mut().clear();
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
    let opened = Rc::new(Opened {
        cache: Cache::open(host, settings)?,
        site,
        request: Cell::new(0),
        missed: RefCell::default(),
    });
    OPENED.with_borrow_mut(|all| all.push(Rc::clone(&opened)));
    Ok(opened)
}

/// Ends the request for every cache that it used. Phase: post-deactivate.
pub fn end_request() {
    let request = REQUEST.replace(REQUEST.get() + 1);
    OPENED.with_borrow_mut(|opened| {
        opened.iter().filter(|opened| opened.request.get() == request).for_each(|opened| {
            opened.cache.end_request();
            opened.forget_misses();
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

/// Group and name, so that no two keys are alike.
fn named(key: Key<'_>) -> Vec<u8> {
    [&(key.group.len() as u32).to_ne_bytes(), key.group, key.name].concat()
}

/// Whether this process is a worker, which may keep a thread, or a command that ends in a moment.
fn outlives_a_request() -> bool {
    // SAFETY: set by the SAPI before MINIT and never changed; the name is a string literal of its. No lock.
    let name = unsafe { std::ffi::CStr::from_ptr(ext_php_rs::ffi::sapi_module.name) };
    !matches!(name.to_bytes(), b"cli" | b"phpdbg" | b"embed")
}
