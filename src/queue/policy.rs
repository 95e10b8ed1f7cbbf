//! What is set for a type of task when its handler is registered.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::crash::OnCrash;
use super::retry::Backoff;
use super::settings;
use super::store::Rate;
use super::task::Task;
use crate::config::{Section, lax};
use crate::error::{Error, Result};
use crate::ports::Detached;

/// How long a task may run when nobody says: longer than any web request, short enough that a
/// handler that hangs gives its task back the same hour.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);

/// The wishes of one type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TypePolicy {
    /// What becomes of a task whose worker dies; `None` is the type's default.
    pub on_crash: Option<OnCrash>,
    /// How many may run at once, over all workers.
    pub concurrency: Option<u32>,
    /// How many may start in a time, over all workers.
    pub rate: Option<Rate>,
    /// How long one may run.
    pub timeout: Option<Duration>,
    /// The delays between attempts.
    pub backoff: Option<Backoff>,
}

const OPTIONS: Section = Section {
    name: "$options",
    keys: &["idempotent", "on_crash", "concurrency", "rate", "timeout", "backoff"],
    fallbacks: &[],
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(deserialize_with = "lax::bool")]
    idempotent: bool,
    #[serde(deserialize_with = "lax::text")]
    on_crash: Option<String>,
    #[serde(deserialize_with = "lax::u64")]
    concurrency: u64,
    rate: Value,
    #[serde(deserialize_with = "lax::f64")]
    timeout: f64,
    backoff: Value,
}

impl TypePolicy {
    /// Reads the options of `register_handler`. An idempotent handler's tasks are run again after
    /// a crash.
    ///
    /// # Errors
    /// Invalid argument for an unknown option or a wrong value.
    pub fn read(options: Value) -> Result<Self> {
        let raw: Raw = OPTIONS.read(options, &Detached::default())?;
        let stated = raw.on_crash.map(|word| super::task::on_crash(&word)).transpose()?;
        let timeout = Duration::try_from_secs_f64(raw.timeout)
            .map_err(|_| Error::invalid("timeout", format!("expected seconds, got {}", raw.timeout)))?;
        Ok(Self {
            on_crash: stated.or(raw.idempotent.then_some(OnCrash::Retry)),
            concurrency: positive("concurrency", raw.concurrency)?,
            rate: rate(&raw.rate)?,
            timeout: Some(timeout).filter(|timeout| !timeout.is_zero()),
            backoff: (!raw.backoff.is_null()).then(|| settings::backoff(raw.backoff)).transpose()?,
        })
    }
}

/// The wishes of all types that a worker has handlers for.
#[derive(Clone, Debug, Default)]
pub struct Policies(HashMap<String, TypePolicy>);

impl Policies {
    /// Sets the wishes of a type, in place of those it had.
    pub fn set(&mut self, task_type: &str, policy: TypePolicy) {
        self.0.insert(task_type.to_owned(), policy);
    }

    /// The types and their wishes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TypePolicy)> {
        self.0.iter().map(|(name, policy)| (name.as_str(), policy))
    }

    /// What becomes of this task when its worker dies: its own wish, its type's, or the default.
    pub fn on_crash(&self, task: &Task) -> OnCrash {
        let of_type = || self.0.get(&task.task_type).and_then(|policy| policy.on_crash);
        task.on_crash.or_else(of_type).unwrap_or_else(|| OnCrash::default_for(&task.task_type))
    }

    /// How long this task may run.
    pub fn timeout(&self, task: &Task) -> Duration {
        let own = task.timeout.map(|seconds| Duration::from_secs(seconds.into()));
        let of_type = || self.0.get(&task.task_type).and_then(|policy| policy.timeout);
        own.or_else(of_type).unwrap_or(DEFAULT_TIMEOUT)
    }

    /// The delays between attempts of a type; `otherwise` when it names none.
    pub fn backoff(&self, task_type: &str, otherwise: Backoff) -> Backoff {
        self.0.get(task_type).and_then(|policy| policy.backoff).unwrap_or(otherwise)
    }
}

fn positive(argument: &str, value: u64) -> Result<Option<u32>> {
    match u32::try_from(value) {
        Ok(0) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Error::invalid(argument, format!("expected at most {}, got {value}", u32::MAX))),
    }
}

/// Reads `['limit' => 10, 'window' => 60]`, `'10/60'` or `'10/minute'`.
fn rate(value: &Value) -> Result<Option<Rate>> {
    let wrong = || {
        let expected = "expected ['limit' => 10, 'window' => 60] or '10/minute'";
        Error::invalid("rate", format!("{expected}, got {}", lax::describe(value)))
    };
    let number = |item: Option<&Value>| item.and_then(|item| lax::u64(item.clone()).ok());
    let (limit, window) = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text
            .split_once('/')
            .and_then(|(limit, window)| Some((limit.trim().parse().ok()?, window_seconds(window.trim())?))),
        other => number(other.get("limit")).zip(number(other.get("window"))),
    }
    .ok_or_else(wrong)?;
    match (u32::try_from(limit), u32::try_from(window)) {
        (Ok(limit @ 1..), Ok(window @ 1..)) => Ok(Some(Rate { limit, window })),
        _ => Err(wrong()),
    }
}

fn window_seconds(text: &str) -> Option<u64> {
    match text {
        "s" | "second" => Some(1),
        "m" | "minute" => Some(60),
        "h" | "hour" => Some(3600),
        "d" | "day" => Some(86_400),
        digits => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rate_is_written_in_two_ways() {
        let read = |rate: Value| TypePolicy::read(json!({"rate": rate})).map(|policy| policy.rate);
        for written in [json!({"limit": "10", "window": 60}), json!("10/60"), json!("10 / minute")] {
            assert_eq!(read(written).unwrap(), Some(Rate { limit: 10, window: 60 }));
        }
        for wrong in [json!("10"), json!("0/60"), json!({"limit": 10}), json!(10), json!("10/fortnight")] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_idempotent_handler_is_run_again_after_a_crash_unless_it_says_else() {
        let read = |options: Value| TypePolicy::read(options).unwrap().on_crash;
        assert_eq!(read(json!({"idempotent": true})), Some(OnCrash::Retry));
        assert_eq!(read(json!({"idempotent": 1, "on_crash": "hold"})), Some(OnCrash::Hold));
        assert_eq!(read(json!([])), None);
        assert!(TypePolicy::read(json!({"idempotant": true})).is_err());
    }
}
