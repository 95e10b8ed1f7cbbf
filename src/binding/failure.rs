//! The two ways a method fails: misuse throws, everything else is logged and answered.

use std::ffi::CString;

use ext_php_rs::ffi::php_log_err_with_severity;
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::zend::ProcessGlobals;

use crate::error::{Kind, Result};

/// Severity of syslog's LOG_WARNING, which is what PHP's log takes.
const LOG_WARNING: i32 = 4;

/// The value; or `failure`, the documented value for "it did not work", with the reason in PHP's log.
///
/// # Errors
/// Misuse and wrong settings are the caller's to mend, so they throw.
pub fn or_failure<T>(outcome: Result<T>, failure: T) -> PhpResult<T> {
    match outcome {
        Ok(value) => Ok(value),
        Err(error) if matches!(error.kind(), Kind::InvalidArgument | Kind::Config) => Err(error.into()),
        Err(error) => {
            log(&error.to_string());
            Ok(failure)
        }
    }
}

/// Writes a line to PHP's error log.
pub fn log(message: &str) {
    let line = CString::new(format!("slbp: {message}").replace('\0', "")).unwrap_or_default();
    // SAFETY: a request is running on this thread; the string outlives the call. No lock is held.
    unsafe { php_log_err_with_severity(line.as_ptr(), LOG_WARNING) };
}

/// The last error that PHP remembers, to tell whether there was another one since.
#[derive(PartialEq, Eq)]
pub struct LastError {
    kind: i32,
    message: usize,
}

impl LastError {
    /// What it is now.
    pub fn now() -> Self {
        let globals = ProcessGlobals::get();
        Self { kind: globals.last_error_type, message: globals.last_error_message.addr() }
    }

    /// Whether PHP ends the script after it.
    pub fn is_fatal(&self) -> bool {
        // E_ERROR, E_PARSE, E_CORE_ERROR, E_COMPILE_ERROR, E_USER_ERROR, E_RECOVERABLE_ERROR.
        const FATAL: i32 = 1 | 4 | 16 | 64 | 256 | 4096;
        self.kind & FATAL != 0
    }
}

/// The error that ended the script, as PHP said it. Phase: RSHUTDOWN.
pub fn last_error() -> String {
    let globals = ProcessGlobals::get();
    // SAFETY: null, or strings that the engine keeps until the request is over; copied at once. No lock.
    let message = unsafe { globals.last_error_message.as_ref() };
    let text = message.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    // What follows is a stack trace, which may hold arguments.
    let first = text.as_deref().and_then(|text| text.lines().next()).unwrap_or_default();
    match first {
        "" => "the script ended in the handler".to_owned(),
        said => format!("PHP Fatal error: {said}"),
    }
}
