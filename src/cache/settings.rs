//! What can be set.
//!
//! Owns: the cache's keys of `SLBP_Performance_Optimizer`'s `$config` and what stands behind them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{Fallback, Section, lax};
use crate::error::{Error, Result};
use crate::ports::{Detached, Environment};
use crate::remote::settings::{MemcachedSettings, RedisSettings};

/// The keys that [`Settings::read`] understands.
pub const KEYS: &[&str] = &[
    "backend",
    "cache_expiration",
    "prefix",
    "redis",
    "memcached",
    "max_value_size",
    "compress_from",
    "site_share",
    "jitter",
];

const SECTION: Section = Section {
    name: "$config",
    keys: KEYS,
    fallbacks: &[
        Fallback { key: "backend", constant: None, ini: Some("slbp.cache_backend") },
        Fallback { key: "prefix", constant: Some("WP_CACHE_KEY_SALT"), ini: Some("slbp.cache_prefix") },
        Fallback { key: "max_value_size", constant: None, ini: Some("slbp.cache_max_value_size") },
        Fallback { key: "site_share", constant: None, ini: Some("slbp.cache_site_share") },
    ],
};

/// Where values go besides shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Nowhere.
    Shm,
    /// Redis.
    Redis(RedisSettings),
    /// Memcached.
    Memcached(MemcachedSettings),
}

/// How the cache works.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The second layer.
    pub backend: Backend,
    /// How long values last whose caller does not say; `None` is for ever.
    pub expiration: Option<Duration>,
    /// What tells this site's keys from others' in the second layer.
    pub prefix: String,
    /// The largest value, encoded and uncompressed, in bytes.
    pub max_value_size: usize,
    /// Values from this size on are compressed for the second layer, in bytes.
    pub compress_from: usize,
    /// How much of shared memory one site may fill, 0 to 1.
    pub site_share: f64,
    /// By how much the expiry of computed values may come earlier, 0 to 1, so that what was
    /// computed together does not expire together.
    pub jitter: f64,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(deserialize_with = "lax::text")]
    backend: Option<String>,
    #[serde(deserialize_with = "lax::u64")]
    cache_expiration: u64,
    #[serde(deserialize_with = "lax::text")]
    prefix: Option<String>,
    redis: Value,
    memcached: Value,
    #[serde(deserialize_with = "lax::u64")]
    max_value_size: u64,
    #[serde(deserialize_with = "lax::u64")]
    compress_from: u64,
    #[serde(deserialize_with = "lax::f64")]
    site_share: f64,
    #[serde(deserialize_with = "lax::f64")]
    jitter: f64,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            backend: None,
            cache_expiration: 3600,
            prefix: None,
            redis: Value::Null,
            memcached: Value::Null,
            max_value_size: 8 << 20,
            compress_from: 1024,
            site_share: 1.0,
            jitter: 0.1,
        }
    }
}

impl Settings {
    /// Reads the cache's part of `$config`, which has no other keys.
    ///
    /// # Errors
    /// Invalid argument or config error that names the key, its origin and what was expected.
    pub fn read(config: Value, env: &dyn Environment) -> Result<Self> {
        let raw: Raw = SECTION.read(config, env)?;
        let share = |name: &str, value: f64| match value {
            0.0..=1.0 => Ok(value),
            _ => Err(Error::invalid(name, format!("expected 0 to 1, got {value}"))),
        };
        let size = |name: &str, value: u64| {
            usize::try_from(value)
                .ok()
                .filter(|size| *size <= 64 << 20)
                .ok_or_else(|| Error::invalid(name, format!("expected bytes, at most 67108864, got {value}")))
        };
        let backend = raw.backend(env)?;
        let prefix = raw.prefix.clone().or_else(|| backend.prefix()).unwrap_or_default();
        Ok(Self {
            backend,
            expiration: (raw.cache_expiration > 0).then(|| Duration::from_secs(raw.cache_expiration)),
            prefix,
            max_value_size: size("max_value_size", raw.max_value_size)?,
            compress_from: size("compress_from", raw.compress_from)?,
            site_share: share("site_share", raw.site_share)?,
            jitter: share("jitter", raw.jitter)?,
        })
    }
}

