//! Where sessions are kept, as `session.save_path` or `$config` says it.
//!
//! Owns: the notations, and that no password in them gets into a message. Several places stand one
//! after the other with `|` between them. Refuses to do: connect.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};
use crate::ports::Environment;
use crate::remote::database::DatabaseSettings;
use crate::remote::settings::{MemcachedSettings, RedisSettings};

/// What keys in Redis and Memcached begin with where nothing else is said.
pub const PREFIX: &str = "slbp:session:";

/// The table's name behind the site's prefix.
const TABLE: &str = "slbp_sessions";

/// How long an answer of the database may take, unless it is said: a page waits for it.
const DATABASE_PATIENCE: f64 = 5.0;

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Redis.
    Redis(RedisSettings),
    /// Memcached.
    Memcached(MemcachedSettings),
    /// A table of a database.
    Database(DatabaseSettings, String),
    /// The memory that the workers of a host share.
    Shm,
}

/// A URL taken apart.
struct Url {
    scheme: String,
    user: Option<String>,
    password: Option<String>,
    /// Hosts and ports, or a path.
    target: String,
    query: Vec<(String, String)>,
}

/// Reads `session.save_path`. What a URL does not say comes from `env`.
///
/// # Errors
/// [`Kind::Config`] that says what was expected, and nothing of what may be secret.
pub fn parse(save_path: &str, env: &dyn Environment) -> Result<Vec<Place>> {
    let places: Result<Vec<_>> = save_path.split('|').map(|text| place(text.trim(), env)).collect();
    places.map_err(|error| match error.kind() {
        Kind::Config => error,
        _ => Error::new(Kind::Config, format!("session.save_path: {error}")),
    })
}

fn place(text: &str, env: &dyn Environment) -> Result<Place> {
    let mut url = Url::parse(text)?;
    let place = match url.scheme.as_str() {
        "redis" | "rediss" | "redis+unix" => Place::Redis(redis(&mut url, env)?),
        "memcached" | "memcached+unix" => Place::Memcached(memcached(&mut url, env)?),
        "mysql" => database(&mut url, env)?,
        "shm" => Place::Shm,
        _ => return Err(unknown_scheme()),
    };
    match url.query.first() {
        None => Ok(place),
        Some((key, _)) => Err(wrong(&format!("unknown parameter '{key}' behind {}:", url.scheme))),
    }
}

fn redis(url: &mut Url, env: &dyn Environment) -> Result<RedisSettings> {
    let mut given = Map::new();
    if url.scheme == "redis+unix" {
        given.insert("path".to_owned(), url.target.clone().into());
    } else if !url.target.is_empty() {
        let (authority, database) = url.target.split_once('/').unwrap_or((&url.target, ""));
        given.insert("host".to_owned(), plain(authority)?.into());
        if !database.is_empty() {
            given.insert("database".to_owned(), database.into());
        }
        given.insert("scheme".to_owned(), if url.scheme == "rediss" { "tls" } else { "tcp" }.into());
    } else if url.scheme == "rediss" {
        given.insert("scheme".to_owned(), "tls".into());
    }
    let names =
        [("db", "database"), ("database", "database"), ("auth", "password"), ("password", "password")];
    url.take_into(&mut given, &names);
    url.take_into(
        &mut given,
        &[("timeout", "timeout"), ("read_timeout", "read_timeout"), ("prefix", "prefix")],
    );
    url.credentials(&mut given, "username");
    given.entry("prefix").or_insert(PREFIX.into());
    RedisSettings::read(Value::Object(given), env).map_err(|error| secretive(error, url))
}

fn memcached(url: &mut Url, env: &dyn Environment) -> Result<MemcachedSettings> {
    let mut given = Map::new();
    if url.scheme == "memcached+unix" {
        given.insert("servers".to_owned(), json!([url.target]));
    } else if !url.target.is_empty() {
        let servers: Result<Vec<_>> = url.target.trim_end_matches('/').split(',').map(plain).collect();
        given.insert("servers".to_owned(), servers?.into());
    }
    url.take_into(
        &mut given,
        &[("timeout", "timeout"), ("read_timeout", "read_timeout"), ("prefix", "prefix")],
    );
    url.credentials(&mut given, "username");
    given.entry("prefix").or_insert(PREFIX.into());
    MemcachedSettings::read(Value::Object(given), env).map_err(|error| secretive(error, url))
}

