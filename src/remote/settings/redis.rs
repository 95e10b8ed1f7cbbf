//! `$config['redis']`, the `WP_REDIS_*` constants and `slbp.redis_*` in php.ini.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Address, LONGEST_WAIT, Secret, fallback, seconds};
use crate::config::{Fallback, Section, lax};
use crate::error::{Error, Result};
use crate::ports::Environment;

/// How the Redis servers stand to one another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topology {
    /// One server.
    Single(Address),
    /// A Redis Cluster; any of these nodes tells where the rest is.
    Cluster(Vec<Address>),
    /// Sentinels that know which server is the master of `service`.
    Sentinel {
        /// The master's name in the sentinels' configuration.
        service: String,
        /// The sentinels.
        sentinels: Vec<Address>,
    },
}

/// PEM files for TLS. Without `ca` the system's trust store is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// Certificates of the authority that signed the server's.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, where the server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where Redis is and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisSettings {
    /// The server or servers.
    pub topology: Topology,
    /// ACL user; `None` is `default`.
    pub username: Option<String>,
    /// Password of the user.
    pub password: Option<Secret>,
    /// Logical database; a cluster has only 0.
    pub database: u32,
    /// What every key begins with, so that sites can share a server.
    pub prefix: String,
    /// How long a connection may take, TLS and login included.
    pub timeout: Duration,
    /// How long an answer may take.
    pub read_timeout: Duration,
    /// PEM files for TLS.
    pub tls: TlsFiles,
}

const REDIS: Section = Section {
    name: "$config['redis']",
    keys: &[
        "host",
        "port",
        "path",
        "scheme",
        "username",
        "password",
        "database",
        "prefix",
        "timeout",
        "read_timeout",
        "cluster",
        "sentinel",
        "servers",
        "tls_ca",
        "tls_cert",
        "tls_key",
    ],
    fallbacks: &[
        fallback("host", "WP_REDIS_HOST", "slbp.redis_host"),
        fallback("port", "WP_REDIS_PORT", "slbp.redis_port"),
        fallback("path", "WP_REDIS_PATH", "slbp.redis_path"),
        fallback("scheme", "WP_REDIS_SCHEME", "slbp.redis_scheme"),
        fallback("username", "WP_REDIS_USERNAME", "slbp.redis_username"),
        fallback("password", "WP_REDIS_PASSWORD", "slbp.redis_password"),
        fallback("database", "WP_REDIS_DATABASE", "slbp.redis_database"),
        Fallback { key: "prefix", constant: Some("WP_REDIS_PREFIX"), ini: None },
        fallback("prefix", "WP_CACHE_KEY_SALT", "slbp.redis_prefix"),
        fallback("timeout", "WP_REDIS_TIMEOUT", "slbp.redis_timeout"),
        fallback("read_timeout", "WP_REDIS_READ_TIMEOUT", "slbp.redis_read_timeout"),
        fallback("cluster", "WP_REDIS_CLUSTER", "slbp.redis_cluster"),
        fallback("sentinel", "WP_REDIS_SENTINEL", "slbp.redis_sentinel"),
        fallback("servers", "WP_REDIS_SERVERS", "slbp.redis_servers"),
        Fallback { key: "tls_ca", constant: None, ini: Some("slbp.redis_tls_ca") },
        Fallback { key: "tls_cert", constant: None, ini: Some("slbp.redis_tls_cert") },
        Fallback { key: "tls_key", constant: None, ini: Some("slbp.redis_tls_key") },
    ],
};

/// The section as it is written, before it is made sense of.
#[derive(Deserialize)]
#[serde(default)]
struct RawRedis {
    #[serde(deserialize_with = "lax::text")]
    host: Option<String>,
    #[serde(deserialize_with = "lax::u64")]
    port: u64,
    #[serde(deserialize_with = "lax::text")]
    path: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    scheme: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    username: Option<String>,
    password: Value,
    #[serde(deserialize_with = "lax::u64")]
    database: u64,
    #[serde(deserialize_with = "lax::text")]
    prefix: Option<String>,
    #[serde(deserialize_with = "lax::f64")]
    timeout: f64,
    #[serde(deserialize_with = "lax::f64")]
    read_timeout: f64,
    #[serde(deserialize_with = "lax::list")]
    cluster: Vec<String>,
    #[serde(deserialize_with = "lax::text")]
    sentinel: Option<String>,
    #[serde(deserialize_with = "lax::list")]
    servers: Vec<String>,
    #[serde(deserialize_with = "lax::text")]
    tls_ca: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    tls_cert: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    tls_key: Option<String>,
}

