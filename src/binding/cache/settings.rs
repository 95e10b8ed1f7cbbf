//! `$config` as the cache reads it.

use serde_json::Value;

use crate::binding::ini;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::site;
use crate::cache::settings::{KEYS, Settings};
use crate::config::{only, unknown_key};
use crate::error::Result;
use crate::ports::Environment;

/// Reads the cache's part of `config`, of which the keys `others` are somebody else's.
///
/// # Errors
/// A key that nobody knows, or a wrong value.
pub fn read(config: &Value, others: &[&str]) -> Result<Settings> {
    let known = [KEYS, others].concat();
    if let Some(key) =
        config.as_object().and_then(|map| map.keys().find(|key| !known.contains(&key.as_str())))
    {
        return Err(unknown_key("$config", key, &known));
    }
    let mut settings = Settings::read(only(config, KEYS), &PhpEnvironment)?;
    if settings.prefix.is_empty() {
        settings.prefix = own_prefix();
    }
    Ok(settings)
}

/// What tells this site's keys from others' in a store that they share when nobody has said: its
/// database and table prefix, which are the same on all of its hosts.
fn own_prefix() -> String {
    let database = PhpEnvironment.constant("DB_NAME");
    let parts = match database {
        Some(database) => [database, site::table_prefix().unwrap_or_default()].join("."),
        None => ini::text("slbp.site").unwrap_or_default(),
    };
    if parts.is_empty() { String::from("slbp") } else { format!("slbp.{parts}") }
}