fn database(url: &mut Url, env: &dyn Environment) -> Result<Place> {
    let mut given = Map::new();
    let (authority, name) = url.target.split_once('/').unwrap_or((&url.target, ""));
    if !authority.is_empty() {
        given.insert("host".to_owned(), plain(authority)?.into());
    }
    if !name.is_empty() {
        given.insert("name".to_owned(), name.into());
    }
    let table = url.take("table");
    url.take_into(&mut given, &[("socket", "socket"), ("prefix", "prefix"), ("timeout", "timeout")]);
    url.take_into(&mut given, &[("read_timeout", "read_timeout"), ("ssl_ca", "ssl_ca")]);
    url.credentials(&mut given, "user");
    let settings = database_settings(given, env).map_err(|error| secretive(error, url))?;
    in_table(settings, table)
}

fn database_settings(mut given: Map<String, Value>, env: &dyn Environment) -> Result<DatabaseSettings> {
    given.entry("read_timeout").or_insert(DATABASE_PATIENCE.into());
    DatabaseSettings::read(Value::Object(given), env)
}

fn in_table(settings: DatabaseSettings, table: Option<String>) -> Result<Place> {
    if settings.name.is_empty() {
        return Err(wrong("a database: expected its name, as in mysql://user@host/name"));
    }
    let table = table.unwrap_or_else(|| format!("{}{TABLE}", settings.prefix));
    let is_plain = table.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
    if !is_plain || table.is_empty() || table.len() > 64 {
        return Err(wrong("table: expected up to 64 letters, digits and _"));
    }
    Ok(Place::Database(settings, table))
}

/// Which stores a handler may be asked for by name.
pub const HANDLERS: [&str; 4] = ["redis", "memcached", "database", "shm"];

/// What `$config` says of the places: a `handler`, and what it is to know of each.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// One of [`HANDLERS`]; `None` is the first that the site names.
    pub handler: Option<String>,
    /// `$config['redis']`.
    pub redis: Value,
    /// `$config['memcached']`.
    pub memcached: Value,
    /// `$config['database']`.
    pub database: Value,
    /// The table's name.
    pub table: Option<String>,
    /// WordPress' `$table_prefix`.
    pub table_prefix: Option<String>,
}

impl Chosen {
    /// The place: what was asked for; else Redis if the site says where it is, else Memcached, else the
    /// database, else shared memory.
    ///
    /// # Errors
    /// Invalid argument or [`Kind::Config`] that names what was wrong.
    pub fn place(&self, env: &dyn Environment) -> Result<Place> {
        let by_default = || match () {
            () if RedisSettings::is_named(&self.redis, env) => "redis",
            () if MemcachedSettings::is_named(&self.memcached, env) => "memcached",
            () if env.constant("DB_NAME").or_else(|| env.ini("slbp.database_name")).is_some() => "database",
            () => "shm",
        };
        match self.handler.as_deref().unwrap_or_else(by_default) {
            "redis" => Ok(Place::Redis(RedisSettings::read(prefixed(&self.redis), env)?)),
            "memcached" => Ok(Place::Memcached(MemcachedSettings::read(prefixed(&self.memcached), env)?)),
            "database" => {
                let mut given = self.database.as_object().cloned().unwrap_or_default();
                if let Some(prefix) = &self.table_prefix {
                    given.entry("prefix").or_insert(prefix.as_str().into());
                }
                in_table(database_settings(given, env)?, self.table.clone())
            }
            "shm" => Ok(Place::Shm),
            other => {
                Err(Error::invalid("handler", format!("expected {}, got '{other}'", HANDLERS.join(", "))))
            }
        }
    }
}

/// Sessions have a prefix of their own, or flushing the cache by its prefix would end them.
fn prefixed(given: &Value) -> Value {
    let mut given = given.as_object().cloned().unwrap_or_default();
    given.entry("prefix").or_insert(PREFIX.into());
    Value::Object(given)
}

