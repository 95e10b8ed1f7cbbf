//! A place where a parser may fail.
//!
//! Owns: a thread with a stack of its own and what it does to the process: nothing. A parser that
//! recurses can overflow the stack, which no handler survives; PHP's has 8 MB, and less on a thread.
//! Memory is only reserved, and used as far as the recursion goes.

use crate::shm::spawn_quietly_with_stack;

use super::fitness::Unfit;

/// What a recursion gets, in bytes. Frames of a build that is not optimised are several times larger.
const STACK: usize = if cfg!(debug_assertions) { 2048 << 20 } else { 256 << 20 };

/// Runs `work` beside PHP's thread and waits for it.
///
/// # Errors
/// When no thread could be started, or `work` panicked.
pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unfit> {
    let thread = spawn_quietly_with_stack("slbp-assets", STACK, work)
        .map_err(|error| Unfit::Failed(format!("no thread could be started: {error}")))?;
    thread.join().map_err(|_| Unfit::Failed(String::from("it panicked")))
}
