//! The loop that runs tasks: `process_tasks` and `work`.

use ext_php_rs::types::Zval;
use ext_php_rs::zend::{ExecutorGlobals, bailout};
use serde_json::Value;

use super::handlers::{self, Answer, call, filter};
use super::signals::Drain;
use super::{HostedQueue, arguments, builtin, runs};
use crate::binding::convert::json;
use crate::binding::failure::log;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::hooks;
use crate::error::Result;
use crate::ports::Environment;
use crate::queue::task::Task;
use crate::queue::worker::WorkerOptions;

/// What a task is told whose handler calls `exit()`.
const EXITED: &str = "the handler called exit()";

unsafe extern "C" {
    /// The bytes that the engine has from the system, or that PHP code uses of them.
    fn zend_memory_usage(real_usage: bool) -> usize;
}

/// Runs one batch; answers how many tasks were run.
///
/// # Errors
/// The database's. Tasks that were run before it are settled.
pub fn process(hosted: &HostedQueue) -> Result<u64> {
    run(hosted, hosted.one_batch())
}

/// Runs tasks until the worker is told to stop or is at a limit; answers how many were run.
///
/// # Errors
/// Invalid argument for a wrong option; else as [`process`], but while the worker waits for work it
/// waits for the database too.
pub fn work(hosted: &HostedQueue, options: Value) -> Result<u64> {
    run(hosted, WorkerOptions::read(options)?)
}

fn run(hosted: &HostedQueue, options: WorkerOptions) -> Result<u64> {
    let (memory_limit, is_long) = (options.memory_limit, options.wait);
    let policies = hosted.policies.borrow().clone();
    let worker = hosted.queue().worker(policies, options)?;
    let drain = is_command_line().then(|| Drain::begin(worker.stopper()));
    runs::begin(worker);
    let outcome = run_all(hosted, memory_limit, is_long);
    if runs::is_given_up() {
        drop(outcome);
        end_script();
        return Ok(0);
    }
    if let Some(drain) = drain {
        drain.end();
    }
    let processed = runs::end().processed;
    match outcome {
        Err(error) if processed == 0 => Err(error),
        // What was run was run: that the database is gone now is for the log.
        Err(error) => {
            log(&error.to_string());
            Ok(processed)
        }
        Ok(()) => Ok(processed),
    }
}

fn run_all(hosted: &HostedQueue, memory_limit: Option<u64>, is_long: bool) -> Result<()> {
    while let Some(task) = runs::next_task()? {
        run_one(hosted, task)?;
        if runs::is_given_up() {
            break;
        }
        if is_long {
            // Options and posts that another process changes while this one lives are read anew.
            hooks::call("wp_cache_flush_runtime", vec![]);
        }
        if memory_limit.is_some_and(|most| memory_used() >= most) {
            runs::stop();
        }
    }
    Ok(())
}

/// One task, by its registered handler, else as a built-in type, else by the site's filter.
fn run_one(hosted: &HostedQueue, task: Task) -> Result<()> {
    if let Some(handler) = hosted.handler(&task.task_type) {
        let (data, array) = (json::to_zval(&task.task_data), arguments::task(&task));
        drop(task);
        return settle(call(&handler, vec![&data, &array]), "the handler cannot be called any more");
    }
    if builtin::is_one(&task.task_type) {
        return builtin::run(hosted, task);
    }
    let (kind, data, array) = custom_arguments(&task);
    drop(task);
    let answer = filter("slbp_process_custom_background_task", vec![&false, &kind, &data, &array]);
    let missing = format!("nobody runs tasks of the type '{}'", kind.string().unwrap_or_default());
    settle(answer, &missing)
}

fn custom_arguments(task: &Task) -> (Zval, Zval, Zval) {
    let kind = Zval::try_from(task.task_type.clone()).unwrap_or_default();
    (kind, json::to_zval(&task.task_data), arguments::task(task))
}

/// Tells the worker what the answer means for its task.
///
/// # Errors
/// The database's.
pub fn settle(answer: Answer, missing: &str) -> Result<()> {
    if runs::is_given_up() {
        return Ok(());
    }
    match handlers::outcome(answer, missing) {
        Some(outcome) => runs::report(outcome),
        None => runs::report_left(EXITED),
    }
}

/// Tells the worker that the handler ended the script.
///
/// # Errors
/// The database's.
pub fn left() -> Result<()> {
    if runs::is_given_up() { Ok(()) } else { runs::report_left(EXITED) }
}

/// After a fatal error that came back to us without an exception that ends the script, ends it.
fn end_script() {
    if runs::is_ending() && !ExecutorGlobals::has_exception() {
        // SAFETY: a method of ours is running in a request, so the engine has a place to jump to; no
        // frame up to it owns anything. No lock.
        unsafe { bailout() }
    }
}

/// Whether this is PHP's command line, whose signals are ours to handle.
pub fn is_command_line() -> bool {
    PhpEnvironment.constant("PHP_SAPI").is_some_and(|name| name == "cli")
}

fn memory_used() -> u64 {
    // SAFETY: a request is running on this thread; the function only reads a counter. No lock.
    unsafe { zend_memory_usage(true) as u64 }
}
