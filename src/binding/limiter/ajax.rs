//! Limiting admin-ajax.php, where the answer is not returned but sent.

use ext_php_rs::exception::PhpException;
use ext_php_rs::prelude::PhpResult;
use serde_json::json as object;

use super::HostedLimiter;
use super::visitor::{request_variable, server_variable};
use crate::binding::convert::json;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::request::Request;
use crate::binding::wordpress::response::Response;
use crate::error::{Error, Kind};

/// Charges the visitor for the AJAX action and, when it is refused, sends the refusal and ends the
/// request with `wp_die`.
///
/// # Errors
/// Outside WordPress there is nobody to end the request, so a refusal throws
/// `SLBP_Rate_Limit_Exception`. Inside, the engine's "unwind and exit" is passed on as it is.
pub fn check(hosted: &HostedLimiter) -> PhpResult<()> {
    if server_variable("REQUEST_METHOD").is_none() {
        return Ok(());
    }
    let action = request_variable("action").unwrap_or_default();
    let Some(refused) = hosted.refuse(&Request::none(), &format!("admin-ajax/{action}"))? else {
        return Ok(());
    };
    if !hooks::exists("wp_die") {
        return Err(Error::new(Kind::RateLimit, "rate limit exceeded").into());
    }
    send(&refused)
}

fn send(refused: &Response) -> PhpResult<()> {
    for (name, value) in refused.headers() {
        hooks::call("header", vec![&format!("{name}: {value}")]);
    }
    let arguments = json::to_zval(&object!({"response": refused.status()}));
    hooks::call("wp_die", vec![&refused.body().to_string(), &"", &arguments]);
    // wp_die ends in exit, which the engine carries through native frames as a pending exception.
    match ext_php_rs::zend::ExecutorGlobals::has_exception() {
        true => Ok(()),
        false => Err(PhpException::from(Error::new(Kind::RateLimit, "rate limit exceeded"))),
    }
}
