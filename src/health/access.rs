//! Who may see details: addresses, and a token.
//!
//! Owns: reading lists of addresses and networks, and comparing a token in constant time. Refuses to
//! do: find out who asks; the host hands in an address that no visitor could have invented.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::config::lax;
use crate::error::{Error, Result};

/// Addresses that may see details, and a token that may.
#[derive(Clone, Debug, Default)]
pub struct Access {
    networks: Vec<IpNet>,
    token: Option<[u8; 32]>,
}

/// A token shorter than this could be guessed, and is none.
const TOKEN_BYTES: usize = 16;

impl Access {
    /// Lets in the networks of `list`: an array, or text with commas or blanks. `name` is what the
    /// setting is called.
    ///
    /// # Errors
    /// Something in the list is no address and no network.
    pub fn allow(mut self, name: &str, list: &Value) -> Result<Self> {
        let entries = lax::list(list.clone()).map_err(|error| Error::invalid(name, error))?;
        for entry in entries {
            self.networks.push(network(name, &entry)?);
        }
        Ok(self)
    }

    /// Lets in whoever shows `token`, which must have 16 bytes or more.
    ///
    /// # Errors
    /// It is shorter.
    pub fn with_token(mut self, name: &str, token: Option<&str>) -> Result<Self> {
        if let Some(token) = token {
            if token.len() < TOKEN_BYTES {
                return Err(Error::invalid(name, format!("expected {TOKEN_BYTES} bytes or more")));
            }
            self.token = Some(digest(token));
        }
        Ok(self)
    }

    /// Whether `address` may see details.
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| {
            let address = address.to_canonical();
            self.networks.iter().any(|network| network.contains(&address))
        })
    }

    /// Whether `authorization`, the header, carries the token: `Bearer …`.
    pub fn admits_bearer(&self, authorization: Option<&str>) -> bool {
        let shown = authorization.and_then(|header| {
            let (scheme, token) = header.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| digest(token.trim()))
        });
        // Hashes are compared, so how long it takes tells nothing of the token.
        self.token.is_some() && shown == self.token
    }
}

fn digest(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

fn network(name: &str, entry: &str) -> Result<IpNet> {
    let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| {
        Error::invalid(name, format!("expected addresses or networks such as 10.0.0.0/8, got '{entry}'"))
    })?;
    Ok(match network {
        // What an IPv4 client looks like on a socket that takes both.
        IpNet::V6(six) if six.prefix_len() >= 96 && six.addr().to_ipv4_mapped().is_some() => {
            let four = six
                .addr()
                .to_ipv4_mapped()
                .and_then(|four| ipnet::Ipv4Net::new(four, six.prefix_len() - 96).ok());
            four.map_or(network, IpNet::V4)
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn access(list: Value) -> Access {
        Access::default().allow("slbp_health_check_ips", &list).unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn networks_of_both_families_are_honoured() {
        let access = access(json!(["10.1.0.0/16", "2001:db8::/32", "::ffff:192.0.2.7"]));
        for inside in ["10.1.2.3", "2001:db8:5::1", "192.0.2.7", "::ffff:10.1.2.3"] {
            assert!(access.admits(ip(inside)), "{inside}");
        }
        for outside in ["10.2.0.1", "2001:db9::1", "192.0.2.8"] {
            assert!(!access.admits(ip(outside)), "{outside}");
        }
        assert!(!access.admits(None));
    }

    #[test]
    fn nobody_is_let_in_by_an_empty_setting() {
        let access = access(json!("")).with_token("slbp.health_token", None).unwrap();
        assert!(!access.admits(ip("127.0.0.1")) && !access.admits_bearer(Some("Bearer ")));
    }

    #[test]
    fn the_token_and_nothing_like_it_is_let_in() {
        let access = Access::default().with_token("t", Some("a-long-enough-token")).unwrap();
        assert!(access.admits_bearer(Some("bearer a-long-enough-token")));
        for wrong in
            ["Bearer a-long-enough-toke", "Basic a-long-enough-token", "a-long-enough-token", "Bearer"]
        {
            assert!(!access.admits_bearer(Some(wrong)), "{wrong}");
        }
        assert!(Access::default().with_token("t", Some("short")).is_err());
        assert!(Access::default().allow("t", &json!(["10.0.0.0/99"])).is_err());
    }
}
