//! `$config['memcached']`, the `WP_MEMCACHED_*` constants and `slbp.memcached_*` in php.ini.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Address, LONGEST_WAIT, Secret, fallback, seconds};
use crate::config::{Section, lax};
use crate::error::{Error, Result};
use crate::ports::Environment;

/// Where Memcached is and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemcachedSettings {
    /// The servers; keys are spread over them.
    pub servers: Vec<Address>,
    /// User and password for a server started with an authentication file.
    pub login: Option<(String, Secret)>,
    /// What every key begins with, so that sites can share a server.
    pub prefix: String,
    /// How long a connection may take.
    pub timeout: Duration,
    /// How long an answer may take.
    pub read_timeout: Duration,
}

const MEMCACHED: Section = Section {
    name: "$config['memcached']",
    keys: &["host", "port", "servers", "username", "password", "prefix", "timeout", "read_timeout"],
    fallbacks: &[
        fallback("host", "WP_MEMCACHED_HOST", "slbp.memcached_host"),
        fallback("port", "WP_MEMCACHED_PORT", "slbp.memcached_port"),
        fallback("servers", "WP_MEMCACHED_SERVERS", "slbp.memcached_servers"),
        fallback("username", "WP_MEMCACHED_USERNAME", "slbp.memcached_username"),
        fallback("password", "WP_MEMCACHED_PASSWORD", "slbp.memcached_password"),
        fallback("prefix", "WP_CACHE_KEY_SALT", "slbp.memcached_prefix"),
        fallback("timeout", "WP_MEMCACHED_TIMEOUT", "slbp.memcached_timeout"),
        fallback("read_timeout", "WP_MEMCACHED_READ_TIMEOUT", "slbp.memcached_read_timeout"),
    ],
};

#[derive(Deserialize)]
#[serde(default)]
struct RawMemcached {
    #[serde(deserialize_with = "lax::list")]
    host: Vec<String>,
    #[serde(deserialize_with = "lax::u64")]
    port: u64,
    #[serde(deserialize_with = "lax::list")]
    servers: Vec<String>,
    #[serde(deserialize_with = "lax::text")]
    username: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    password: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    prefix: Option<String>,
    #[serde(deserialize_with = "lax::f64")]
    timeout: f64,
    #[serde(deserialize_with = "lax::f64")]
    read_timeout: f64,
}

impl Default for RawMemcached {
    fn default() -> Self {
        Self {
            host: Vec::new(),
            port: 11211,
            servers: Vec::new(),
            username: None,
            password: None,
            prefix: None,
            timeout: 0.2,
            read_timeout: 0.5,
        }
    }
}

impl MemcachedSettings {
    /// Whether the site says where its Memcached is: `given` (`$config['memcached']`), a constant or php.ini does.
    pub fn is_named(given: &Value, env: &dyn Environment) -> bool {
        MEMCACHED.names_any(&["host", "servers"], given, env)
    }

    /// Reads `$config['memcached']` with its fallbacks. `host` may name several servers.
    ///
    /// # Errors
    /// Invalid argument or config error that names the key, its origin and what was expected.
    pub fn read(explicit: Value, env: &dyn Environment) -> Result<Self> {
        let raw: RawMemcached = MEMCACHED.read(explicit, env)?;
        let port =
            u16::try_from(raw.port).map_err(|_| Error::invalid("memcached port", "expected 1 to 65535"))?;
        let mut named = if raw.servers.is_empty() { raw.host } else { raw.servers };
        if named.is_empty() {
            named.push("127.0.0.1".to_owned());
        }
        let servers: Result<Vec<_>> = named.iter().map(|text| Address::parse(text, port, false)).collect();
        let login = match (raw.username, raw.password) {
            (Some(user), Some(password)) => Some((user, Secret::new(password))),
            (None, None) => None,
            _ => return Err(Error::invalid("memcached username", "expected together with password")),
        };
        Ok(Self {
            servers: servers?,
            login,
            prefix: raw.prefix.unwrap_or_default(),
            timeout: seconds("memcached timeout", raw.timeout, LONGEST_WAIT)?,
            read_timeout: seconds("memcached read_timeout", raw.read_timeout, LONGEST_WAIT)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Detached;
    use serde_json::json;
    use std::collections::HashMap;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port, tls: false }
    }

    #[test]
    fn memcached_takes_one_server_or_many() {
        let env = HashMap::from([("WP_MEMCACHED_HOST", "m1"), ("WP_MEMCACHED_PORT", "11300")]);
        let one = MemcachedSettings::read(Value::Null, &env).unwrap();
        assert_eq!(one.servers, vec![tcp("m1", 11300)]);
        let many =
            MemcachedSettings::read(json!({"servers": ["m1", "m2:1", "/run/m.sock"]}), &Detached::default())
                .unwrap();
        assert_eq!(many.servers.len(), 3);
        assert_eq!(many.servers[2], Address::Unix("/run/m.sock".into()));
    }
}
