//! The task queue: how much waits, for how long, and what nobody finishes.

use crate::health::check::{Check, Probe, Profile};
use crate::health::finding::{Outcome, Unit};

/// Ready tasks that wait: degraded, unhealthy.
const BACKLOG: (f64, f64) = (1_000.0, 100_000.0);

/// The queue in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueSnapshot {
    /// Tasks that could run now.
    pub waiting: u64,
    /// Tasks that a person must decide about.
    pub held: u64,
    /// Seconds for which the next ready task has been due.
    pub oldest: f64,
}

/// How much waits.
pub fn backlog<'a>(look: impl Fn() -> Result<QueueSnapshot, String> + 'a) -> Box<dyn Check + 'a> {
    let profile = Profile::new("queue", "component", "backlog");
    Box::new(Probe::new(profile, move || match look() {
        Ok(queue) => Outcome::graded(
            queue.waiting as f64,
            Unit::Count,
            BACKLOG.0,
            BACKLOG.1,
            "more tasks wait than are run",
        ),
        Err(reason) => Outcome::degraded(reason),
    }))
}

/// Seconds after which a ready task should have been taken by somebody: degraded, unhealthy.
const OVERDUE: (f64, f64) = (600.0, 3_600.0);

/// What nobody takes, or nobody can finish without a person.
pub fn stuck<'a>(look: impl Fn() -> Result<QueueSnapshot, String> + 'a) -> Box<dyn Check + 'a> {
    let profile = Profile::new("queue_stuck", "component", "tasks");
    Box::new(Probe::new(profile, move || match look() {
        Ok(queue) if queue.held > 0 => Outcome::degraded("tasks are held until a person has looked")
            .measured(queue.held as f64, Unit::Count),
        Ok(queue) => Outcome::graded(
            queue.oldest,
            Unit::Seconds,
            OVERDUE.0,
            OVERDUE.1,
            "nobody runs the tasks that are due",
        ),
        Err(reason) => Outcome::degraded(reason),
    }))
}
