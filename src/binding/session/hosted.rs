//! A handler that an object holds: settings from `$config`, and WordPress' constants where it leaves
//! something out.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::ZendStr;
use serde::Deserialize;
use serde_json::Value;

use super::open::{IniOnly, directive_secret, find_or_open};
use super::save_handler::{FORGED, OVERTAKEN, settings};
use super::{create_id, lifetime, warn};
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::site;
use crate::config::{Section, lax};
use crate::error::{Error, Result};
use crate::session::address::{self, Chosen, Place};
use crate::session::facade::{Saved, Sessions};
use crate::session::handler::Handler;
use crate::session::settings::{Mode, Settings};

const SESSIONS: Section = Section {
    name: "$config",
    keys: &[
        "handler",
        "save_path",
        "redis",
        "memcached",
        "database",
        "table",
        "mode",
        "lock_ttl",
        "lock_wait",
        "lifetime",
    ],
    fallbacks: &[],
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(deserialize_with = "lax::text")]
    handler: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    save_path: Option<String>,
    redis: Value,
    memcached: Value,
    database: Value,
    #[serde(deserialize_with = "lax::text")]
    table: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    mode: Option<String>,
    lock_ttl: Value,
    lock_wait: Value,
    lifetime: Value,
}

/// A handler with its host.
pub struct HostedSessions {
    sessions: Rc<Sessions>,
    handler: RefCell<Handler>,
    lifetime: Option<Duration>,
}

impl HostedSessions {
    /// Reads the settings and opens the sessions that they describe.
    ///
    /// # Errors
    /// A wrong setting, or no shared memory at all.
    pub fn new(config: &Value) -> Result<Self> {
        let raw: Raw = SESSIONS.read(config.clone(), &PhpEnvironment)?;
        let (places, secret) = match &raw.save_path {
            // The same sessions as the native handler's: what it does not say comes from php.ini alone.
            Some(save_path) => (address::parse(save_path, &IniOnly)?, directive_secret()),
            None => (vec![raw.place()?], site::secret()),
        };
        let sessions = find_or_open(places, secret)?;
        let handler = RefCell::new(Handler::new(Rc::clone(&sessions), raw.settings()?));
        let lifetime = seconds("lifetime", &raw.lifetime)?;
        Ok(Self { sessions, handler, lifetime })
    }

    /// The same for data that lives for so many seconds.
    pub fn with_lifetime(self, seconds: u64) -> Self {
        Self { lifetime: Some(Duration::from_secs(seconds)), ..self }
    }

    /// The same for somebody who only looks.
    pub fn read_only(mut self) -> Self {
        self.handler.get_mut().set_mode(Mode::ReadOnly);
        self
    }

    /// How long a session lives unused.
    pub fn lifetime(&self) -> Duration {
        self.lifetime.unwrap_or_else(lifetime)
    }

    /// Nothing is connected before it is needed.
    pub fn open(&self) -> bool {
        true
    }

    /// Gives back what is held.
    pub fn close(&self) -> bool {
        self.with(Handler::close).is_some()
    }

    /// The data of a session; `None`, with a warning, when it cannot be had.
    pub fn read(&self, id: &[u8]) -> Option<Vec<u8>> {
        let read = self.with(|handler| handler.read(id, self.lifetime()))?;
        if read.is_forged {
            warn(Error::store(FORGED));
        }
        Some(read.data)
    }

    /// Saves it.
    pub fn write(&self, id: &[u8], data: &[u8]) -> bool {
        match self.with(|handler| handler.write(id, data, self.lifetime())) {
            Some(Saved::Yes | Saved::Unwanted) => true,
            Some(Saved::Overtaken) => {
                warn(Error::store(OVERTAKEN));
                false
            }
            None => false,
        }
    }

    /// Ends it.
    pub fn destroy(&self, id: &[u8]) -> bool {
        self.with(|handler| handler.destroy(id, self.lifetime())).is_some()
    }

    /// Whether there is one.
    pub fn validate(&self, id: &[u8]) -> bool {
        self.with(|handler| handler.validate(id, self.lifetime())) == Some(true)
    }

    /// Prolongs it.
    pub fn touch(&self, id: &[u8]) -> bool {
        self.with(|handler| handler.touch(id, self.lifetime())).is_some()
    }

    /// Removes what has expired.
    pub fn collect(&self) -> Option<i64> {
        self.with(|handler| handler.collect()).map(|count| i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// How many there are, where the store can tell.
    pub fn count(&self) -> Option<i64> {
        let count = self.answer(self.sessions.count())??;
        Some(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A new id.
    ///
    /// # Errors
    /// PHP has no sessions, or no random bytes.
    pub fn create_id(&self) -> Result<Vec<u8>> {
        let made = create_id();
        if made.is_null() {
            return Err(Error::store("PHP made no session id"));
        }
        // SAFETY: a new string of PHP's that is ours; it is copied and given back. No lock.
        let id = unsafe { ZBox::<ZendStr>::from_raw(made) }.as_bytes().to_vec();
        self.with(|handler| handler.made(&id, self.lifetime()));
        Ok(id)
    }

    fn with<T>(&self, call: impl FnOnce(&mut Handler) -> Result<T>) -> Option<T> {
        let outcome = match self.handler.try_borrow_mut() {
            Ok(mut handler) => call(&mut handler),
            Err(_) => Err(Error::store("the session handler is in use")),
        };
        self.answer(outcome)
    }

    fn answer<T>(&self, outcome: Result<T>) -> Option<T> {
        outcome.map_err(warn).ok()
    }
}

impl Raw {
    fn place(&self) -> Result<Place> {
        let chosen = Chosen {
            handler: self.handler.clone(),
            redis: self.redis.clone(),
            memcached: self.memcached.clone(),
            database: self.database.clone(),
            table: self.table.clone(),
            table_prefix: site::table_prefix(),
        };
        chosen.place(&PhpEnvironment)
    }

    fn settings(&self) -> Result<Settings> {
        let base = settings()?;
        let mode = self.mode.as_deref().map(|mode| Mode::parse(mode, "$config: mode"));
        let mode = mode.transpose().map_err(|error| Error::invalid("mode", error))?;
        Ok(Settings {
            mode: mode.unwrap_or(base.mode),
            lock_ttl: seconds("lock_ttl", &self.lock_ttl)?.unwrap_or(base.lock_ttl),
            lock_wait: seconds("lock_wait", &self.lock_wait)?.unwrap_or(base.lock_wait),
        })
    }
}

/// More than a month is a mistake in the unit.
const LONGEST: f64 = 31.0 * 86_400.0;

fn seconds(name: &str, value: &Value) -> Result<Option<Duration>> {
    if value.is_null() {
        return Ok(None);
    }
    let number = lax::f64(value).ok().filter(|seconds| (0.0..=LONGEST).contains(seconds));
    let expected = || format!("expected seconds from 0 to {LONGEST}, got {}", lax::describe(value));
    number
        .map(|seconds| Some(Duration::from_secs_f64(seconds)))
        .ok_or_else(|| Error::invalid(name, expected()))
}
