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
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are ours, and the first is filled before it is read. A new thread inherits the mask
    // of the one that starts it; PHP's thread, in a request, gets its own mask back below.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = Builder::new().name(name.to_owned()).spawn(work);
    // SAFETY: `before` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    started
}
