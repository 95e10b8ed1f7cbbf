//! A request as the web server told it, before PHP has looked at it.

use std::ffi::{CStr, CString};
use std::net::IpAddr;

use ext_php_rs::zend::SapiModule;
use serde_json::Value;

use crate::binding::failure::log;
use crate::binding::ini;
use crate::health::access::Access;
use crate::limiter::client::{self, ForwardedBy, Peer, TrustedProxies};

/// The request at the door.
pub struct Visit {
    _only_here: (),
}

impl Visit {
    /// The request that is running.
    pub fn current() -> Self {
        Self { _only_here: () }
    }

    /// What the web server says: `REQUEST_URI`, `HTTP_ACCEPT`. Under php-fpm no PHP code can change it.
    pub fn variable(&self, name: &str) -> Option<String> {
        variable(name)
    }

    /// The folder of the front controller, without a slash at its end.
    pub fn folder(&self) -> Option<String> {
        self.variable("SCRIPT_FILENAME")?.strip_suffix("/index.php").map(str::to_owned)
    }

    /// The asker's address, past the proxies that php.ini trusts.
    pub fn address(&self) -> Option<IpAddr> {
        let remote = self.variable("REMOTE_ADDR")?;
        let header =
            |name: &str| self.variable(&format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_")));
        let trusted = TrustedProxies::new(trusted_networks());
        client::client_ip(&Peer { remote: &remote, header: &header }, &trusted, &ForwardedBy::Either).own()
    }

    /// Whether the asker may see what is not for everybody: by an address in the directive `addresses`,
    /// or by the bearer token in the directive `token`. No to everybody where both are empty.
    pub fn may_see(&self, addresses: &str, token: &str) -> bool {
        let access = match access(addresses, token) {
            Ok(access) => access,
            Err(error) => {
                log(&error.to_string());
                return false;
            }
        };
        let authorization =
            self.variable("HTTP_AUTHORIZATION").or_else(|| self.variable("REDIRECT_HTTP_AUTHORIZATION"));
        access.admits_bearer(authorization.as_deref()) || access.admits(self.address())
    }
}

/// Who the two directives let in.
///
/// # Errors
/// One of them cannot be read.
pub fn access(addresses: &str, token: &str) -> crate::error::Result<Access> {
    let list = Value::from(ini::text(addresses).unwrap_or_default());
    Access::default().allow(addresses, &list)?.with_token(token, ini::text(token).as_deref())
}

fn trusted_networks() -> Vec<ipnet::IpNet> {
    let text = ini::text("slbp.trusted_proxies").unwrap_or_default();
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    // What cannot be read is not trusted.
    words
        .filter_map(|word| word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(Into::into)))
        .collect()
}

/// A variable of the request, copied.
fn variable(name: &str) -> Option<String> {
    look(&CString::new(name).ok()?, |value| value.to_string_lossy().into_owned())
}

/// Shows `see` a variable of the request as the server interface has it; `None` where it has none (on the
/// command line).
pub fn look<T>(name: &CStr, see: impl FnOnce(&CStr) -> T) -> Option<T> {
    let getenv = SapiModule::get().getenv?;
    // SAFETY: RINIT to RSHUTDOWN on the request's thread; the server interface answers with null or a
    // string that lives as long as the request, which `see` cannot keep. The guard of `get` ended with
    // its statement; no other lock.
    unsafe {
        let value = getenv(name.as_ptr(), name.count_bytes());
        (!value.is_null()).then(|| see(CStr::from_ptr(value)))
    }
}
