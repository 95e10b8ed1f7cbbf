//! What a handler is, and what it can say.

use std::time::Duration;

use serde_json::Value;

use super::Worker;
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

/// What runs tasks.
pub trait Handler {
    /// Runs one. `worker` knows whether it was asked to stop.
    fn handle(&self, task: &Task, worker: &Worker<'_>) -> Outcome;
}

impl<F: Fn(&Task, &Worker<'_>) -> Outcome> Handler for F {
    fn handle(&self, task: &Task, worker: &Worker<'_>) -> Outcome {
        self(task, worker)
    }
}