impl Url {
    fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once(':').ok_or_else(unknown_scheme)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may hold a slash that should have been %2F, but never a socket's path an account.
        let end = if rest.starts_with('/') { None } else { rest.rfind('@') };
        let (account, target) =
            end.map_or(("", rest), |at| (rest.get(..at).unwrap_or(""), rest.get(at + 1..).unwrap_or("")));
        let (user, password) =
            account.split_once(':').map_or((account, None), |(user, word)| (user, Some(word)));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        };
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: (!user.is_empty()).then(|| decoded(user)),
            password: password.map(decoded),
            target: decoded(target),
            query: query.split('&').filter(|part| !part.is_empty()).map(pair).collect(),
        })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.query.iter().position(|(name, _)| name == key)?;
        Some(self.query.swap_remove(at).1)
    }

    /// Moves parameters into settings, under the settings' names.
    fn take_into(&mut self, given: &mut Map<String, Value>, names: &[(&str, &str)]) {
        for (parameter, setting) in names {
            if let Some(value) = self.take(parameter) {
                given.insert((*setting).to_owned(), value.into());
            }
        }
    }

    fn credentials(&mut self, given: &mut Map<String, Value>, user: &str) {
        if let Some(name) = self.user.take() {
            given.insert(user.to_owned(), name.into());
        }
        if let Some(word) = self.password.take() {
            given.insert("password".to_owned(), word.into());
        }
    }
}

/// A host as it stands in a URL; what does not look like one is not repeated in a message.
fn plain(host: &str) -> Result<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if host.chars().all(is_plain) { Ok(host.to_owned()) } else { Err(wrong("expected host or host:port")) }
}

/// Settings name what they were given. Of a URL that may be a piece of a password.
fn secretive(error: Error, url: &Url) -> Error {
    let text = error.to_string();
    match text.split_once(", got ") {
        Some((said, _)) => wrong(&format!("{}: {said}", url.scheme)),
        None if text.starts_with("address ") => wrong(&format!("{}: expected host or host:port", url.scheme)),
        None => error,
    }
}

fn unknown_scheme() -> Error {
    wrong("expected redis://, rediss://, redis+unix://, memcached://, mysql:// or shm:")
}

fn wrong(expected: &str) -> Error {
    Error::new(Kind::Config, format!("session.save_path: {expected}"))
}