impl Default for RawRedis {
    fn default() -> Self {
        Self {
            host: None,
            port: 6379,
            path: None,
            scheme: None,
            username: None,
            password: Value::Null,
            database: 0,
            prefix: None,
            timeout: 0.2,
            read_timeout: 0.5,
            cluster: Vec::new(),
            sentinel: None,
            servers: Vec::new(),
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
        }
    }
}

impl RedisSettings {
    /// Whether the site says where its Redis is: `given` (`$config['redis']`), a constant or php.ini does.
    pub fn is_named(given: &Value, env: &dyn Environment) -> bool {
        REDIS.names_any(&["host", "path", "cluster", "sentinel", "servers"], given, env)
    }

    /// Reads `$config['redis']` with its fallbacks. A constant that holds an array is expected as
    /// JSON text.
    ///
    /// # Errors
    /// Invalid argument or config error that names the key, its origin and what was expected.
    pub fn read(explicit: Value, env: &dyn Environment) -> Result<Self> {
        let raw: RawRedis = REDIS.read(explicit, env)?;
        let (username, password) = credentials(raw.username.clone(), &raw.password)?;
        Ok(Self {
            topology: raw.topology()?,
            username,
            password,
            database: u32::try_from(raw.database)
                .map_err(|_| Error::invalid("redis database", "expected a small whole number"))?,
            prefix: raw.prefix.clone().unwrap_or_default(),
            timeout: seconds("redis timeout", raw.timeout, LONGEST_WAIT)?,
            read_timeout: seconds("redis read_timeout", raw.read_timeout, LONGEST_WAIT)?,
            tls: raw.tls_files()?,
        })
    }

    /// Settings for the server at `address` and nothing else said.
    pub fn at(address: Address) -> Self {
        Self {
            topology: Topology::Single(address),
            username: None,
            password: None,
            database: 0,
            prefix: String::new(),
            timeout: Duration::from_millis(200),
            read_timeout: Duration::from_millis(500),
            tls: TlsFiles::default(),
        }
    }

    /// The same servers with `limit` for connecting and for each answer.
    #[must_use]
    pub fn with_timeouts(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self.read_timeout = limit;
        self
    }
}

impl RawRedis {
    fn topology(&self) -> Result<Topology> {
        let tls = self.is_tls()?;
        let port = u16::try_from(self.port)
            .ok()
            .filter(|port| *port > 0 || self.path.is_some())
            .ok_or_else(|| Error::invalid("redis port", "expected 1 to 65535"))?;
        let parse_all = |texts: &[String], port| -> Result<Vec<Address>> {
            texts.iter().map(|text| Address::parse(text, port, tls)).collect()
        };
        if !self.cluster.is_empty() {
            if self.sentinel.is_some() {
                return Err(Error::invalid(
                    "redis cluster",
                    "expected without sentinel: a cluster elects its masters",
                ));
            }
            let nodes = parse_all(&self.cluster, port)?;
            return match nodes.iter().find(|node| matches!(node, Address::Unix(_))) {
                Some(_) => Err(Error::invalid("redis cluster", "expected host:port for every node")),
                None => Ok(Topology::Cluster(nodes)),
            };
        }
        if let Some(service) = self.sentinel.clone() {
            return match parse_all(&self.servers, 26379)? {
                sentinels if sentinels.is_empty() => {
                    Err(Error::invalid("redis servers", "expected the sentinels' addresses"))
                }
                sentinels => Ok(Topology::Sentinel { service, sentinels }),
            };
        }
        if let Some(path) = &self.path {
            return Ok(Topology::Single(Address::Unix(PathBuf::from(path))));
        }
        let host = self.host.as_deref().or(self.servers.first().map(String::as_str)).unwrap_or("127.0.0.1");
        Address::parse(host, port, tls).map(Topology::Single)
    }

    fn is_tls(&self) -> Result<bool> {
        match self.scheme.as_deref() {
            None | Some("tcp" | "redis" | "unix") => Ok(false),
            Some("tls" | "ssl" | "rediss") => Ok(true),
            Some(_) => Err(Error::invalid("redis scheme", "expected tcp, tls, unix or rediss")),
        }
    }

