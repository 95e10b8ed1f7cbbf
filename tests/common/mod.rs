//! Real servers for tests: each on a free loopback port in a temporary folder, stopped by its
//! process id when the value is dropped, also when the test fails.
#![allow(dead_code, reason = "every test binary uses its own part")]

pub mod lateness;
pub mod mariadb;
pub mod memcached;
pub mod queue;
pub mod redis;
pub mod s3;

use std::net::TcpListener;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A loopback port that was free a moment ago and is given out once. It lies below the range from
/// which the system takes ports for outgoing connections: one of those took it now and then before
/// the server had bound it.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id().wrapping_mul(131).wrapping_add(nth) % 22_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `ready` or fails the test after 20 s.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Forks, runs `check` in the child and tells what it returned there.
pub fn in_child(check: impl FnOnce() -> bool) -> bool {
    #[expect(unsafe_code, reason = "fork(2) has no safe wrapper in std")]
    // SAFETY: the child runs only `check` and leaves by `_exit`, so it never returns into the test
    // harness whose other threads it does not have.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or(false);
            libc::_exit(i32::from(!good));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }
}

/// A child process that ends with its owner.
pub struct Process(Child);

impl Process {
    pub fn new(child: Child) -> Self {
        Self(child)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGSTOP: the process keeps its sockets and answers nothing.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        wait_until("every thread has stopped", || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
            threads.flatten().all(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
            })
        });
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn signal(&self, signal: i32) {
        #[expect(unsafe_code, reason = "kill(2) has no safe wrapper in std")]
        // SAFETY: the child is ours and not yet waited for, so its id is still its own.
        let result = unsafe { libc::kill(self.0.id() as i32, signal) };
        assert_eq!(result, 0);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
