//! `send_notifications`: a message for each recipient in the site's notifications table.
//!
//! Rows and the place reached are written in one transaction, so that a worker that dies and is
//! followed by another writes each notification once.

use serde_json::Value;

use super::text;
use crate::config::lax;
use crate::error::Result;
use crate::queue::Queue;
use crate::queue::sql::{self, transaction};
use crate::queue::task::Task;
use crate::queue::worker::Outcome;

/// How many notifications one transaction writes.
const CHUNK: usize = 200;

/// Writes the notifications that are not written yet; `is_cancelled` is asked between pieces.
///
/// # Errors
/// The database's; what was written stays and is not written again.
pub fn send(queue: &Queue, task: &Task, is_cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
    let data = &task.task_data;
    let recipients = recipients(data.get("recipients"));
    let message = data.get("message").unwrap_or(&Value::Null);
    if recipients.is_empty() || message.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Outcome::Dead(
            "task_data needs recipients (user ids) and message (title, message)".to_owned(),
        ));
    }
    let row = format!(
        "{}, {}, {}, {}",
        sql::text(text(data, "type").unwrap_or("general")),
        sql::text(text(message, "title").unwrap_or_default()),
        sql::text(text(message, "message").unwrap_or_default()),
        sql::text(&message.get("data").map_or_else(|| "[]".to_owned(), Value::to_string)),
    );
    let mut sent = usize::try_from(task.progress.done).unwrap_or(usize::MAX);
    while let Some(piece) = recipients.get(sent..).filter(|rest| !rest.is_empty()) {
        if is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        let piece = piece.get(..CHUNK).unwrap_or(piece);
        write(queue, task, piece, &row, (sent + piece.len(), recipients.len()))?;
        sent += piece.len();
    }
    Ok(Outcome::Done)
}

fn write(queue: &Queue, task: &Task, users: &[u64], row: &str, (done, total): (usize, usize)) -> Result<()> {
    let store = queue.on(queue.link())?;
    let table = format!("{}slbp_notifications", queue.settings().database.prefix);
    let rows: Vec<String> = users.iter().map(|user| format!("({user}, {row})")).collect();
    transaction(store.db, || {
        store.db.execute(&format!(
            "INSERT INTO {table} (user_id, type, title, message, data) VALUES {}",
            rows.join(",")
        ))?;
        store.progress(task.id, done as u64, total as u64, "notifications").map(drop)
    })?;
    Ok(())
}

fn recipients(given: Option<&Value>) -> Vec<u64> {
    let items = given.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| lax::u64(item.clone()).ok()).filter(|id| *id > 0).collect()
}
