//! SIGTERM and SIGINT in a command line worker: the first one drains, a second one kills.
//!
//! Handlers exist only while `work` runs on the command line; in php-fpm signals are the master's.
//! `SA_RESETHAND` gives the second signal its usual effect. A worker killed by it is covered by its
//! leases.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::queue::worker::Stopper;

const SIGNALS: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// What the signal handler stops. It points to a stopper that is never freed, because a signal may
/// arrive at any instruction.
static TARGET: AtomicPtr<Stopper> = AtomicPtr::new(ptr::null_mut());

/// Lets signals stop a worker until [`Drain::end`]. It is plain data: a fatal error may skip its end,
/// and then the process is ending as well.
#[derive(Clone, Copy)]
pub struct Drain {
    before: [Option<libc::sigaction>; 2],
}

impl Drain {
    /// Catches the signals; they stop `stopper`.
    pub fn begin(stopper: Stopper) -> Self {
        TARGET.store(Box::into_raw(Box::new(stopper)), Ordering::Release);
        Self { before: SIGNALS.map(catch) }
    }

    /// Gives the signals back to whoever had them.
    pub fn end(self) {
        for (signal, before) in SIGNALS.into_iter().zip(self.before) {
            if let Some(before) = before {
                // SAFETY: `before` was filled by the system for this very signal; no lock.
                unsafe { libc::sigaction(signal, &raw const before, ptr::null_mut()) };
            }
        }
    }
}

fn catch(signal: i32) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a request runs on the command line's only PHP thread. Both structs are plain data, all
    // zeros is a valid value, and the handler does only what a signal handler may. No lock.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = stop as extern "C" fn(i32) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
        let done = libc::sigaction(signal, &raw const action, before.as_mut_ptr());
        (done == 0).then(|| before.assume_init())
    }
}

/// An atomic load and an atomic store: nothing that a signal handler may not do.
extern "C" fn stop(_signal: i32) {
    // SAFETY: null, or a stopper that is never freed.
    if let Some(stopper) = unsafe { TARGET.load(Ordering::Acquire).as_ref() } {
        stopper.stop();
    }
}

/// Keeps every signal away from the calling thread: PHP's handlers expect PHP's thread.
pub fn block_in_this_thread() {
    // SAFETY: called first in a thread of ours, whose mask nobody else has seen; no lock.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut());
    }
}
