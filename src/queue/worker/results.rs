//! What came of tasks and is not written yet.

use std::time::{Duration, Instant};

use crate::queue::store::{Finish, Finished};
use crate::queue::task::Task;

/// How many results are written together at most.
const MOST: usize = 100;

/// How long a result waits at most while tasks are quick.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// Results that are written together.
#[derive(Debug, Default)]
pub struct Results {
    list: Vec<Finished>,
    since: Option<Instant>,
}

impl Results {
    /// Adds what came of a task that ran under the lease `token`.
    pub fn push(&mut self, task: Task, token: u64, how: Finish) {
        self.since.get_or_insert_with(Instant::now);
        self.list.push(Finished { id: task.id, token, batch_id: task.batch_id, how });
    }

    /// Whether they must not wait any longer.
    pub fn are_due(&self) -> bool {
        self.list.len() >= MOST || self.since.is_some_and(|since| since.elapsed() >= LONGEST_WAIT)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> &[Finished] {
        &self.list
    }

    /// Forgets them; answers whose they were.
    pub fn drain(&mut self) -> impl Iterator<Item = u64> {
        self.since = None;
        std::mem::take(&mut self.list).into_iter().map(|finished| finished.id)
    }
}
