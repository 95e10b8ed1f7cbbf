//! `$config` of the queue and its php.ini directives.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::retry::Backoff;
use super::schema::Tables;
use crate::config::{Fallback, Section, lax};
use crate::error::{Error, Result};
use crate::ports::{Detached, Environment};
use crate::remote::database::DatabaseSettings;

/// How the queue works.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    /// How many tasks one call of `process_tasks` runs at most.
    pub batch_size: u32,
    /// How long such a call may take, but for the task that runs when the time is up.
    pub max_execution_time: Duration,
    /// How often a task that failed is tried again.
    pub retry_attempts: u32,
    /// The delays between attempts, where the type names none.
    pub backoff: Backoff,
    /// How long a worker keeps a task without a sign of life.
    pub lease: Duration,
    /// How many workers a task may kill before it has failed.
    pub max_crashes: u32,
    /// The longest payload, bytes of JSON.
    pub max_payload: usize,
    /// Whether claims skip locked rows; `None` finds out what the server can.
    pub skip_locked: Option<bool>,
    /// The queue's tables.
    pub tables: Tables,
    /// Where they are.
    pub database: DatabaseSettings,
}

const QUEUE: Section = Section {
    name: "$config",
    keys: &[
        "batch_size",
        "max_execution_time",
        "retry_attempts",
        "backoff",
        "lease",
        "max_crashes",
        "max_payload",
        "skip_locked",
        "table",
        "database",
    ],
    fallbacks: &[
        Fallback { key: "batch_size", constant: None, ini: Some("slbp.queue_batch_size") },
        Fallback { key: "lease", constant: None, ini: Some("slbp.queue_lease") },
    ],
};

const BACKOFF: Section =
    Section { name: "backoff", keys: &["base", "factor", "cap", "jitter"], fallbacks: &[] };

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(deserialize_with = "lax::u64")]
    batch_size: u64,
    #[serde(deserialize_with = "lax::f64")]
    max_execution_time: f64,
    #[serde(deserialize_with = "lax::u64")]
    retry_attempts: u64,
    backoff: Value,
    #[serde(deserialize_with = "lax::f64")]
    lease: f64,
    #[serde(deserialize_with = "lax::u64")]
    max_crashes: u64,
    #[serde(deserialize_with = "lax::u64")]
    max_payload: u64,
    skip_locked: Value,
    #[serde(deserialize_with = "lax::text")]
    table: Option<String>,
    database: Value,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            batch_size: 10,
            max_execution_time: 30.0,
            retry_attempts: 3,
            backoff: Value::Null,
            lease: 60.0,
            max_crashes: 3,
            max_payload: 4 << 20,
            skip_locked: Value::Null,
            table: None,
            database: Value::Null,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct RawBackoff {
    #[serde(deserialize_with = "lax::f64")]
    base: f64,
    #[serde(deserialize_with = "lax::f64")]
    factor: f64,
    #[serde(deserialize_with = "lax::f64")]
    cap: f64,
    #[serde(deserialize_with = "lax::f64")]
    jitter: f64,
}

impl Default for RawBackoff {
    fn default() -> Self {
        let backoff = Backoff::default();
        Self {
            base: backoff.base.as_secs_f64(),
            factor: backoff.factor,
            cap: backoff.cap.as_secs_f64(),
            jitter: backoff.jitter,
        }
    }
}

impl QueueSettings {
    /// Reads `$config` with its fallbacks.
    ///
    /// # Errors
    /// Invalid argument or config error that names the key, its origin and what was expected.
    pub fn read(explicit: Value, env: &dyn Environment) -> Result<Self> {
        let raw: Raw = QUEUE.read(explicit, env)?;
        let database = DatabaseSettings::read(raw.database, env)?;
        let tables = match &raw.table {
            Some(name) => Tables::named(name)?,
            None => Tables::named(&format!("{}slbp_background_tasks", database.prefix))?,
        };
        let skip_locked = match raw.skip_locked {
            Value::Null => None,
            given => Some(lax::bool(given).map_err(|error| Error::invalid("skip_locked", error))?),
        };
        Ok(Self {
            batch_size: whole("batch_size", raw.batch_size, 1, 1000)?,
            max_execution_time: seconds("max_execution_time", raw.max_execution_time, 0.1, 86_400.0)?,
            retry_attempts: whole("retry_attempts", raw.retry_attempts, 0, 999)?,
            backoff: backoff(raw.backoff)?,
            lease: seconds("lease", raw.lease, 1.0, 86_400.0)?,
            max_crashes: whole("max_crashes", raw.max_crashes, 1, 1000)?,
            max_payload: whole("max_payload", raw.max_payload, 2, 512 << 20)? as usize,
            skip_locked,
            tables,
            database,
        })
    }
}

/// Reads `['base' => …, 'factor' => …, 'cap' => …, 'jitter' => …]`.
///
/// # Errors
/// Invalid argument for an unknown key or a value out of range.
pub fn backoff(explicit: Value) -> Result<Backoff> {
    let raw: RawBackoff = BACKOFF.read(explicit, &Detached::default())?;
    let share = |name: &str, value: f64, least: f64, most: f64| {
        (least..=most)
            .contains(&value)
            .then_some(value)
            .ok_or_else(|| Error::invalid(name, format!("expected {least} to {most}, got {value}")))
    };
    Ok(Backoff {
        base: seconds("backoff base", raw.base, 0.0, 2_592_000.0)?,
        factor: share("backoff factor", raw.factor, 1.0, 100.0)?,
        cap: seconds("backoff cap", raw.cap, 0.0, 2_592_000.0)?,
        jitter: share("backoff jitter", raw.jitter, 0.0, 1.0)?,
    })
}

fn whole(name: &str, value: u64, least: u32, most: u32) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| Error::invalid(name, format!("expected {least} to {most}, got {value}")))
}

fn seconds(name: &str, value: f64, least: f64, most: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|_| (least..=most).contains(&value))
        .ok_or_else(|| Error::invalid(name, format!("expected {least} to {most} seconds, got {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(explicit: Value) -> Result<QueueSettings> {
        QueueSettings::read(explicit, &Detached::default())
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = read(json!([])).unwrap();
        assert_eq!((settings.batch_size, settings.retry_attempts), (10, 3));
        assert_eq!(settings.max_execution_time, Duration::from_secs(30));
        assert_eq!(settings.lease, Duration::from_secs(60));
        assert_eq!(settings.backoff, Backoff::default());
        assert_eq!(settings.tables.tasks, "wp_slbp_background_tasks");
    }

    #[test]
    fn the_table_follows_the_prefix_unless_it_is_named() {
        assert_eq!(
            read(json!({"database": {"prefix": "shop_"}})).unwrap().tables.tasks,
            "shop_slbp_background_tasks"
        );
        let named = read(json!({"table": "jobs", "backoff": {"base": "5", "jitter": 0}})).unwrap();
        assert_eq!((named.tables.tasks.as_str(), named.tables.types.as_str()), ("jobs", "jobs_types"));
        assert_eq!((named.backoff.base, named.backoff.jitter), (Duration::from_secs(5), 0.0));
    }

    #[test]
    fn wrong_values_are_named() {
        for (wrong, named) in [
            (json!({"batch_size": 0}), "batch_size"),
            (json!({"lease": 0.5}), "lease"),
            (json!({"table": "a b"}), "table"),
            (json!({"backoff": {"factor": 0.5}}), "backoff factor"),
            (json!({"backoff": {"bse": 1}}), "did you mean 'base'"),
            (json!({"skip_locked": "perhaps"}), "skip_locked"),
        ] {
            let error = read(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
