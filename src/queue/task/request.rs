//! A task as it is asked for: checked, and nothing stored yet.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::name;
use crate::config::{Section, lax};
use crate::error::{Error, Kind, Result};
use crate::ports::Detached;
use crate::queue::crash::OnCrash;
use crate::queue::schedule::{self, Zone};

/// The queue of a task that names none.
pub const DEFAULT_QUEUE: &str = "default";

/// The priority of a task that names none.
pub const DEFAULT_PRIORITY: i32 = 10;

/// The longest key, before it is hashed; longer ones are payload by mistake.
const MAX_UNIQUE_KEY: usize = 1024;

/// What a task waits for beside its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// A task that must have completed.
    Task(u64),
    /// A batch of which every task must have ended, well or not.
    Batch(String),
}

impl Dependency {
    /// Reads `17` or `batch:NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("batch:") {
            Some(batch) => Some(Self::Batch(name("after", batch).ok()?)),
            None => text.parse().ok().filter(|id| *id > 0).map(Self::Task),
        }
    }

    /// The lane in which tasks wait for this.
    pub fn lane(&self) -> String {
        match self {
            Self::Task(id) => format!("after:{id}"),
            Self::Batch(batch) => format!("batch:{batch}"),
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(id) => id.fmt(f),
            Self::Batch(batch) => write!(f, "batch:{batch}"),
        }
    }
}

/// A task that may be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRequest {
    /// What to do.
    pub task_type: String,
    /// With what, as JSON.
    pub data: String,
    /// Lower is sooner.
    pub priority: i32,
    /// When at the earliest, in microseconds since the epoch; `None` is now.
    pub run_at: Option<i64>,
    /// Which workers take it.
    pub queue: String,
    /// While a task with this key lives, there is no second one of its type.
    pub unique_key: Option<String>,
    /// How often it may run in all; `None` leaves it to the settings.
    pub max_attempts: Option<u32>,
    /// The batch it belongs to.
    pub batch_id: Option<String>,
    /// What it waits for.
    pub after: Vec<Dependency>,
    /// What to do when its worker dies; `None` leaves it to the type.
    pub on_crash: Option<OnCrash>,
    /// How long it may run before its lease is given up; `None` leaves it to the type.
    pub timeout: Option<Duration>,
}

