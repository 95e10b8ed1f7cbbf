//! Child processes for the fault tests: fork, kill, stop, single-step, wait.
//!
//! A child runs one closure on the memory it inherited and ends without unwinding into the test
//! harness. Tests that fork take [`alone`] first, so that no other test thread is in the middle of
//! something when the process is copied.
#![allow(dead_code, unsafe_code)] // each suite uses a part of it

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libc::pid_t;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It returned from its closure (0) or failed (1).
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
}

/// A child of this process; it is killed and reaped when dropped.
pub struct Child {
    pub pid: pid_t,
    ended: bool,
}

/// Serialises the tests of one suite.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` in a forked child.
pub fn fork(work: impl FnOnce()) -> Child {
    // SAFETY: no other test forks or works now (`alone`); the child only runs `work` and leaves by
    // `_exit`, so no destructor of the harness runs twice.
    match unsafe { libc::fork() } {
        0 => {
            let failed = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                say(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a child panicked"));
            });
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(failed.is_err())) }
        }
        pid => {
            assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
            Child { pid, ended: false }
        }
    }
}

/// Writes a line to standard error past the harness, whose capture a forked child cannot use.
fn say(text: &str) {
    let line = format!("child {}: {text}\n", std::process::id());
    // SAFETY: the buffer is valid for its length.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

impl Child {
    pub fn signal(&self, signal: i32) {
        // SAFETY: the pid is our child's and not reaped yet.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Waits for the end.
    pub fn wait(mut self) -> End {
        self.reap(0).expect("a blocking wait ends with the child")
    }

    /// Kills it with SIGKILL and waits.
    pub fn kill(self) -> End {
        self.signal(libc::SIGKILL);
        self.wait()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<End> {
        self.reap(libc::WNOHANG)
    }

    /// Waits until a signal has stopped it.
    pub fn wait_stopped(&self) {
        let mut status = 0;
        // SAFETY: waits for our own child; `status` is a valid place for the answer.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, libc::WUNTRACED) };
        assert!(pid == self.pid && libc::WIFSTOPPED(status), "the child ended instead of stopping");
    }

    fn reap(&mut self, flags: i32) -> Option<End> {
        let mut status = 0;
        // SAFETY: as above.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, flags) };
        if pid != self.pid || libc::WIFSTOPPED(status) {
            return None;
        }
        self.ended = true;
        Some(match libc::WIFSIGNALED(status) {
            true => End::Signal(libc::WTERMSIG(status)),
            false => End::Exit(libc::WEXITSTATUS(status)),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(libc::SIGKILL);
            self.reap(0);
        }
    }
}

/// Stops the calling process until somebody continues it.
pub fn stop_here() {
    // SAFETY: raises a signal in the caller.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Ends the calling process at once.
pub fn die_here() -> ! {
    // SAFETY: as above; SIGKILL does not return.
    unsafe {
        libc::raise(libc::SIGKILL);
        libc::_exit(9)
    }
}

/// Runs `work` in a child one machine instruction at a time, and `after` in this process after each.
/// False when the system does not allow tracing.
pub fn single_step(work: impl FnOnce(), mut after: impl FnMut()) -> bool {
    const STEPS: usize = 2_000_000;
    let mut child = fork(|| {
        // SAFETY: asks to be traced by the parent, which expects it.
        let refused = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0;
        assert!(!refused, "tracing is not allowed");
        stop_here();
        work();
    });
    let mut status = 0;
    // SAFETY: waits for our own child; `status` is a valid place for the answer.
    unsafe { libc::waitpid(child.pid, &mut status, 0) };
    if !libc::WIFSTOPPED(status) {
        child.ended = true;
        return false;
    }
    for _ in 0..STEPS {
        // SAFETY: the child is stopped and traced by us.
        unsafe {
            libc::ptrace(libc::PTRACE_SINGLESTEP, child.pid, 0, 0);
            libc::waitpid(child.pid, &mut status, 0);
        }
        if !libc::WIFSTOPPED(status) {
            child.ended = true;
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the stepped child failed");
            return true;
        }
        after();
    }
    panic!("the stepped child did not end in {STEPS} steps");
}

/// Calls `check` every 2 ms until it is true; false when `limit` is over first.
pub fn eventually(limit: Duration, mut check: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < limit {
        if check() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    check()
}
