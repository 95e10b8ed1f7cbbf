//! The two ways a method fails: misuse throws, everything else is logged and answered.

use std::ffi::CString;

use ext_php_rs::ffi::php_log_err_with_severity;
use ext_php_rs::prelude::PhpResult;

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
