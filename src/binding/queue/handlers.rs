//! Calling what runs a task, and what its answer means.
//!
//! While PHP runs nothing of ours stands on the stack but values that the engine frees at the end
//! of the request. An exception ends here. So does `exit()`: the script that a handler wants to
//! leave is the worker's, and other tasks are waiting. A fatal error does not: most never return to
//! us, and one that does (PHP unwinds the stack when memory is exhausted) is passed on.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::convert::IntoZvalDyn;
use ext_php_rs::types::{ZendCallable, ZendObject, Zval};
use ext_php_rs::zend::ExecutorGlobals;

use super::runs;
use crate::binding::exceptions;
use crate::binding::failure::LastError;
use crate::binding::wordpress::hooks;
use crate::queue::worker::Outcome;

/// How a call of PHP code ended.
pub enum Answer {
    /// It returned.
    Value(Zval),
    /// It threw; for people.
    Threw(String),
    /// It called `exit()` or `die()`.
    Exited,
    /// A fatal error: PHP is ending the script, and lets us return first.
    Fatal,
    /// There is nothing to call.
    Missing,
}

/// Calls `callable`.
pub fn call(callable: &Zval, arguments: Vec<&dyn IntoZvalDyn>) -> Answer {
    let Ok(callable) = ZendCallable::new(callable) else { return Answer::Missing };
    let error_before = LastError::now();
    let answer = callable.try_call(arguments);
    let error = LastError::now();
    if error.is_fatal() && error != error_before {
        runs::give_up();
        return Answer::Fatal;
    }
    match (ExecutorGlobals::take_exception(), answer) {
        (Some(exception), _) => ended_by(exception),
        (None, Ok(value)) => Answer::Value(value),
        (None, Err(_)) => Answer::Missing,
    }
}

/// `apply_filters($hook, ...)`; missing where nobody has added a filter, and outside WordPress.
pub fn filter(hook: &str, arguments: Vec<&dyn IntoZvalDyn>) -> Answer {
    let is_used = hooks::call("has_filter", vec![&hook]);
    if is_used.is_none_or(|answer| answer.bool() == Some(false)) {
        return Answer::Missing;
    }
    let mut all: Vec<&dyn IntoZvalDyn> = vec![&hook];
    all.extend(arguments);
    call(&function("apply_filters"), all)
}

/// The name of a function as something to call.
pub fn function(name: &str) -> Zval {
    let mut zval = Zval::new();
    zval.set_binary(name.as_bytes().to_vec());
    zval
}

fn ended_by(exception: ZBox<ZendObject>) -> Answer {
    if exceptions::is_end(&exception) {
        return Answer::Exited;
    }
    let class = exception.get_class_name().unwrap_or_default();
    let text = |method: &str| exception.try_call_method(method, vec![]).ok().and_then(|value| value.string());
    let file = text("getFile").unwrap_or_default();
    let file = file.rsplit('/').next().unwrap_or_default();
    let line = exception.try_call_method("getLine", vec![]).ok().and_then(|line| line.long()).unwrap_or(0);
    Answer::Threw(format!("{class}: {} ({file}:{line})", text("getMessage").unwrap_or_default()))
}

/// What an answer means for the task: false, a `WP_Error` or an exception is a failure, anything
/// else success. One that was asked to stop and did not succeed has stopped.
///
/// `None` when the handler ended the script.
pub fn outcome(answer: Answer, missing: &str) -> Option<Outcome> {
    let failed = match answer {
        Answer::Exited | Answer::Fatal => return None,
        Answer::Missing => return Some(Outcome::Failed(missing.to_owned())),
        Answer::Threw(message) => message,
        Answer::Value(value) if value.bool() == Some(false) => "the handler returned false".to_owned(),
        Answer::Value(value) => match wp_error(&value) {
            Some(message) => message,
            None => return Some(Outcome::Done),
        },
    };
    Some(if runs::is_cancel_requested() { Outcome::Cancelled } else { Outcome::Failed(failed) })
}

/// The message of a `WP_Error`; `None` for anything else.
pub fn wp_error(value: &Zval) -> Option<String> {
    let object = value.object()?;
    if object.get_class_name().ok()? != "WP_Error" {
        return None;
    }
    let message = object.try_call_method("get_error_message", vec![]).ok()?.string();
    Some(message.filter(|text| !text.is_empty()).unwrap_or_else(|| "WP_Error".to_owned()))
}
