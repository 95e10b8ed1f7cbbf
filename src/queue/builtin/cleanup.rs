//! `cleanup_logs`: old rows of the log tables and ended tasks are deleted, in bounded pieces.

use std::thread;
use std::time::Duration;

use super::{columns, number};
use crate::error::Result;
use crate::queue::Queue;
use crate::queue::sql;
use crate::queue::store::Retention;
use crate::queue::task::Task;
use crate::queue::worker::Outcome;

/// The log tables of the billing plugin, after the prefix.
const LOGS: [&str; 2] = ["slbp_api_logs", "slbp_webhook_logs"];

/// How long logs are kept when the task does not say.
const DEFAULT_DAYS: u64 = 90;

/// How many rows one statement deletes, and the pause after it.
const CHUNK: u64 = 1000;
const PAUSE: Duration = Duration::from_millis(5);

/// How long ended tasks are pruned at most in one run.
const PRUNE_BUDGET: Duration = Duration::from_secs(20);

/// Deletes what is older than `retention_days`; `is_cancelled` is asked between pieces.
///
/// # Errors
/// The database's.
pub fn run(queue: &Queue, task: &Task, is_cancelled: &dyn Fn() -> bool) -> Result<Outcome> {
    let days = number(&task.task_data, "retention_days").filter(|days| *days > 0).unwrap_or(DEFAULT_DAYS);
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    let store = queue.on(queue.link())?;
    let before = store.now()?.saturating_sub(i64::from(days).saturating_mul(86_400_000_000));
    let before = sql::text(&queue.zone().show(before.max(0)));
    let mut deleted = 0;
    for name in LOGS {
        let table = format!("{}{name}", queue.settings().database.prefix);
        if !columns(store.db, &table)?.iter().any(|column| column == "created_at") {
            continue;
        }
        loop {
            if is_cancelled() {
                return Ok(Outcome::Cancelled);
            }
            let statement = format!("DELETE FROM {table} WHERE created_at < {before} LIMIT {CHUNK}");
            let piece = store.db.execute(&statement)?.affected;
            deleted += piece;
            store.progress(task.id, deleted, 0, "log rows deleted")?;
            if piece < CHUNK {
                break;
            }
            thread::sleep(PAUSE);
        }
    }
    store.prune(Retention::days(days), PRUNE_BUDGET)?;
    Ok(Outcome::Done)
}
