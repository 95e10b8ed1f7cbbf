//! Which site this request belongs to.
//!
//! All pools of a php-fpm master share one segment, so every key carries the site: its path, its
//! table prefix and its salt. Two sites on one host never see each other's limits or cache, and a
//! site that does not know another's salt cannot name its keys.

use std::cell::RefCell;

use ext_php_rs::ffi::ext_php_rs_executor_globals;
use ext_php_rs::types::Zval;

use super::constants::PhpEnvironment;
use crate::ports::Environment;

thread_local! {
    static CURRENT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The site's identity as opaque bytes: remembered for the request once WordPress has defined
/// `ABSPATH`; outside WordPress `slbp.site`.
pub fn identity() -> Vec<u8> {
    if let Some(known) = CURRENT.with_borrow(Clone::clone) {
        return known;
    }
    let environment = PhpEnvironment;
    let Some(root) = environment.constant("ABSPATH") else {
        return environment.ini("slbp.site").unwrap_or_default().into_bytes();
    };
    let salt = environment.constant("WP_CACHE_KEY_SALT").or_else(|| environment.constant("AUTH_SALT"));
    let parts = [root, table_prefix().unwrap_or_default(), salt.unwrap_or_default()];
    let identity = parts.join("\0").into_bytes();
    CURRENT.with_borrow_mut(|current| *current = Some(identity.clone()));
    identity
}

/// The constants with the salts that WordPress' installer writes into wp-config.php.
const SALTS: [&str; 8] = [
    "AUTH_KEY",
    "SECURE_AUTH_KEY",
    "LOGGED_IN_KEY",
    "NONCE_KEY",
    "AUTH_SALT",
    "SECURE_AUTH_SALT",
    "LOGGED_IN_SALT",
    "NONCE_SALT",
];

/// What wp-config-sample.php has in place of a salt.
const NO_SALT: &str = "put your unique phrase here";

/// What only this site knows: `slbp.signing_key`, or all eight salts; `None` where one is missing or
/// everybody's.
pub fn secret() -> Option<Vec<u8>> {
    let environment = PhpEnvironment;
    if let Some(key) = environment.ini("slbp.signing_key") {
        return Some(key.into_bytes());
    }
    let salt = |name: &&str| environment.constant(name).filter(|salt| !salt.is_empty() && salt != NO_SALT);
    let salts: Option<Vec<String>> = SALTS.iter().map(salt).collect();
    Some(salts?.join("\0").into_bytes())
}

/// Forgets the site at the end of the request: the next one may serve another.
pub fn forget() {
    CURRENT.with_borrow_mut(|current| *current = None);
}

/// `$table_prefix` of wp-config.php, or `None` outside WordPress.
pub fn table_prefix() -> Option<String> {
    global("table_prefix")?.string()
}

/// A global variable of PHP code, to be copied at once.
pub fn global(name: &str) -> Option<&'static Zval> {
    // SAFETY: a request is running, on this thread; the symbol table lives until it ends, and callers
    // copy the value before anything else runs. No lock.
    let globals = unsafe { ext_php_rs_executor_globals().as_ref() }?;
    let entry = globals.symbol_table.get(name)?;
    Some(entry.indirect().unwrap_or(entry).dereference())
}
