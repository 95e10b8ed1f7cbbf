//! What a worker is told, and what it tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{Section, lax};
use crate::error::{Error, Result};
use crate::ports::Detached;
use crate::queue::settings::QueueSettings;

/// What a worker does and when it ends.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The queues it serves; empty for all.
    pub queues: Vec<String>,
    /// How many tasks it takes at once at most.
    pub batch: u32,
    /// After how many tasks it ends.
    pub max_tasks: Option<u64>,
    /// After what time it begins no more.
    pub max_time: Option<Duration>,
    /// Whether it waits for tasks when there are none.
    pub wait: bool,
    /// At how many bytes of memory it shall end; its host measures them.
    pub memory_limit: Option<u64>,
}

const OPTIONS: Section = Section {
    name: "$options",
    keys: &["queues", "max_tasks", "max_time", "memory_limit", "stop_when_empty", "batch_size"],
    fallbacks: &[],
};

#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(deserialize_with = "lax::list")]
    queues: Vec<String>,
    #[serde(deserialize_with = "lax::u64")]
    max_tasks: u64,
    #[serde(deserialize_with = "lax::f64")]
    max_time: f64,
    #[serde(deserialize_with = "lax::text")]
    memory_limit: Option<String>,
    #[serde(deserialize_with = "lax::bool")]
    stop_when_empty: bool,
    #[serde(deserialize_with = "lax::u64")]
    batch_size: u64,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            max_tasks: 0,
            max_time: 0.0,
            memory_limit: None,
            stop_when_empty: false,
            batch_size: 100,
        }
    }
}

impl WorkerOptions {
    /// Reads the options of `work`; 0 is no limit.
    ///
    /// # Errors
    /// Invalid argument for an unknown option or a wrong value.
    pub fn read(options: Value) -> Result<Self> {
        let raw: Raw = OPTIONS.read(options, &Detached::default())?;
        let max_time = Duration::try_from_secs_f64(raw.max_time)
            .map_err(|_| Error::invalid("max_time", format!("expected seconds, got {}", raw.max_time)))?;
        let batch = u32::try_from(raw.batch_size).ok().filter(|batch| (1..=1000).contains(batch));
        let expected = || Error::invalid("batch_size", format!("expected 1 to 1000, got {}", raw.batch_size));
        Ok(Self {
            queues: raw.queues,
            batch: batch.ok_or_else(expected)?,
            max_tasks: Some(raw.max_tasks).filter(|most| *most > 0),
            max_time: Some(max_time).filter(|most| !most.is_zero()),
            wait: !raw.stop_when_empty,
            memory_limit: raw.memory_limit.map(|text| bytes(&text)).transpose()?.filter(|most| *most > 0),
        })
    }

    /// One batch, as `process_tasks` runs it.
    pub fn one_batch(settings: &QueueSettings) -> Self {
        Self {
            batch: settings.batch_size,
            max_tasks: Some(settings.batch_size.into()),
            max_time: Some(settings.max_execution_time),
            ..Self::default()
        }
    }
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            batch: 100,
            max_tasks: None,
            max_time: None,
            wait: false,
            memory_limit: None,
        }
    }
}

/// A size as PHP writes them: digits with an optional `K`, `M` or `G`.
fn bytes(text: &str) -> Result<u64> {
    let trimmed = text.trim();
    let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match trimmed.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => 0,
    };
    let size = digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|_| unit > 0)
        .ok_or_else(|| Error::invalid("memory_limit", format!("expected a size such as 128M, got '{text}'")))
}

/// What a worker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks that were run.
    pub processed: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// Results that were dropped, because the lease had ended and the task was somebody else's.
    pub lost: u64,
}

/// Tells a worker from elsewhere (a signal handler) to stop after the task it has.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// No task is begun any more; those taken and not begun are given back.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_are_read_as_php_writes_them() {
        let read = WorkerOptions::read(json!({
            "queues": "mail,default", "max_tasks": "5", "max_time": 1.5, "memory_limit": "64M", "stop_when_empty": 1,
        }));
        let options = read.unwrap();
        assert_eq!(options.queues, ["mail", "default"]);
        assert_eq!((options.max_tasks, options.max_time), (Some(5), Some(Duration::from_millis(1500))));
        assert_eq!((options.memory_limit, options.wait, options.batch), (Some(64 << 20), false, 100));
        let none = WorkerOptions::read(json!([])).unwrap();
        assert_eq!((none.max_tasks, none.max_time, none.memory_limit, none.wait), (None, None, None, true));
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (wrong, named) in [
            (json!({"que": "mail"}), "unknown key 'que'"),
            (json!({"memory_limit": "64MB"}), "memory_limit"),
            (json!({"batch_size": 0}), "batch_size"),
            (json!({"max_time": -1}), "max_time"),
        ] {
            let error = WorkerOptions::read(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