const OPTIONS: Section = Section {
    name: "$options",
    keys: &["unique_key", "max_attempts", "queue", "batch_id", "after", "on_crash", "timeout"],
    fallbacks: &[],
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOptions {
    #[serde(deserialize_with = "lax::text")]
    unique_key: Option<String>,
    #[serde(deserialize_with = "lax::u64")]
    max_attempts: u64,
    #[serde(deserialize_with = "lax::text")]
    queue: Option<String>,
    #[serde(deserialize_with = "lax::text")]
    batch_id: Option<String>,
    after: Value,
    #[serde(deserialize_with = "lax::text")]
    on_crash: Option<String>,
    #[serde(deserialize_with = "lax::u64")]
    timeout: u64,
}

impl TaskRequest {
    /// A task of `task_type` with `data`, to be run as soon as possible.
    ///
    /// # Errors
    /// Invalid argument for a type that is no name; [`Kind::Queue`] for data that is no array or
    /// longer than `max_payload` bytes as JSON.
    pub fn new(task_type: &str, data: &Value, max_payload: usize) -> Result<Self> {
        Ok(Self {
            task_type: name("task_type", task_type)?,
            data: payload(data, max_payload)?,
            priority: DEFAULT_PRIORITY,
            run_at: None,
            queue: DEFAULT_QUEUE.to_owned(),
            unique_key: None,
            max_attempts: None,
            batch_id: None,
            after: Vec::new(),
            on_crash: None,
            timeout: None,
        })
    }

    /// The same with a priority; lower is sooner.
    ///
    /// # Errors
    /// Invalid argument outside the range of the public column.
    pub fn priority(mut self, priority: i64) -> Result<Self> {
        self.priority = i32::try_from(priority)
            .map_err(|_| Error::invalid("priority", "expected a 32-bit whole number, lower is sooner"))?;
        Ok(self)
    }

    /// The same at a time: null or empty for now, unix time as a number, or text as
    /// [`schedule::parse`] reads it in `zone`.
    ///
    /// # Errors
    /// Invalid argument for what is no date.
    pub fn at(mut self, when: &Value, zone: Zone) -> Result<Self> {
        self.run_at = match when {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(schedule::parse(text, zone)?),
            Value::Number(number) => Some(schedule::parse(&number.to_string(), zone)?),
            other => {
                return Err(Error::invalid(
                    "scheduled_at",
                    format!("expected a date, got {}", lax::describe(other)),
                ));
            }
        };
        Ok(self)
    }

    /// The same with the options of `queue_task`.
    ///
    /// # Errors
    /// Invalid argument for an unknown option or a wrong value.
    pub fn options(mut self, options: Value) -> Result<Self> {
        let raw: RawOptions = OPTIONS.read(options, &Detached::default())?;
        self.queue = raw.queue.map_or(Ok(DEFAULT_QUEUE.to_owned()), |text| name("queue", &text))?;
        self.unique_key = raw.unique_key.map(unique_key).transpose()?;
        self.max_attempts = bounded("max_attempts", raw.max_attempts, 1000)?;
        self.batch_id = raw.batch_id.map(|text| name("batch_id", &text)).transpose()?;
        self.after = dependencies(&raw.after)?;
        self.on_crash = raw.on_crash.map(|word| on_crash(&word)).transpose()?;
        self.timeout = bounded("timeout", raw.timeout, 604_800)?.map(|secs| Duration::from_secs(secs.into()));
        Ok(self)
    }
}

fn payload(data: &Value, max: usize) -> Result<String> {
    if !(data.is_object() || data.is_array()) {
        return Err(Error::invalid("task_data", format!("expected an array, got {}", lax::describe(data))));
    }
    let json = data.to_string();
    if json.len() > max {
        let message = format!("task_data is {} bytes as JSON, at most {max} are stored", json.len());
        return Err(Error::new(Kind::Queue, message));
    }
    Ok(json)
}

fn unique_key(key: String) -> Result<String> {
    if key.len() <= MAX_UNIQUE_KEY {
        return Ok(key);
    }
    Err(Error::invalid("unique_key", format!("expected up to {MAX_UNIQUE_KEY} bytes, got {}", key.len())))
}

/// 0 is "not given".
fn bounded(argument: &str, value: u64, most: u32) -> Result<Option<u32>> {
    match u32::try_from(value) {
        Ok(0) => Ok(None),
        Ok(value) if value <= most => Ok(Some(value)),
        _ => Err(Error::invalid(argument, format!("expected 1 to {most}, got {value}"))),
    }
}

/// Reads `retry`, `fail` or `hold`.
pub(in crate::queue) fn on_crash(word: &str) -> Result<OnCrash> {
    OnCrash::parse(word)
        .ok_or_else(|| Error::invalid("on_crash", format!("expected retry, fail or hold, got '{word}'")))
}

fn dependencies(after: &Value) -> Result<Vec<Dependency>> {
    let items = match after {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    };
    items.into_iter().map(dependency).collect()
}

fn dependency(item: &Value) -> Result<Dependency> {
    let text = match item {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        other => lax::describe(other),
    };
    Dependency::parse(&text)
        .ok_or_else(|| Error::invalid("after", format!("expected task ids or 'batch:NAME', got {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request() -> TaskRequest {
        TaskRequest::new("renewal", &json!({"id": 7}), 1000).unwrap()
    }

    #[test]
    fn options_are_read_as_php_writes_them() {
        let options = json!({
            "unique_key": 42, "max_attempts": "5", "queue": "mail", "batch_id": "run:9",
            "after": ["17", 18, "batch:run:8"], "on_crash": "hold", "timeout": "120",
        });
        let task = request().options(options).unwrap();
        assert_eq!(task.unique_key.as_deref(), Some("42"));
        assert_eq!((task.max_attempts, task.queue.as_str()), (Some(5), "mail"));
        let batch = Dependency::Batch("run:8".to_owned());
        assert_eq!(task.after, [Dependency::Task(17), Dependency::Task(18), batch]);
        assert_eq!(task.on_crash, Some(OnCrash::Hold));
        assert_eq!(task.timeout, Some(Duration::from_secs(120)));
        assert_eq!(request().options(json!([])).unwrap(), request());
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (options, named) in [
            (json!({"uniqe_key": 1}), "did you mean 'unique_key'"),
            (json!({"after": ["tomorrow"]}), "after"),
            (json!({"after": [-1]}), "after"),
            (json!({"queue": "a b"}), "queue"),
            (json!({"on_crash": "ignore"}), "on_crash"),
            (json!({"max_attempts": 1001}), "max_attempts"),
            (json!({"unique_key": "x".repeat(1025)}), "unique_key"),
        ] {
            let error = request().options(options.clone()).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.to_string().contains(named), "{options}: {error}");
        }
    }

    #[test]
    fn a_payload_is_an_array_of_bounded_size() {
        let too_long = TaskRequest::new("renewal", &json!({"text": "x".repeat(1000)}), 1000).unwrap_err();
        assert_eq!(too_long.kind(), Kind::Queue, "no mistake of the programmer");
        assert!(TaskRequest::new("renewal", &json!([]), 2).is_ok());
        for wrong in [json!(null), json!("text"), json!(5)] {
            assert_eq!(TaskRequest::new("renewal", &wrong, 9).unwrap_err().kind(), Kind::InvalidArgument);
        }
        for wrong in ["", "two words", "caf\u{e9}", &"x".repeat(51)] {
            assert!(TaskRequest::new(wrong, &json!([]), 9).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_null_a_number_or_text() {
        let at = |when: Value| request().at(&when, Zone::UTC).map(|task| task.run_at);
        assert_eq!(at(json!(null)).unwrap(), None);
        assert_eq!(at(json!("")).unwrap(), None);
        assert_eq!(at(json!(1_704_099_600)).unwrap(), Some(1_704_099_600_000_000));
        assert_eq!(at(json!("2024-01-01 09:00:00")).unwrap(), Some(1_704_099_600_000_000));
        assert!(at(json!([])).is_err() && at(json!(true)).is_err());
    }

    #[test]
    fn a_priority_fits_the_public_column() {
        assert_eq!(request().priority(-5).unwrap().priority, -5);
        assert!(request().priority(1 << 40).is_err());
    }
}
