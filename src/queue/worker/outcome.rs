//! What a handler is, and what it can say.

use std::time::Duration;

use serde_json::Value;

use super::Worker;
use crate::queue::store::Finish;
use crate::queue::task::Task;

/// What came of running a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed, and why; it is tried again while attempts are left.
    Failed(String),
    /// It failed, and why, and trying again would not help.
    Dead(String),
    /// A person must decide, and why.
    Held(String),
    /// It stopped because it was asked to.
    Cancelled,
    /// It started the tasks of this batch and is done when they are.
    Waiting(String),
    /// It is not through, and goes on after a while with this data.
    Again {
        /// The while.
        after: Duration,
        /// The data.
        data: Value,
    },
}

impl Outcome {
    /// What this means for `task` when it may run `attempts` times, unless it says otherwise, and
    /// would be tried again after `delay`.
    pub(super) fn finish(self, task: &Task, attempts: u32, delay: Duration) -> Finish {
        match self {
            Self::Done => Finish::Done,
            Self::Failed(message) if task.is_last_attempt(attempts) => Finish::Dead(message),
            Self::Failed(message) => Finish::Retry { after: delay, message },
            Self::Dead(why) => Finish::Dead(why),
            Self::Held(why) => Finish::Held(why),
            Self::Cancelled => Finish::Cancelled,
            Self::Waiting(batch) => Finish::Waiting(batch),
            Self::Again { after, data } => Finish::Again { after, data: data.to_string() },
        }
    }
}

/// What runs tasks.
pub trait Handler {
    /// Runs one. `worker` knows whether it was asked to stop.
    fn handle(&self, task: &Task, worker: &Worker) -> Outcome;
}

impl<F: Fn(&Task, &Worker) -> Outcome> Handler for F {
    fn handle(&self, task: &Task, worker: &Worker) -> Outcome {
        self(task, worker)
    }
}
