//! Who the current visitor is: what PHP and WordPress know of the request.

use std::net::IpAddr;

use ext_php_rs::types::ZendHashTable;
use ext_php_rs::zend::ProcessGlobals;

use super::HostedLimiter;
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::request::Request;
use crate::limiter::client::{self, ClientIp, Credentials, Peer, Secret};

/// The filter that says whether an API key or bearer token is valid: `(false, $secret, $kind)`.
const VALIDATE_FILTER: &str = "slbp_validate_api_key";

/// The filter that says which plan a client is on: `($role_or_null, $client_id, $endpoint)`.
const PLAN_FILTER: &str = "slbp_rate_limit_plan";

impl HostedLimiter {
    /// The visitor's address by `server`, or by `$_SERVER` when that is `None`.
    pub fn address(&self, server: Option<&ZendHashTable>) -> ClientIp {
        let limiter = self.get();
        let settings = limiter.settings();
        let variable = |name: &str| match server {
            Some(table) => text_in(table, name),
            None => server_variable(name),
        };
        let remote = variable("REMOTE_ADDR").unwrap_or_default();
        let header = |name: &str| variable(&header_variable(name));
        let peer = Peer { remote: &remote, header: &header };
        client::client_ip(&peer, &settings.trusted_proxies, &settings.client_ip_header)
    }

    /// The id under which the visitor is charged.
    pub fn identifier(&self, request: &Request<'_>) -> String {
        let header = |name: &str| request.header(name).or_else(|| server_variable(&header_variable(name)));
        let api_key = header("x-api-key");
        let authorization = header("authorization");
        let bearer = authorization.as_deref().and_then(bearer_token);
        let credentials = Credentials {
            user: logged_in_user(),
            api_key: api_key.as_ref().map(|key| key.as_bytes()),
            bearer: bearer.map(str::as_bytes),
        };
        let limiter = self.get();
        client::identify(&credentials, &self.address(None), limiter.site(), &|kind, secret| {
            self.accepts(kind, secret)
        })
    }

    /// The plan of a client, when the settings have plans at all: the first role of the current user,
    /// unless the filter says otherwise.
    pub fn plan(&self, client: &[u8], endpoint: &[u8]) -> Option<String> {
        if !self.get().settings().rules.has_plans() {
            return None;
        }
        let (client, endpoint) = (String::from_utf8_lossy(client), String::from_utf8_lossy(endpoint));
        let role = first_role(&client);
        match hooks::filter(PLAN_FILTER, &role.as_deref(), vec![&client.as_ref(), &endpoint.as_ref()]) {
            Some(answer) => answer.string(),
            None => role,
        }
    }

    fn accepts(&self, kind: Secret, secret: &[u8]) -> bool {
        let secret = String::from_utf8_lossy(secret);
        let own =
            self.validator.as_ref().and_then(|call| call.try_call(vec![&secret.as_ref(), &kind.kind()]).ok());
        let said =
            own.or_else(|| hooks::filter(VALIDATE_FILTER, &false, vec![&secret.as_ref(), &kind.kind()]));
        said.is_some_and(|answer| answer.bool() == Some(true))
    }
}

/// The address this server was reached at.
pub fn server_address() -> Option<IpAddr> {
    server_variable("SERVER_ADDR")?.parse().ok()
}

/// A variable of `$_SERVER`.
pub fn server_variable(name: &str) -> Option<String> {
    text_in(ProcessGlobals::get().http_server_vars()?, name)
}

/// A variable of `$_POST`, or else of `$_GET`.
pub fn request_variable(name: &str) -> Option<String> {
    let globals = ProcessGlobals::get();
    let find = |table: Option<&ZendHashTable>| text_in(table?, name);
    find(globals.http_post_vars()).or_else(|| find(globals.http_get_vars()))
}

/// What is not UTF-8 is replaced, not dropped: a forwarding header that a visitor has spoilt is still
/// one, and must not make the visitor look like the proxy.
fn text_in(table: &ZendHashTable, name: &str) -> Option<String> {
    let value = table.get(name)?.dereference();
    let bytes = value.zend_str().map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    bytes.or_else(|| value.string())
}

/// The name under which PHP keeps a request header.
pub fn header_variable(header: &str) -> String {
    format!("HTTP_{}", header.to_ascii_uppercase().replace('-', "_"))
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn logged_in_user() -> Option<u64> {
    let id = hooks::call("get_current_user_id", vec![])?.long()?;
    u64::try_from(id).ok().filter(|id| *id > 0)
}

/// The first role of the current user, when `client` is that user.
fn first_role(client: &str) -> Option<String> {
    let user = logged_in_user()?;
    if client != format!("user:{user}") {
        return None;
    }
    let current = hooks::call("wp_get_current_user", vec![])?;
    let roles: &ZendHashTable = current.object()?.get_property("roles").ok()?;
    roles.values().next()?.string()
}
