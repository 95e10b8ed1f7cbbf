//! `$config['database']`, the `DB_*` constants and `slbp.database_*` in php.ini.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::DatabaseAddress;
use crate::config::{Fallback, Section, lax};
use crate::error::{Error, Result};
use crate::ports::Environment;
use crate::remote::settings::{Secret, seconds};

/// A dump or a migration may keep a connection busy for long.
const LONGEST: Duration = Duration::from_secs(3600);

/// Where the site's database is, who we are there, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// The server.
    pub address: DatabaseAddress,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// The database.
    pub name: String,
    /// What the names of the site's tables begin with.
    pub prefix: String,
    /// The connection's character set.
    pub charset: String,
    /// TLS to a TCP server; a socket needs none.
    pub tls: Option<Tls>,
    /// How long connecting may take.
    pub timeout: Duration,
    /// How long an answer may take.
    pub read_timeout: Duration,
}

/// How the server proves who it is, and we prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities in PEM; without it the public ones (webpki-roots).
    pub ca: Option<PathBuf>,
    /// Our certificate chain and key in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the certificate must be valid for the host.
    pub verify: bool,
}

const fn fallback(key: &'static str, constant: Option<&'static str>, ini: &'static str) -> Fallback {
    Fallback { key, constant, ini: Some(ini) }
}

const DATABASE: Section = Section {
    name: "$config['database']",
    keys: &[
        "host",
        "user",
        "password",
        "name",
        "prefix",
        "port",
        "socket",
        "charset",
        "flags",
        "ssl",
        "ssl_ca",
        "ssl_cert",
        "ssl_key",
        "ssl_verify",
        "timeout",
        "read_timeout",
    ],
    fallbacks: &[
        fallback("host", Some("DB_HOST"), "slbp.database_host"),
        fallback("user", Some("DB_USER"), "slbp.database_user"),
        fallback("password", Some("DB_PASSWORD"), "slbp.database_password"),
        fallback("name", Some("DB_NAME"), "slbp.database_name"),
        fallback("prefix", None, "slbp.database_prefix"),
        fallback("charset", Some("DB_CHARSET"), "slbp.database_charset"),
        fallback("flags", Some("MYSQL_CLIENT_FLAGS"), "slbp.database_flags"),
        fallback("ssl_ca", Some("MYSQL_SSL_CA"), "slbp.database_ssl_ca"),
        fallback("ssl_cert", Some("MYSQL_SSL_CERT"), "slbp.database_ssl_cert"),
        fallback("ssl_key", Some("MYSQL_SSL_KEY"), "slbp.database_ssl_key"),
    ],
};

/// `MYSQLI_CLIENT_SSL`, as people set it in wp-config.php.
const FLAG_SSL: u64 = 2048;
/// `MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT`.
const FLAG_DONT_VERIFY: u64 = 64;

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    host: String,
    user: String,
    password: String,
    name: String,
    prefix: String,
    #[serde(deserialize_with = "lax::u64")]
    port: u64,
    socket: Option<PathBuf>,
    charset: String,
    #[serde(deserialize_with = "lax::u64")]
    flags: u64,
    #[serde(deserialize_with = "lax::bool")]
    ssl: bool,
    ssl_ca: Option<PathBuf>,
    ssl_cert: Option<PathBuf>,
    ssl_key: Option<PathBuf>,
    #[serde(deserialize_with = "lax::bool")]
    ssl_verify: bool,
    #[serde(deserialize_with = "lax::f64")]
    timeout: f64,
    #[serde(deserialize_with = "lax::f64")]
    read_timeout: f64,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            user: "root".to_owned(),
            password: String::new(),
            name: String::new(),
            prefix: "wp_".to_owned(),
            port: 3306,
            socket: None,
            charset: "utf8mb4".to_owned(),
            flags: 0,
            ssl: false,
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
            ssl_verify: true,
            timeout: 2.0,
            read_timeout: 30.0,
        }
    }
}

