//! An address that a person has written and we may call.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

use super::guard;
use crate::error::{Error, Result};

/// An absolute `http` or `https` address. Prints without its path, which may be a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: String,
    scheme: String,
    host: String,
}

impl Url {
    /// Reads `text`.
    ///
    /// # Errors
    /// Invalid argument, saying what was expected, when it is no such address, or carries a user name.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(name, what);
        let uri: Uri = text.trim().parse().map_err(|_| wrong("expected an https:// address"))?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
        let scheme =
            scheme.ok_or_else(|| wrong("expected an address that begins with https:// or http://"))?;
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        if authority.contains('@') {
            return Err(wrong("expected an address without a user name in it"));
        }
        let host = uri.host().map(|host| host.trim_matches(['[', ']'])).unwrap_or_default();
        if host.is_empty() {
            return Err(wrong("expected an address with a host"));
        }
        let (scheme, host) = (scheme.to_owned(), host.to_ascii_lowercase());
        Ok(Self { text: text.trim().to_owned(), scheme, host })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Name or IP address, in lower case, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether the address itself, without looking up a name, leads to the inside of the network.
    pub fn is_plainly_private(&self) -> bool {
        let is_local_name = self.host == "localhost" || self.host.ends_with(".localhost");
        is_local_name || self.host.parse::<IpAddr>().is_ok_and(|address| !guard::is_public(address))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "{}://[{}]/…", self.scheme, self.host),
            false => write!(f, "{}://{}/…", self.scheme, self.host),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_without_its_secret_path() {
        let url = Url::parse("webhook_url", " https://Hooks.Slack.com:443/services/T0/B0/secret ").unwrap();
        assert_eq!(url.host(), "hooks.slack.com");
        assert!(url.is_https());
        assert_eq!(format!("{url} {url:?}"), "https://hooks.slack.com/… https://hooks.slack.com/…");
        assert_eq!(url.as_str(), "https://Hooks.Slack.com:443/services/T0/B0/secret");
        assert_eq!(Url::parse("", "http://[::1]:80/x").unwrap().to_string(), "http://[::1]/…");
    }

    #[test]
    fn what_cannot_be_called_is_refused_by_name() {
        for wrong in [
            "",
            "hooks.slack.com",
            "/path",
            "ftp://host/x",
            "file:///etc/passwd",
            "https://",
            "https://user:password@host/",
            "https://user@host/",
            "gopher://127.0.0.1:6379/_FLUSHALL",
            "https://ho st/",
            "https://host/\r\nX-Injected: 1",
        ] {
            let error = Url::parse("webhook_url", wrong).unwrap_err().to_string();
            assert!(error.starts_with("webhook_url: expected"), "{wrong}: {error}");
        }
    }

    #[test]
    fn plainly_private_addresses_are_known_without_a_lookup() {
        for inside in
            ["http://127.0.0.1/", "http://localhost:9/", "https://[::1]/", "http://169.254.169.254/"]
        {
            assert!(Url::parse("", inside).unwrap().is_plainly_private(), "{inside}");
        }
        for outside in ["https://hooks.slack.com/", "https://1.1.1.1/", "https://internal.example/"] {
            assert!(!Url::parse("", outside).unwrap().is_plainly_private(), "{outside}");
        }
    }
}
