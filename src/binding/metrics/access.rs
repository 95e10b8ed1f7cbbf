//! Who may see metrics: nobody, unless a setting says so.
//!
//! An address of `slbp_monitoring_ips` (single ones and networks), the bearer token of php.ini, or a
//! user who runs the site. A forwarding header counts only when a trusted proxy sent it. At the door,
//! where there are no users and no options, what options said in the last request counts.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::learned::{self, Addresses};
use crate::binding::failure::log;
use crate::binding::ini;
use crate::binding::limiter::visitor::{header_variable, server_variable};
use crate::binding::wordpress::hooks;
use crate::binding::wordpress::options::HostOptions;
use crate::binding::wordpress::request::Request;
use crate::config::lax;
use crate::error::{Error, Kind, Result};
use crate::health;
use crate::limiter::client::{self, ForwardedBy, Peer, TrustedProxies};
use crate::limiter::lists;
use crate::ports::Options;

/// The option with the addresses that may see metrics.
pub const OPTION: &str = "slbp_monitoring_ips";

const TOKEN: &str = "slbp.monitoring_token";
const DIRECTIVE: &str = "slbp.monitoring_ips";
const PROXIES_OPTION: &str = "slbp_trusted_proxies";
const PROXIES_DIRECTIVE: &str = "slbp.trusted_proxies";

/// The settings that decide.
pub struct Access {
    networks: Vec<IpNet>,
    proxies: TrustedProxies,
    /// What of it stands in options, which the door cannot read.
    is_of_options: bool,
}

impl Access {
    /// `monitoring_ips` and `trusted_proxies` of `$config`, else the options of the same names with
    /// `slbp_` before them, else php.ini.
    ///
    /// # Errors
    /// What is no address and no network.
    pub fn read(config: &Value) -> Result<Self> {
        let options = HostOptions::find();
        let find = |key: &str, option: &str, directive: &str| match (config.get(key), options.get(option)) {
            (Some(given), _) => networks(given).map_err(|error| error.context(format!("$config['{key}']"))),
            (None, Some(stored)) => {
                networks(&stored).map_err(|error| in_place(&format!("option {option}"), &error))
            }
            (None, None) => of_ini(directive),
        };
        Ok(Self {
            networks: find("monitoring_ips", OPTION, DIRECTIVE)?,
            proxies: TrustedProxies::new(find("trusted_proxies", PROXIES_OPTION, PROXIES_DIRECTIVE)?),
            is_of_options: options.outlive_the_request() && config.as_object().is_none_or(Map::is_empty),
        })
    }

    /// The same where no option can be read: what WordPress has `told`, and php.ini. Without the site's
    /// own list of proxies no address is believed, because it may be a proxy's.
    pub fn at_the_door(told: Option<Addresses>) -> Self {
        let told = told.unwrap_or_default();
        Self { networks: told.networks, proxies: TrustedProxies::new(told.proxies), is_of_options: false }
    }

    /// Tells the door, which reads no options, who may see the metrics of the site `tag`.
    pub fn teach_the_door(&self, tag: u64) {
        if !self.is_of_options {
            return;
        }
        let addresses =
            Addresses { networks: self.networks.clone(), proxies: self.proxies.networks().to_vec() };
        if let Err(error) = learned::note_addresses(tag, &addresses) {
            log(&error.to_string());
        }
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

/// A token that is too short to be one lets nobody in.
fn has_token(authorization: Option<&str>) -> bool {
    let access = health::access::Access::default().with_token(TOKEN, ini::text(TOKEN).as_deref());
    access.is_ok_and(|access| access.admits_bearer(authorization))
}

fn of_ini(directive: &str) -> Result<Vec<IpNet>> {
    let text = Value::String(ini::text(directive).unwrap_or_default());
    networks(&text).map_err(|error| in_place(&format!("php.ini {directive}"), &error))
}

/// A mistake in what is stored is the operator's, not the caller's.
fn in_place(place: &str, error: &Error) -> Error {
    Error::new(Kind::Config, error.to_string()).context(place)
}

fn networks(value: &Value) -> Result<Vec<IpNet>> {
    let texts = lax::list(value).map_err(|error| Error::invalid("list", error))?;
    texts.iter().map(|text| lists::network(text)).collect()
}
