//! `$config` of `SLBP_Performance_Optimizer`, as far as queries go.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::policy::Thresholds;
use crate::config::{Section, lax};
use crate::error::{Error, Result};
use crate::ports::Detached;

/// The keys that are read here.
pub const KEYS: &[&str] =
    &["query_monitoring", "slow_query_threshold", "n_plus_one_threshold", "n_plus_one_time", "scope"];

const CONFIG: Section = Section { name: "$config", keys: KEYS, fallbacks: &[] };

/// What a report covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// This request.
    #[default]
    Request,
    /// All requests of the site that shared memory knows of.
    Site,
}

/// How queries are watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Whether they are.
    pub enabled: bool,
    /// What counts as slow, and as an N+1.
    pub thresholds: Thresholds,
    /// What `get_performance_stats` covers.
    pub scope: Scope,
}

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(deserialize_with = "lax::bool")]
    query_monitoring: bool,
    #[serde(deserialize_with = "lax::f64")]
    slow_query_threshold: f64,
    #[serde(deserialize_with = "lax::u64")]
    n_plus_one_threshold: u64,
    #[serde(deserialize_with = "lax::f64")]
    n_plus_one_time: f64,
    scope: Scope,
}

impl Default for Raw {
    fn default() -> Self {
        let Thresholds { slow, n_plus_one, n_plus_one_time } = Thresholds::default();
        Self {
            query_monitoring: true,
            slow_query_threshold: slow.as_secs_f64(),
            n_plus_one_threshold: u64::from(n_plus_one),
            n_plus_one_time: n_plus_one_time.as_secs_f64(),
            scope: Scope::default(),
        }
    }
}

impl Settings {
    /// Reads the keys of [`KEYS`].
    ///
    /// # Errors
    /// Invalid argument for a wrong value.
    pub fn read(config: Value) -> Result<Self> {
        let raw: Raw = CONFIG.read(config, &Detached::default())?;
        let threshold = u32::try_from(raw.n_plus_one_threshold).ok().filter(|count| *count >= 2);
        let thresholds = Thresholds {
            slow: seconds("slow_query_threshold", raw.slow_query_threshold)?,
            n_plus_one: threshold
                .ok_or_else(|| Error::invalid("n_plus_one_threshold", "expected at least 2"))?,
            n_plus_one_time: seconds("n_plus_one_time", raw.n_plus_one_time)?,
        };
        Ok(Self { enabled: raw.query_monitoring, thresholds, scope: raw.scope })
    }
}

fn seconds(key: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| Error::invalid(key, format!("expected seconds >= 0, got {value}")))
}
