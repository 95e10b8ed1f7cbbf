//! A thread beside PHP's.
//!
//! Owns: keeping signals away from it. PHP's handlers (time limit, SIGTERM of php-fpm) touch the
//! executor, which belongs to PHP's own thread, and the kernel gives a signal to any thread that
//! takes it. Threads do not survive a fork, so none is started before php-fpm has forked.

use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

/// Runs `work` on a thread called `name` (at most 15 bytes are shown) that gets no signals.
///
/// # Errors
/// When the system starts no more threads.
pub fn spawn_quietly(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    quietly(Builder::new().name(name.to_owned()), work)
}

/// The same with a stack of `stack` bytes, for work that recurses, and with its result.
///
/// # Errors
/// When the system starts no more threads, or has no room for the stack.
pub fn spawn_quietly_with_stack<T: Send + 'static>(
    name: &str,
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    quietly(Builder::new().name(name.to_owned()).stack_size(stack), work)
}

fn quietly<T: Send + 'static>(
    builder: Builder,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are ours, and the first is filled before it is read. A new thread inherits the mask
    // of the one that starts it; PHP's thread, in a request, gets its own mask back below.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = builder.spawn(work);
    // SAFETY: `before` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    started
}
