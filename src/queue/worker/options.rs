//! What a worker is told, and what it tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
}

impl WorkerOptions {
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
        Self { queues: Vec::new(), batch: 100, max_tasks: None, max_time: None, wait: false }
    }
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