    fn tls_files(&self) -> Result<TlsFiles> {
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
            (None, None) => None,
            _ => return Err(Error::invalid("redis tls_cert", "expected together with tls_key")),
        };
        Ok(TlsFiles { ca: self.tls_ca.as_ref().map(PathBuf::from), identity })
    }
}

/// `WP_REDIS_PASSWORD` may be a password or, for an ACL user, a list of user and password.
fn credentials(username: Option<String>, password: &Value) -> Result<(Option<String>, Option<Secret>)> {
    if let Ok(text) = lax::text(password.clone()) {
        let pair = text.as_deref().filter(|text| text.starts_with('[')).and_then(two_strings);
        return Ok(match pair {
            Some((user, password)) => (username.or(Some(user)), Some(Secret::new(password))),
            None => (username, text.map(Secret::new)),
        });
    }
    two_strings(&password.to_string())
        .map(|(user, password)| (username.or(Some(user)), Some(Secret::new(password))))
        .ok_or_else(|| Error::invalid("redis password", "expected a string, or a list of user and password"))
}

fn two_strings(json: &str) -> Option<(String, String)> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::ports::Detached;
    use serde_json::json;
    use std::collections::HashMap;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port, tls: false }
    }

    #[test]
    fn nothing_said_means_localhost() {
        let settings = RedisSettings::read(Value::Null, &Detached::default()).unwrap();
        assert_eq!(settings, RedisSettings::at(tcp("127.0.0.1", 6379)));
    }

    #[test]
    fn the_specifications_constants_are_obeyed() {
        let env = HashMap::from([
            ("WP_REDIS_HOST", "redis-server"),
            ("WP_REDIS_PORT", "6380"),
            ("WP_REDIS_PASSWORD", "your-password"),
            ("WP_REDIS_TIMEOUT", "0.05"),
            ("WP_CACHE_KEY_SALT", "site-a:"),
        ]);
        let settings = RedisSettings::read(json!({"database": "3"}), &env).unwrap();
        assert_eq!(settings.topology, Topology::Single(tcp("redis-server", 6380)));
        assert_eq!(settings.password.as_ref().map(Secret::reveal), Some("your-password"));
        assert_eq!((settings.database, settings.prefix.as_str()), (3, "site-a:"));
        assert_eq!(settings.timeout, Duration::from_millis(50));
        assert!(!format!("{settings:?}").contains("your-password"));
    }

    #[test]
    fn an_acl_user_comes_as_a_pair_too() {
        let env = HashMap::from([("WP_REDIS_PASSWORD", r#"["app","s3cret"]"#)]);
        let from_constant = RedisSettings::read(Value::Null, &env).unwrap();
        let from_config =
            RedisSettings::read(json!({"password": ["app", "s3cret"]}), &Detached::default()).unwrap();
        assert_eq!(from_constant, from_config);
        assert_eq!(from_config.username.as_deref(), Some("app"));
    }

    #[test]
    fn cluster_and_sentinel_come_from_lists_in_any_form() {
        for list in [json!(["tcp://a:1", "b:2"]), json!("a:1, b:2"), json!(r#"["a:1","b:2"]"#)] {
            let settings = RedisSettings::read(json!({"cluster": list}), &Detached::default()).unwrap();
            assert_eq!(settings.topology, Topology::Cluster(vec![tcp("a", 1), tcp("b", 2)]));
        }
        let config = json!({"sentinel": "mymaster", "servers": ["s1", "s2:5000"]});
        let sentinels = vec![tcp("s1", 26379), tcp("s2", 5000)];
        assert_eq!(
            RedisSettings::read(config, &Detached::default()).unwrap().topology,
            Topology::Sentinel { service: "mymaster".to_owned(), sentinels }
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        let cases = [
            (json!({"timeout": 0}), "timeout"),
            (json!({"port": 70000}), "port"),
            (json!({"scheme": "http"}), "scheme"),
            (json!({"sentinel": "m"}), "servers"),
            (json!({"tls_cert": "a.pem"}), "tls_key"),
            (json!({"cluster": ["/run/redis.sock"]}), "cluster"),
            (json!({"cluster": ["a:1"], "sentinel": "m", "servers": ["s"]}), "without sentinel"),
            (json!({"hots": "a"}), "did you mean 'host'"),
        ];
        for (config, name) in cases {
            let error = RedisSettings::read(config, &Detached::default()).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
