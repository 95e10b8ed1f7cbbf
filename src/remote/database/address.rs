//! `DB_HOST` in all its forms, read as WordPress reads it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where a database server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseAddress {
    /// A TCP port.
    Tcp {
        /// Name or IP address, IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A unix socket.
    Socket(PathBuf),
}

impl fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where servers put their socket when nobody says otherwise (Debian, Red Hat, Homebrew, MAMP).
const USUAL_SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

impl DatabaseAddress {
    /// Reads `host`, `host:port`, `host:/socket`, `host:port:/socket`, `[v6]:port`, a bare IPv6
    /// address, or `localhost`.
    ///
    /// `localhost` means the default socket, whatever port stands beside it, because that is where
    /// PHP's driver goes and WordPress' data is; TCP only where there is no such socket.
    ///
    /// # Errors
    /// Invalid argument when the port is not one.
    pub fn parse(text: &str, default_port: u16, default_socket: Option<&Path>) -> Result<Self> {
        if let Some(at) = text.find(":/") {
            return Ok(Self::Socket(PathBuf::from(text.split_at(at + 1).1)));
        }
        if text.starts_with('/') {
            return Ok(Self::Socket(PathBuf::from(text)));
        }
        let (host, port) = split_port(text);
        let port =
            match port {
                Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                    Error::invalid("database host", format!("expected a port, got '{digits}'"))
                })?,
                None => default_port,
            };
        if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Tcp { host: host.to_owned(), port });
        }
        let socket = default_socket.filter(|path| path.exists()).or_else(|| usual_socket(default_socket));
        Ok(socket.map_or_else(
            || Self::Tcp { host: "127.0.0.1".to_owned(), port },
            |path| Self::Socket(path.to_owned()),
        ))
    }
}

fn usual_socket(configured: Option<&Path>) -> Option<&'static Path> {
    if configured.is_some() {
        return None;
    }
    USUAL_SOCKETS.iter().map(Path::new).find(|path| path.exists())
}

/// `[::1]:3306` → `::1` and `3306`; a bare IPv6 address has no port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').filter(|port| !port.is_empty()));
    }
    if text.matches(':').count() > 1 {
        return (text, None);
    }
    match text.split_once(':') {
        Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> DatabaseAddress {
        DatabaseAddress::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn every_wordpress_notation_is_read() {
        let socket = |path: &str| DatabaseAddress::Socket(path.into());
        let cases = [
            ("db.internal", tcp("db.internal", 3306)),
            ("db.internal:3307", tcp("db.internal", 3307)),
            ("127.0.0.1:", tcp("127.0.0.1", 3306)),
            ("::1", tcp("::1", 3306)),
            ("[::1]", tcp("::1", 3306)),
            ("[2001:db8::5]:3307", tcp("2001:db8::5", 3307)),
            ("localhost:/var/run/my.sock", socket("/var/run/my.sock")),
            (":/var/run/my.sock", socket("/var/run/my.sock")),
            ("db.internal:3306:/var/run/my.sock", socket("/var/run/my.sock")),
            ("/var/run/my.sock", socket("/var/run/my.sock")),
        ];
        for (text, expected) in cases {
            assert_eq!(DatabaseAddress::parse(text, 3306, None).unwrap(), expected, "{text}");
        }
        for wrong in ["db:port", "db:70000", "db:0"] {
            assert!(DatabaseAddress::parse(wrong, 3306, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn localhost_is_the_default_socket_where_there_is_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["localhost", "localhost:3306", "LOCALHOST", ""] {
            let address = DatabaseAddress::parse(text, 3306, Some(file.path())).unwrap();
            assert_eq!(address, DatabaseAddress::Socket(file.path().to_owned()), "{text}");
        }
        let missing = Path::new("/nonexistent/mysqld.sock");
        assert_eq!(
            DatabaseAddress::parse("localhost:3307", 3306, Some(missing)).unwrap(),
            tcp("127.0.0.1", 3307)
        );
    }
}
