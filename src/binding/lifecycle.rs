//! What runs when: MINIT, RINIT, RSHUTDOWN, post-deactivate, MSHUTDOWN.
//!
//! Each body runs inside [`guarded`], because a panic that leaves a lifecycle hook aborts the
//! worker. MINIT runs in the php-fpm master before it forks: it maps memory and registers names,
//! and starts no thread and opens no connection. MSHUTDOWN runs in every recycled worker: it only
//! detaches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    alerts, cache, door, exceptions, failure, ini, limiter, metrics, query, queue, segment, session,
    wordpress,
};

const SUCCESS: i32 = 0;
const FAILURE: i32 = -1;

/// MINIT, called by the generated module start before it registers the classes.
pub extern "C" fn startup(_type: i32, module_number: i32) -> i32 {
    guarded(|| {
        ini::register(module_number);
        segment::map();
        limiter::results::prepare();
        query::install_functions();
        session::register();
        metrics::requests::watch_errors();
        metrics::connections::watch();
        exceptions::register().is_ok()
    })
}

/// RINIT: what is measured begins; classes that did not exist at MINIT do now, and the first request looks
/// for them. Is this one of the addresses that are answered before any PHP runs?
pub extern "C" fn request_startup(_type: i32, _module_number: i32) -> i32 {
    guarded(|| {
        metrics::requests::begin();
        query::install_methods();
        door::knock();
        true
    })
}

/// RSHUTDOWN: PHP objects still live and the session is not written yet, so connections stay. A task
/// whose handler was left by a fatal error is settled here, what the request asked the database is added
/// up, and the request is counted. Alerts are looked at where WordPress did not come up.
pub extern "C" fn request_shutdown(_type: i32, _module_number: i32) -> i32 {
    guarded(|| {
        queue::runs::settle_abandoned(failure::last_error);
        query::end_request();
        metrics::requests::end();
        alerts::tick::at_end_of_request();
        true
    })
}

/// After everything of the request is gone: what was remembered about it is forgotten.
pub extern "C" fn post_deactivate() -> i32 {
    guarded(|| {
        door::close();
        session::end_request();
        cache::end_request();
        query::forget_request();
        wordpress::forget_request();
        true
    })
}

/// MSHUTDOWN: other workers still use the segment, so this process only lets go of it.
pub extern "C" fn shutdown(_type: i32, _module_number: i32) -> i32 {
    guarded(|| {
        cache::close();
        true
    })
}

fn guarded(body: impl FnOnce() -> bool) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(true) => SUCCESS,
        Ok(false) | Err(_) => FAILURE,
    }
}