impl Raw {
    fn backend(&self, env: &dyn Environment) -> Result<Backend> {
        let redis = || RedisSettings::read(self.redis.clone(), env).map(Backend::Redis);
        let memcached = || MemcachedSettings::read(self.memcached.clone(), env).map(Backend::Memcached);
        match self.backend.as_deref() {
            Some("shm") => Ok(Backend::Shm),
            Some("redis") => redis(),
            Some("memcached") => memcached(),
            None | Some("auto") => match self.named_store(env) {
                Some(Named::Redis) => redis(),
                Some(Named::Memcached) => memcached(),
                None => Ok(Backend::Shm),
            },
            Some(other) => Err(Error::invalid(
                "backend",
                format!("expected 'auto', 'shm', 'redis' or 'memcached', got '{other}'"),
            )),
        }
    }

    /// The store that somebody has named: in `$config`, else in a constant, else in php.ini; Redis
    /// where the same place names both.
    fn named_store(&self, env: &dyn Environment) -> Option<Named> {
        let places: [&dyn Environment; 3] = [&Detached::default(), &ConstantsOf(env), env];
        places.into_iter().find_map(|place| {
            if RedisSettings::is_named(&self.redis, place) {
                Some(Named::Redis)
            } else {
                MemcachedSettings::is_named(&self.memcached, place).then_some(Named::Memcached)
            }
        })
    }
}

/// A store that somebody has named.
enum Named {
    Redis,
    Memcached,
}

/// An environment without its php.ini.
struct ConstantsOf<'a>(&'a dyn Environment);

impl Environment for ConstantsOf<'_> {
    fn constant(&self, name: &str) -> Option<String> {
        self.0.constant(name)
    }

    fn ini(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Backend {
    /// What statistics call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shm => "shm",
            Self::Redis(_) => "redis",
            Self::Memcached(_) => "memcached",
        }
    }

    fn prefix(&self) -> Option<String> {
        match self {
            Self::Shm => None,
            Self::Redis(settings) => Some(settings.prefix.clone()),
            Self::Memcached(settings) => Some(settings.prefix.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use serde_json::json;

    fn backend(config: Value, named: &[(&str, &str)]) -> &'static str {
        let env: HashMap<&str, &str> = named.iter().copied().collect();
        Settings::read(config, &env).unwrap().backend.name()
    }

    #[test]
    fn auto_takes_redis_then_memcached_then_shared_memory() {
        const REDIS: (&str, &str) = ("WP_REDIS_HOST", "redis-server");
        const MEMCACHED: (&str, &str) = ("WP_MEMCACHED_HOST", "memcached-server");
        assert_eq!(backend(json!({}), &[REDIS, MEMCACHED]), "redis");
        assert_eq!(backend(json!({"backend": "auto"}), &[MEMCACHED]), "memcached");
        assert_eq!(backend(Value::Null, &[]), "shm");
        assert_eq!(backend(json!({"backend": "shm"}), &[REDIS]), "shm");
        assert_eq!(backend(json!({"backend": "redis", "redis": {"path": "/r.sock"}}), &[]), "redis");
    }

    #[test]
    fn auto_looks_at_config_then_constants_then_ini() {
        const CONSTANT: (&str, &str) = ("WP_MEMCACHED_HOST", "memcached-server");
        const REDIS_INI: (&str, &str) = ("slbp.redis_host", "redis-server");
        const MEMCACHED_INI: (&str, &str) = ("slbp.memcached_servers", "a:11211,b:11211");
        assert_eq!(backend(json!({"redis": {"host": "h"}}), &[CONSTANT]), "redis");
        assert_eq!(backend(json!({"memcached": {"host": "h"}}), &[REDIS_INI]), "memcached");
        assert_eq!(backend(json!({"redis": []}), &[CONSTANT, REDIS_INI]), "memcached");
        assert_eq!(backend(json!({}), &[REDIS_INI, MEMCACHED_INI]), "redis");
        assert_eq!(backend(json!({}), &[MEMCACHED_INI]), "memcached");
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = Settings::read(Value::Null, &Detached::default()).unwrap();
        assert_eq!(settings.expiration, Some(Duration::from_secs(3600)));
        let endless = Settings::read(json!({"cache_expiration": 0}), &Detached::default()).unwrap();
        assert_eq!(endless.expiration, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for config in
            [json!({"backend": "file"}), json!({"jitter": 2}), json!({"max_value_size": 1u64 << 40})]
        {
            assert!(Settings::read(config, &Detached::default()).is_err());
        }
    }
}
