//! Calling WordPress: functions and filters, where they exist.

use ext_php_rs::convert::IntoZvalDyn;
use ext_php_rs::types::{ZendCallable, Zval};

/// Calls the PHP function `name`; `None` when it does not exist or an exception is pending after it.
pub fn call(name: &str, arguments: Vec<&dyn IntoZvalDyn>) -> Option<Zval> {
    ZendCallable::try_from_name(name).ok()?.try_call(arguments).ok()
}

/// Whether the PHP function `name` exists.
pub fn exists(name: &str) -> bool {
    ZendCallable::try_from_name(name).is_ok()
}

/// `apply_filters($hook, $value, ...$rest)`, or `None` outside WordPress.
pub fn filter(hook: &str, value: &dyn IntoZvalDyn, rest: Vec<&dyn IntoZvalDyn>) -> Option<Zval> {
    let mut arguments: Vec<&dyn IntoZvalDyn> = vec![&hook, value];
    arguments.extend(rest);
    call("apply_filters", arguments)
}

/// `current_user_can($capability)`; false outside WordPress.
pub fn current_user_can(capability: &str) -> bool {
    call("current_user_can", vec![&capability]).is_some_and(|answer| answer.bool() == Some(true))
}
