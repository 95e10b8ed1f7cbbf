//! PHP constants and php.ini as the [`Environment`] of the domains' settings.

use ext_php_rs::ffi::zend_get_constant_str;
use ext_php_rs::types::Zval;
use serde_json::Value;

use crate::binding::convert::json;
use crate::binding::ini;
use crate::ports::Environment;

/// Constants as PHP defines them, directives as php.ini sets them, and the process' own variables (for
/// php-fpm those of the pool's `env[...]`), never a request's.
pub struct PhpEnvironment;

impl Environment for PhpEnvironment {
    fn constant(&self, name: &str) -> Option<String> {
        match json::from_zval(find(name)?).ok()? {
            Value::String(text) => Some(text),
            Value::Bool(flag) => Some(if flag { "1" } else { "" }.to_owned()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    fn ini(&self, name: &str) -> Option<String> {
        ini::text(name)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|text| !text.is_empty())
    }
}

/// The constant `name`, or `None` when it is not defined.
pub fn find(name: &str) -> Option<&'static Zval> {
    // SAFETY: a request is running (constants of PHP code exist only then); the engine returns a
    // pointer into its table that stays until the request ends, and callers copy at once. No lock.
    unsafe { zend_get_constant_str(name.as_ptr().cast(), name.len()).as_ref() }
}