/// `save_path` with its passwords replaced, for messages that PHP itself would write it into.
pub fn redacted(save_path: &str) -> String {
    let hide = |text: &str| {
        let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let target = match rest.rfind('@').filter(|_| !rest.starts_with('/')) {
            Some(at) => format!("***@{}", rest.get(at + 1..).unwrap_or("")),
            None => rest.to_owned(),
        };
        let parameters =
            query.split('&').filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
                Some((key, _)) if key == "auth" || key == "password" => format!("{key}=***"),
                _ => part.to_owned(),
            });
        let query = parameters.collect::<Vec<_>>().join("&");
        if query.is_empty() { format!("{scheme}://{target}") } else { format!("{scheme}://{target}?{query}") }
    };
    save_path.split('|').map(|text| hide(text.trim())).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Detached;
    use crate::remote::database::DatabaseAddress;
    use crate::remote::settings::{Address, Secret, Topology};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn one(text: &str) -> Place {
        parse(text, &Detached::default()).unwrap().pop().unwrap()
    }

    #[test]
    fn every_notation_is_read() {
        let Place::Redis(redis) = one("rediss://app:s%40cret@cache.local:7000/3?prefix=shop:&timeout=0.1")
        else {
            panic!()
        };
        let address = Address::Tcp { host: "cache.local".to_owned(), port: 7000, tls: true };
        assert_eq!(redis.topology, Topology::Single(address));
        assert_eq!(
            (redis.username.as_deref(), redis.database, redis.prefix.as_str()),
            (Some("app"), 3, "shop:")
        );
        assert_eq!(redis.password.as_ref().map(Secret::reveal), Some("s@cret"));

        let Place::Redis(socket) = one("redis+unix:///run/redis/r.sock?db=2") else { panic!() };
        assert_eq!(socket.topology, Topology::Single(Address::Unix("/run/redis/r.sock".into())));
        assert_eq!((socket.database, socket.prefix.as_str()), (2, PREFIX));

        let Place::Memcached(memcached) = one("memcached://m1:11211,m2:11300") else { panic!() };
        assert_eq!(memcached.servers.len(), 2);

        let text = "mysql://wp:pa%2Fss@db.local:3307/shop?table=wp_slbp_sessions&socket=/run/m.sock";
        let Place::Database(database, table) = one(text) else { panic!() };
        assert_eq!(
            (database.name.as_str(), database.user.as_str(), table.as_str()),
            ("shop", "wp", "wp_slbp_sessions")
        );
        assert_eq!(
            (database.password.reveal(), &database.address),
            ("pa/ss", &DatabaseAddress::Socket("/run/m.sock".into()))
        );

        assert_eq!(one("shm:"), Place::Shm);
        assert_eq!(
            parse("redis://a | memcached://b | mysql://u@c/d", &Detached::default()).unwrap().len(),
            3
        );
    }

    #[test]
    fn what_the_url_does_not_say_comes_from_php_ini() {
        let env = HashMap::from([("slbp.redis_host", "r1"), ("slbp.redis_password", "secret")]);
        let Place::Redis(redis) = parse("redis://", &env).unwrap().remove(0) else { panic!() };
        let address = Address::Tcp { host: "r1".to_owned(), port: 6379, tls: false };
        assert_eq!(redis.topology, Topology::Single(address));
        assert_eq!(redis.password.as_ref().map(Secret::reveal), Some("secret"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_no_secret_repeated() {
        for (text, expected) in [
            ("", "expected redis://"),
            ("/var/lib/php/sessions", "expected redis://"),
            ("http://u:hunter2@h", "expected redis://"),
            ("redis://u:hunter2@h:port", "expected"),
            ("redis://u:hunter2@h:99999", "expected"),
            ("redis://u:hunter2@h?databse=1", "'databse'"),
            ("redis://u:hunter2@h/hunter2", "expected"),
            ("redis://u:hun ter2", "expected"),
            ("mysql://u:hunter2@h", "expected its name"),
            ("mysql://u:hunter2@h/db?table=a;b", "table"),
            ("memcached://hunter2@h", "expected"),
        ] {
            let error = parse(text, &Detached::default()).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{text}");
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{text}: {error}");
            assert!(error.to_string().contains("session.save_path"), "{error}");
        }
    }

    #[test]
    fn the_default_is_what_the_site_names() {
        let chosen = Chosen::default();
        assert_eq!(chosen.place(&Detached::default()).unwrap(), Place::Shm);
        let named = |names: &[(&'static str, &'static str)]| match chosen
            .place(&names.iter().copied().collect::<HashMap<_, _>>())
            .unwrap()
        {
            Place::Redis(_) => "redis",
            Place::Memcached(_) => "memcached",
            Place::Database(..) => "database",
            Place::Shm => "shm",
        };
        let all = [("WP_REDIS_HOST", "r"), ("WP_MEMCACHED_HOST", "m"), ("DB_NAME", "d")];
        assert_eq!([named(&all), named(&all[1..]), named(&all[2..])], ["redis", "memcached", "database"]);
        let wrong = Chosen { handler: Some("files".to_owned()), ..Chosen::default() };
        assert!(wrong.place(&Detached::default()).unwrap_err().to_string().contains("'files'"));
    }

    #[test]
    fn passwords_are_taken_out_of_a_path() {
        assert_eq!(
            redacted("redis://a:b/c@h:1/0?db=1&auth=x | mysql://u:p@h/d | shm:"),
            "redis://***@h:1/0?db=1&auth=*** | mysql://***@h/d | shm:"
        );
    }

    proptest! {
        #[test]
        fn no_path_makes_the_reader_fail(text in "\\PC{0,60}") {
            let _ = parse(&text, &Detached::default());
            let _ = redacted(&text);
        }
    }
}
