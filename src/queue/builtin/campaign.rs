//! `email_campaign`: a message to many recipients, in pieces, at a rate, resumable.
//!
//! Pure: which recipients come next, and what the task's data is after them. The place reached is
//! in the data, so that the campaign goes on where it was, on any host. Within a piece the host
//! notes its progress (`from` plus what was sent) after every message: a worker that dies sends one message
//! twice at most.

use std::time::Duration;

use serde_json::{Value, json};

use super::number;
use crate::queue::task::Task;
use crate::queue::worker::Outcome;

/// Recipients per piece when the task does not say, and at most.
const DEFAULT_PIECE: u64 = 50;
const MOST_PER_PIECE: u64 = 1000;

/// How many bounces are kept by name; further ones are counted.
const BOUNCES_KEPT: usize = 500;

/// The next messages to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// To whom: what the task's `recipients` holds, an address or a user id.
    pub recipients: Vec<Value>,
    /// Where in the list the first of them stands.
    pub from: u64,
    /// How long the list is.
    pub total: u64,
}

/// A recipient whose message was not taken, and why.
pub type Bounce = (Value, String);

/// The next piece of a campaign; `None` when all has been sent.
pub fn next_piece(task: &Task) -> Option<Piece> {
    let data = &task.task_data;
    let all = data.get("recipients")?.as_array()?;
    let from = resumed(task);
    let size =
        number(data, "batch_size").filter(|size| *size > 0).unwrap_or(DEFAULT_PIECE).min(MOST_PER_PIECE);
    let recipients: Vec<Value> =
        all.iter().skip(usize::try_from(from).ok()?).take(size as usize).cloned().collect();
    (!recipients.is_empty()).then_some(Piece { recipients, from, total: all.len() as u64 })
}

/// Where to go on: after the last finished piece, or after the last message that was noted since.
fn resumed(task: &Task) -> u64 {
    number(&task.task_data, "cursor").unwrap_or_default().max(task.progress.done)
}

/// What comes after a piece: the next one, as soon as the rate allows. The end is one step more, so
/// that the last piece's bounces are stored too.
pub fn after(task: &Task, piece: &Piece, bounces: &[Bounce]) -> Outcome {
    let data = &task.task_data;
    let bounced = number(data, "bounced").unwrap_or_default() + bounces.len() as u64;
    let mut kept = data.get("bounces").and_then(Value::as_array).cloned().unwrap_or_default();
    let room = BOUNCES_KEPT.saturating_sub(kept.len());
    kept.extend(bounces.iter().take(room).map(|(to, why)| json!({"to": to, "reason": why})));

    let mut next = data.as_object().cloned().unwrap_or_default();
    next.insert("cursor".to_owned(), json!(piece.from + piece.recipients.len() as u64));
    next.insert("bounced".to_owned(), json!(bounced));
    next.insert("bounces".to_owned(), Value::Array(kept));
    Outcome::Again { after: pause(data, piece.recipients.len()), data: Value::Object(next) }
}

/// Between pieces, so that `rate_per_minute` is kept.
fn pause(data: &Value, sent: usize) -> Duration {
    match number(data, "rate_per_minute") {
        Some(rate @ 1..) => Duration::from_secs_f64(sent as f64 * 60.0 / rate as f64),
        _ => Duration::ZERO,
    }
}
