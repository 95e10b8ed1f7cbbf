//! The `slbp.*` directives: their table, and reading them.
//!
//! The same list with a comment on each stands in `php/ini/slbp.ini`; a test compares the two.
//! Directives that size or place shared memory are `PHP_INI_SYSTEM`, because the segment is mapped
//! once, before php-fpm forks. So is every directive that widens trust. What a secret holds is never
//! shown: pages with phpinfo() on them are left lying on servers.

use std::ffi::{CStr, CString, c_char, c_int};

use ext_php_rs::ffi::{php_printf, zend_ini_entry, zend_ini_string_ex};
use ext_php_rs::flags::IniEntryPermission as May;
use ext_php_rs::zend::{IniEntryDef, IniEntryDefs};

use crate::error::{Error, Kind, Result};

const fn system(name: &'static CStr, default: &'static CStr) -> IniEntryDef {
    IniEntryDef::new(name, default, May::System)
}

const fn secret(name: &'static CStr) -> IniEntryDef {
    IniEntryDef { displayer: Some(show_secret), ..system(name, c"") }
}

static DIRECTIVES: IniEntryDefs<69> = IniEntryDefs::new([
    system(c"slbp.shm_size", c"64M"),
    system(c"slbp.shm_path", c""),
    system(c"slbp.shm_owner", c""),
    system(c"slbp.site", c""),
    system(c"slbp.trusted_proxies", c""),
    secret(c"slbp.signing_key"),
    system(c"slbp.redis_host", c""),
    system(c"slbp.redis_port", c""),
    system(c"slbp.redis_path", c""),
    system(c"slbp.redis_scheme", c""),
    system(c"slbp.redis_username", c""),
    secret(c"slbp.redis_password"),
    system(c"slbp.redis_database", c""),
    system(c"slbp.redis_prefix", c""),
    system(c"slbp.redis_timeout", c""),
    system(c"slbp.redis_read_timeout", c""),
    system(c"slbp.redis_cluster", c""),
    system(c"slbp.redis_sentinel", c""),
    system(c"slbp.redis_servers", c""),
    system(c"slbp.redis_tls_ca", c""),
    system(c"slbp.redis_tls_cert", c""),
    system(c"slbp.redis_tls_key", c""),
    system(c"slbp.memcached_host", c""),
    system(c"slbp.memcached_port", c""),
    system(c"slbp.memcached_servers", c""),
    system(c"slbp.memcached_username", c""),
    secret(c"slbp.memcached_password"),
    system(c"slbp.memcached_prefix", c""),
    system(c"slbp.memcached_timeout", c""),
    system(c"slbp.memcached_read_timeout", c""),
    system(c"slbp.cache_backend", c""),
    system(c"slbp.cache_prefix", c""),
    system(c"slbp.cache_max_value_size", c""),
    system(c"slbp.cache_site_share", c""),
    system(c"slbp.backup_dir", c""),
    secret(c"slbp.backup_encryption_key"),
    secret(c"slbp.backup_s3_access_key"),
    secret(c"slbp.backup_s3_secret_key"),
    system(c"slbp.php_cli", c""),
    system(c"slbp.database_host", c""),
    system(c"slbp.database_user", c""),
    secret(c"slbp.database_password"),
    system(c"slbp.database_name", c""),
    system(c"slbp.database_prefix", c""),
    system(c"slbp.database_charset", c""),
    system(c"slbp.database_flags", c""),
    system(c"slbp.database_ssl_ca", c""),
    system(c"slbp.database_ssl_cert", c""),
    system(c"slbp.database_ssl_key", c""),
    system(c"slbp.queue_batch_size", c""),
    system(c"slbp.queue_lease", c""),
    secret(c"slbp.monitoring_token"),
    system(c"slbp.monitoring_ips", c""),
    system(c"slbp.request_metrics", c"1"),
    system(c"slbp.query_hook", c"handler"),
    system(c"slbp.probes", c"1"),
    system(c"slbp.probe_path", c""),
    system(c"slbp.health_ips", c""),
    secret(c"slbp.health_token"),
    system(c"slbp.instance_id", c""),
    system(c"slbp.drain_file", c""),
    IniEntryDef::new(c"slbp.session_mode", c"", May::All),
    IniEntryDef::new(c"slbp.session_lock_ttl", c"", May::All),
    IniEntryDef::new(c"slbp.session_lock_wait", c"", May::All),
    system(c"slbp.state_dir", c""),
    system(c"slbp.alert_interval", c""),
    system(c"slbp.webhook_allow_private", c""),
    secret(c"slbp.webhook_secret"),
    IniEntryDef::end(),
]);

