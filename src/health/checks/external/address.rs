//! `https://host[:port][/path]`, and nothing else.

use crate::error::{Error, Result};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or address of the server, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

impl Address {
    /// Reads a setting.
    ///
    /// # Errors
    /// Invalid argument for anything but https, and for what would not be one line of a request.
    pub fn read(setting: &str, url: &str) -> Result<Self> {
        let wrong = || Error::invalid(setting, format!("expected https://host/path, got '{url}'"));
        let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port =
            port.map_or(Some(443), |port| port.parse().ok().filter(|port| *port != 0)).ok_or_else(wrong)?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) || !path.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(wrong());
        }
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Self { host: host.to_owned(), port, path })
    }

    /// The `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn https_addresses_are_read() {
        let read =
            |url| Address::read("external_apis", url).map(|a| (a.authority(), a.port, a.path)).unwrap();
        assert_eq!(read("https://api.stripe.com"), ("api.stripe.com".into(), 443, "/".into()));
        assert_eq!(read("https://[::1]:8443/v1?x=1#y"), ("[::1]:8443".into(), 8443, "/v1?x=1".into()));
        assert_eq!(read("https://a.test?x"), ("a.test".into(), 443, "/?x".into()));
        for wrong in [
            "http://a.test",
            "https://",
            "https://a b",
            "https://a/\r\nX: y",
            "https://user@a",
            "https://a:0",
        ] {
            assert!(Address::read("external_apis", wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_address_makes_two_lines(url in "https://[ -~\r\n]{0,40}") {
            if let Ok(address) = Address::read("external_apis", &url) {
                let written = address.authority() + &address.path;
                prop_assert!(!written.contains(['\r', '\n', ' ']));
            }
        }
    }
}
