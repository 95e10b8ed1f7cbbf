//! How a server's address is written.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// One server's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP port, with TLS or without.
    Tcp {
        /// Name or IP address, IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// Whether the server speaks TLS there.
        tls: bool,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]:port`, `scheme://host:port?…`, `/path` or `unix:/path`.
    ///
    /// # Errors
    /// Invalid argument when there is no host, the port is not one, or the scheme is unknown.
    pub fn parse(text: &str, default_port: u16, default_tls: bool) -> Result<Self> {
        let wrong = |expected: &str| Error::invalid(&format!("address '{text}'"), expected);
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if rest.starts_with('/') || scheme == "unix" {
            return Ok(Self::Unix(PathBuf::from(rest)));
        }
        if let Some(path) = rest.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let tls = match scheme {
            "" => default_tls,
            "tcp" | "redis" => false,
            "tls" | "ssl" | "rediss" => true,
            _ => return Err(wrong("expected scheme tcp, tls, unix or rediss")),
        };
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let (host, port) =
            split_port(authority).ok_or_else(|| wrong("expected host, host:port or a path"))?;
        let port = match port {
            Some(digits) => digits.parse().map_err(|_| wrong("expected a port from 1 to 65535"))?,
            None => default_port,
        };
        Ok(Self::Tcp { host: host.to_owned(), port, tls })
    }
}

/// `[::1]:6379` → `::1` and `6379`; a bare IPv6 address has no port.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, after.strip_prefix(':'))
    } else if authority.matches(':').count() == 1 {
        let (host, port) = authority.split_once(':')?;
        (host, Some(port))
    } else {
        (authority, None)
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, tls: bool) -> Address {
        Address::Tcp { host: host.to_owned(), port, tls }
    }

    #[test]
    fn addresses_are_read_in_every_notation() {
        let cases = [
            ("cache.local", tcp("cache.local", 6379, false)),
            ("10.0.0.1:7000", tcp("10.0.0.1", 7000, false)),
            ("tcp://10.0.0.1:7000?alias=node-01", tcp("10.0.0.1", 7000, false)),
            ("rediss://cache.local:7001/0", tcp("cache.local", 7001, true)),
            ("::1", tcp("::1", 6379, false)),
            ("[::1]:7000", tcp("::1", 7000, false)),
            ("/run/redis.sock", Address::Unix("/run/redis.sock".into())),
            ("unix:///run/redis.sock", Address::Unix("/run/redis.sock".into())),
            ("unix:/run/redis.sock", Address::Unix("/run/redis.sock".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(Address::parse(text, 6379, false).unwrap(), expected, "{text}");
        }
        for wrong in ["", "host:port", "host:70000", "http://host"] {
            assert!(Address::parse(wrong, 6379, false).is_err(), "{wrong}");
        }
    }
}