/// Registers every directive. Phase: MINIT.
pub fn register(module_number: i32) {
    IniEntryDef::register(DIRECTIVES.as_slice(), module_number);
}

/// The directive's text, or `None` when it is unknown or empty.
pub fn text(name: &str) -> Option<String> {
    let mut exists = false;
    // SAFETY: called between MINIT and MSHUTDOWN on the thread that runs the request; the engine
    // returns a NUL-terminated string that lives until the directive changes, and it is copied here
    // before anything else runs. No lock.
    let found = unsafe {
        let value = zend_ini_string_ex(name.as_ptr().cast_mut().cast(), name.len(), 0, &raw mut exists);
        if value.is_null() { None } else { Some(CStr::from_ptr(value).to_string_lossy().into_owned()) }
    };
    found.filter(|value| exists && !value.is_empty())
}

/// What php.ini says of a directive that no loaded extension has registered. Phase: MINIT or later.
pub fn configured(name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    let mut value = std::ptr::null_mut();
    // SAFETY: the engine has read php.ini before MINIT; it returns a string of its own, which stays until
    // PHP ends and is copied at once. No lock.
    unsafe {
        if cfg_get_string(name.as_ptr(), &raw mut value) != 0 || value.is_null() {
            return None;
        }
        Some(CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

unsafe extern "C" {
    fn cfg_get_string(name: *const c_char, value: *mut *mut c_char) -> c_int;
}

/// Says of a secret directive only whether it is set, in phpinfo() and `php --ri`.
unsafe extern "C" fn show_secret(entry: *mut zend_ini_entry, _column: c_int) {
    // SAFETY: PHP calls this while it prints a page, with a live entry of the table above whose value
    // is null or a live string; both texts are plain ASCII without a format in them. No lock.
    unsafe {
        let is_set = entry.as_ref().and_then(|entry| entry.value.as_ref()).is_some_and(|value| value.len > 0);
        php_printf(if is_set { c"(set)" } else { c"no value" }.as_ptr());
    }
}

/// A size directive in bytes: digits with an optional `K`, `M` or `G`, as PHP writes sizes. `None`
/// when it is empty.
///
/// # Errors
/// [`Kind::Config`] when it is no size.
pub fn bytes(name: &str) -> Result<Option<u64>> {
    let Some(text) = text(name) else { return Ok(None) };
    let wrong = || Error::new(Kind::Config, format!("{name}: expected a size such as 64M, got '{text}'"));
    parse_bytes(&text).map(Some).ok_or_else(wrong)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = match text.chars().last()?.to_ascii_lowercase() {
        'k' => (text.get(..text.len() - 1)?, 1 << 10),
        'm' => (text.get(..text.len() - 1)?, 1 << 20),
        'g' => (text.get(..text.len() - 1)?, 1 << 30),
        _ => (text, 1),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn sizes_read_as_php_writes_them() {
        assert_eq!(parse_bytes("64M"), Some(64 << 20));
        assert_eq!(parse_bytes(" 512k "), Some(512 << 10));
        assert_eq!(parse_bytes("1g"), Some(1 << 30));
        assert_eq!(parse_bytes("4096"), Some(4096));
        assert_eq!(parse_bytes("many"), None);
        assert_eq!(parse_bytes("99999999999G"), None);
    }
}
