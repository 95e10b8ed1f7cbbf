//! Who may see metrics: nobody, unless a setting says so.
//!
//! An address of `slbp_monitoring_ips` (single ones and networks), the bearer token of php.ini, or a
//! user who runs the site. A forwarding header counts only when a trusted proxy sent it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::binding::ini;
use crate::binding::limiter::visitor::{header_variable, server_variable};
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::options::HostOptions;
use crate::binding::wordpress::request::Request;
use crate::config::lax;
use crate::error::{Error, Kind, Result};
use crate::limiter::client::{self, ForwardedBy, Peer, TrustedProxies};
use crate::limiter::lists;
use crate::ports::Options;

/// The option with the addresses that may see metrics.
pub const OPTION: &str = "slbp_monitoring_ips";

const TOKEN: &str = "slbp.monitoring_token";
const PROXIES_OPTION: &str = "slbp_trusted_proxies";
const PROXIES_DIRECTIVE: &str = "slbp.trusted_proxies";

/// Shorter tokens could be guessed.
const LEAST_TOKEN: usize = 16;

/// The settings that decide.
pub struct Access {
    networks: Vec<IpNet>,
    proxies: TrustedProxies,
}

impl Access {
    /// `monitoring_ips` and `trusted_proxies` of `$config`, else the options of the same names with
    /// `slbp_` before them; proxies also in php.ini.
    ///
    /// # Errors
    /// What is no address and no network.
    pub fn read(config: &Value) -> Result<Self> {
        let options = HostOptions::find();
        let find = |key: &str, option: &str| match config.get(key) {
            Some(given) => {
                networks(given).map(Some).map_err(|error| error.context(format!("$config['{key}']")))
            }
            None => options.get(option).map(|stored| networks(&stored)).transpose().map_err(|error| {
                Error::new(Kind::Config, error.to_string()).context(format!("option {option}"))
            }),
        };
        let proxies = match find("trusted_proxies", PROXIES_OPTION)? {
            Some(proxies) => proxies,
            None => networks(&Value::String(ini::text(PROXIES_DIRECTIVE).unwrap_or_default()))?,
        };
        let networks = find("monitoring_ips", OPTION)?.unwrap_or_default();
        Ok(Self { networks, proxies: TrustedProxies::new(proxies) })
    }

    /// Whether whoever sent the request may see metrics.
    pub fn allows(&self, request: &Request<'_>) -> bool {
        let header = |name: &str| request.header(name).or_else(|| server_variable(&header_variable(name)));
        self.allows_peer(&server_variable("REMOTE_ADDR").unwrap_or_default(), &header) || is_administrator()
    }

    /// The same by what the connection and its headers say.
    pub fn allows_peer(&self, remote: &str, header: &dyn Fn(&str) -> Option<String>) -> bool {
        let client = client::client_ip(&Peer { remote, header }, &self.proxies, &ForwardedBy::Either);
        client.own().is_some_and(|address| self.names(address))
            || has_token(header("authorization").as_deref())
    }

    fn names(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Whether a user who runs the site is logged in.
pub fn is_administrator() -> bool {
    hooks::current_user_can("manage_options")
}

/// Hashes are compared, so that the time it takes says nothing about the token.
fn has_token(authorization: Option<&str>) -> bool {
    let token = ini::text(TOKEN).filter(|token| token.len() >= LEAST_TOKEN);
    let given = authorization.and_then(|header| header.trim().split_once(' '));
    match (token, given) {
        (Some(token), Some((scheme, given))) => {
            scheme.eq_ignore_ascii_case("bearer")
                && blake3::hash(token.as_bytes()) == blake3::hash(given.trim().as_bytes())
        }
        _ => false,
    }
}

fn networks(value: &Value) -> Result<Vec<IpNet>> {
    let texts = lax::list(value).map_err(|error| Error::invalid("list", error))?;
    texts.iter().map(|text| lists::network(text)).collect()
}
