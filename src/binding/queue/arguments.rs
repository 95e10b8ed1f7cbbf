//! What PHP passes to the queue, and what it gets back.

use ext_php_rs::types::{ZendHashTable, Zval};
use serde::Serialize;
use serde_json::Value;

use super::HostedQueue;
use crate::binding::class_table;
use crate::binding::convert::json;
use crate::binding::convert::params::payload;
use crate::config::unknown_key;
use crate::error::{Error, Result};
use crate::queue::task::{DEFAULT_PRIORITY, Task, TaskRequest};

/// The parameter names of `queue_task`, which are the keys of `queue_tasks`.
const TASK_KEYS: [&str; 5] = ["task_type", "task_data", "priority", "scheduled_at", "options"];

/// The requests of `queue_tasks`, all of them checked.
///
/// # Errors
/// What is wrong with the first one that is.
pub fn requests(hosted: &HostedQueue, tasks: &ZendHashTable) -> Result<Vec<TaskRequest>> {
    let mut requests = Vec::with_capacity(tasks.len());
    for (key, task) in json::entries(tasks) {
        let named = |error: Error| error.context(format!("$tasks[{}]", json::key_text(&key)));
        let table = task.array().ok_or_else(|| named(Error::invalid("task", "expected an array")))?;
        requests.push(request(hosted, table).map_err(named)?);
    }
    Ok(requests)
}

fn request(hosted: &HostedQueue, task: &ZendHashTable) -> Result<TaskRequest> {
    let keys = json::entries(task).map(|(key, _)| json::key_text(&key));
    if let Some(wrong) = keys.into_iter().find(|key| !TASK_KEYS.contains(&key.as_str())) {
        return Err(unknown_key("task", &wrong, &TASK_KEYS));
    }
    let task_type = task.get("task_type").and_then(Zval::string);
    let task_type = task_type.ok_or_else(|| Error::invalid("task_type", "missing"))?;
    let data = match task.get("task_data").map(Zval::dereference) {
        None => Value::Array(Vec::new()),
        Some(data) => payload(data)?,
    };
    let priority = match task.get("priority").map(Zval::dereference) {
        None => DEFAULT_PRIORITY.into(),
        Some(given) => given
            .long()
            .or_else(|| given.str()?.trim().parse().ok())
            .ok_or_else(|| Error::invalid("priority", "expected a whole number"))?,
    };
    let options = task.get("options").map_or(Ok(Value::Null), json::from_zval)?;
    hosted.queue().request(&task_type, &data, priority, &when(task.get("scheduled_at"))?, options)
}

/// A date: as [`TaskRequest::at`] takes it, or any `DateTimeInterface`.
///
/// # Errors
/// Invalid argument for another object.
pub fn when(given: Option<&Zval>) -> Result<Value> {
    let Some(given) = given.map(Zval::dereference) else { return Ok(Value::Null) };
    let Some(object) = given.object() else { return json::from_zval(given) };
    let is_date = class_table::find("datetimeinterface").is_some_and(|class| object.instance_of(class));
    let text = if is_date { object.try_call_method("format", vec![&"U.u"]).ok() } else { None };
    let text = text.and_then(|text| text.string());
    let expected = || Error::invalid("scheduled_at", "expected a date, unix time or DateTimeInterface");
    text.map(Value::String).ok_or_else(expected)
}

/// The array of a task.
pub fn task(task: &Task) -> Zval {
    json::to_zval(&tree(task))
}

/// What serializes, as a tree. Nothing of the queue's refuses to be one.
pub fn tree(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
