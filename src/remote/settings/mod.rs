//! Where the remote stores are and how long to wait for them.
//!
//! Owns: the keys of `$config['redis']` and `$config['memcached']`, the WordPress constants and
//! php.ini directives behind them, and every notation of an address. Refuses to do: connect.
//!
//! Secrets never reach a log: [`Secret`] prints as `***`.

mod address;
mod memcached;
mod redis;

use std::fmt;
use std::time::Duration;

use crate::config::Fallback;
use crate::error::{Error, Result};

pub use address::Address;
pub use memcached::MemcachedSettings;
pub use redis::{RedisSettings, TlsFiles, Topology};

/// A password that cannot be printed by accident.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the moment it is sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const fn fallback(key: &'static str, constant: &'static str, ini: &'static str) -> Fallback {
    Fallback { key, constant: Some(constant), ini: Some(ini) }
}

/// Nobody waits longer for a store that is to make a page faster.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A time limit in seconds, from a millisecond to `longest`.
pub(super) fn seconds(name: &str, value: f64, longest: Duration) -> Result<Duration> {
    let range = Duration::from_millis(1)..=longest;
    Duration::try_from_secs_f64(value).ok().filter(|limit| range.contains(limit)).ok_or_else(|| {
        Error::invalid(name, format!("expected seconds from 0.001 to {}, got {value}", longest.as_secs()))
    })
}
