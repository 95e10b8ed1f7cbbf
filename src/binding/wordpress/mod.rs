//! The ports of the domains, implemented over WordPress where it is loaded.
//!
//! Owns: constants, options, hooks, `$wpdb`, REST requests and responses, and which site this request
//! belongs to. Refuses to do: anything when WordPress is absent; each function then says so with
//! `None`, and the class falls back to what it holds itself.
//!
//! Every call into PHP from here may `longjmp` away (a fatal error in a filter), so callers hold
//! nothing that needs a destructor: see `binding`.

pub mod constants;
pub mod hooks;
pub mod options;
pub mod request;
pub mod response;
pub mod site;
pub mod wpdb;

/// Forgets what was remembered about the request. Phase: post-deactivate.
pub fn forget_request() {
    site::forget();
}
