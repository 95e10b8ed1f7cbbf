//! The workers that run in this process now, and what must outlive a handler that never returns.
//!
//! A fatal error or a time limit in a handler `longjmp`s over every frame of ours. So a worker never
//! stands on the stack while PHP runs: it stands here, and each access takes it out for one step in
//! which no PHP runs. What is still here at the end of the request was left in the middle, and is
//! settled by [`settle_abandoned`]. There may be more than one, because a handler may run a queue.

use std::cell::RefCell;

use crate::binding::failure::log;
use crate::error::Result;
use crate::queue::builtin::campaign::{Bounce, Piece};
use crate::queue::task::Task;
use crate::queue::worker::{Outcome, Tally, Worker};

/// A worker, and the state of the built-in type whose host part is running.
struct Run {
    worker: Worker,
    process: u32,
    middle: Middle,
    is_given_up: bool,
}

/// What a built-in type keeps while PHP does its part.
#[derive(Default)]
pub enum Middle {
    /// Nothing.
    #[default]
    None,
    /// The ledger's key of a charge that has begun.
    Charge(String),
    /// A piece of a campaign and what bounced of it so far.
    Campaign(Piece, Vec<Bounce>),
}

thread_local! {
    static RUNS: RefCell<Vec<Run>> = const { RefCell::new(Vec::new()) };
}

/// Puts a worker on top.
pub fn begin(worker: Worker) {
    let run = Run { worker, process: std::process::id(), middle: Middle::None, is_given_up: false };
    RUNS.with_borrow_mut(|runs| runs.push(run));
}

/// Takes the worker on top away; answers what it has done.
pub fn end() -> Tally {
    RUNS.with_borrow_mut(Vec::pop).map(|run| run.worker.tally()).unwrap_or_default()
}

/// Leaves the worker on top to the end of the request: PHP is ending the script.
pub fn give_up() {
    RUNS.with_borrow_mut(|runs| {
        if let Some(run) = runs.last_mut() {
            run.is_given_up = true;
        }
    });
}

/// Whether the worker on top must not be touched any more: it was given up, or this process is a
/// child that a handler has forked, and the worker is its parent's.
pub fn is_given_up() -> bool {
    let is_foreign = |run: &Run| run.process != std::process::id();
    RUNS.with_borrow(|runs| runs.last().is_some_and(|run| run.is_given_up || is_foreign(run)))
}

/// Whether the worker on top was given up because of a fatal error.
pub fn is_ending() -> bool {
    RUNS.with_borrow(|runs| runs.last().is_some_and(|run| run.is_given_up))
}

/// The next task of the worker on top.
///
/// # Errors
/// As [`Worker::next_task`].
pub fn next_task() -> Result<Option<Task>> {
    with_worker(Ok(None), Worker::next_task)
}

/// Tells the worker on top what came of its task.
///
/// # Errors
/// As [`Worker::report`].
pub fn report(outcome: Outcome) -> Result<()> {
    with_worker(Ok(()), |worker| worker.report(outcome))
}

/// Tells the worker on top that its handler ended the script.
///
/// # Errors
/// As [`Worker::report_left`].
pub fn report_left(message: &str) -> Result<()> {
    with_worker(Ok(()), |worker| worker.report_left(message))
}

/// Stops the worker on top after its task.
pub fn stop() {
    with_worker((), |worker| worker.stopper().stop());
}

/// Whether somebody asked the running task to stop.
pub fn is_cancel_requested() -> bool {
    with_worker(false, |worker| worker.is_cancel_requested())
}

/// Does one step with the worker on top, in which no PHP runs; `otherwise` when there is none.
pub fn with_worker<T>(otherwise: T, step: impl FnOnce(&mut Worker) -> T) -> T {
    RUNS.with_borrow_mut(|runs| match runs.last_mut() {
        Some(run) => step(&mut run.worker),
        None => otherwise,
    })
}

/// Keeps `middle` while PHP does the host's part of the task.
pub fn keep(middle: Middle) {
    RUNS.with_borrow_mut(|runs| {
        if let Some(run) = runs.last_mut() {
            run.middle = middle;
        }
    });
}

/// Does one step with what is kept, in which no PHP runs.
pub fn with_kept<T>(step: impl FnOnce(&mut Middle) -> T) -> Option<T> {
    RUNS.with_borrow_mut(|runs| runs.last_mut().map(|run| step(&mut run.middle)))
}

/// Takes back what was kept.
pub fn take_kept() -> Middle {
    with_kept(std::mem::take).unwrap_or_default()
}

/// Settles the tasks whose handlers were left by a fatal error. Phase: RSHUTDOWN.
pub fn settle_abandoned(why: impl FnOnce() -> String) {
    let left = RUNS.with_borrow_mut(std::mem::take);
    if left.is_empty() {
        return;
    }
    let why = why();
    for mut run in left.into_iter().rev() {
        if run.process != std::process::id() {
            // A forked child ends: worker, task and connection are its parent's.
            std::mem::forget(run);
        } else if let Err(error) = run.worker.abandon(&why) {
            log(&format!("a task could not be settled and keeps its lease until that ends: {error}"));
        }
    }
}