impl DatabaseSettings {
    /// Reads `$config['database']` with its fallbacks. The table prefix is a variable in
    /// WordPress, not a constant: the host passes it as `prefix`.
    ///
    /// # Errors
    /// Invalid argument or config error that names the key, its origin and what was expected.
    pub fn read(explicit: Value, env: &dyn Environment) -> Result<Self> {
        let raw: Raw = DATABASE.read(explicit, env)?;
        let port = u16::try_from(raw.port).ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| Error::invalid("database port", "expected 1 to 65535"))?;
        let default_socket = env.ini("mysqli.default_socket").map(PathBuf::from);
        let address = match &raw.socket {
            Some(path) => DatabaseAddress::Socket(path.clone()),
            None => DatabaseAddress::parse(&raw.host, port, default_socket.as_deref())?,
        };
        Ok(Self {
            address,
            tls: raw.tls()?,
            prefix: identifier("database prefix", raw.prefix)?,
            charset: charset(raw.charset)?,
            user: raw.user,
            password: Secret::new(raw.password),
            name: raw.name,
            timeout: seconds("database timeout", raw.timeout, LONGEST)?,
            read_timeout: seconds("database read_timeout", raw.read_timeout, LONGEST)?,
        })
    }
}

impl Raw {
    fn tls(&self) -> Result<Option<Tls>> {
        let identity = match (&self.ssl_cert, &self.ssl_key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => return Err(Error::invalid("database ssl_cert", "expected together with ssl_key")),
        };
        let wanted = self.ssl || self.flags & FLAG_SSL != 0 || self.ssl_ca.is_some() || identity.is_some();
        let verify = self.ssl_verify && self.flags & FLAG_DONT_VERIFY == 0;
        Ok(wanted.then(|| Tls { ca: self.ssl_ca.clone(), identity, verify }))
    }
}

/// Table names are put into SQL as they are, so their prefix must need no quoting.
fn identifier(name: &str, text: String) -> Result<String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if plain && text.len() <= 32 {
        return Ok(text);
    }
    Err(Error::invalid(name, format!("expected up to 32 letters, digits and _, got '{text}'")))
}

/// Only character sets in which every JSON payload fits. WordPress' old default `utf8` is read as
/// utf8mb4, as WordPress itself does on a server that has it.
fn charset(text: String) -> Result<String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "utf8" | "utf8mb3" | "utf8mb4" => Ok("utf8mb4".to_owned()),
        _ => Err(Error::invalid("database charset", format!("expected utf8mb4, got '{text}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Detached;
    use serde_json::json;
    use std::collections::HashMap;

    #[test]
    fn wp_config_names_the_database() {
        let env = HashMap::from([
            ("DB_HOST", "db.internal:3307"),
            ("DB_USER", "wp"),
            ("DB_PASSWORD", "s3cret"),
            ("DB_NAME", "shop"),
            ("DB_CHARSET", "utf8"),
            ("MYSQL_CLIENT_FLAGS", "2112"),
        ]);
        let settings = DatabaseSettings::read(json!({"prefix": "shop_"}), &env).unwrap();
        assert_eq!(settings.address, DatabaseAddress::Tcp { host: "db.internal".to_owned(), port: 3307 });
        assert_eq!(settings.charset, "utf8mb4");
        assert_eq!(settings.tls, Some(Tls { ca: None, identity: None, verify: false }));
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn an_explicit_socket_wins_over_the_host() {
        let explicit = json!({"host": "db.internal", "socket": "/run/other.sock"});
        let settings = DatabaseSettings::read(explicit, &Detached::default()).unwrap();
        assert_eq!(settings.address, DatabaseAddress::Socket("/run/other.sock".into()));
        assert_eq!(settings.tls, None);
    }

    #[test]
    fn what_would_break_the_sql_or_the_data_is_refused() {
        for wrong in [
            json!({"prefix": "wp_; DROP TABLE"}),
            json!({"charset": "latin1"}),
            json!({"ssl_cert": "/c.pem"}),
            json!({"port": 0}),
            json!({"timeout": 0}),
        ] {
            assert!(DatabaseSettings::read(wrong.clone(), &Detached::default()).is_err(), "{wrong}");
        }
    }
}
