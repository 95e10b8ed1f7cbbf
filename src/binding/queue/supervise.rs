//! Keeps a number of worker processes alive: `slbp_supervise()`, behind `php/bin/slbp work`.
//!
//! It holds no task and no connection, so it has nothing to lose. SIGTERM and SIGINT are passed on to
//! the workers, which drain; it waits for them. When it is killed the kernel tells them the same
//! (`PR_SET_PDEATHSIG`), so no worker outlives it unseen.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ext_php_rs::prelude::*;

use super::signals::Drain;
use super::work::is_command_line;
use crate::binding::convert::params::Lax;
use crate::error::{Error, Kind, Result};
use crate::queue::worker::Stopper;

/// Between two looks at the workers.
const LOOK: Duration = Duration::from_millis(50);

/// A worker that ends by itself sooner than this is broken, and started again later and later.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// The waits before a broken worker is started again: at first, and at most.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The place of one worker.
struct Place {
    child: Option<Child>,
    started: Instant,
    next_start: Instant,
    wait: Duration,
}

/// Registers the function of this file.
pub fn functions(module: ModuleBuilder<'_>) -> ModuleBuilder<'_> {
    module.function(wrap_function!(slbp_supervise))
}

/// Keeps `$processes` times `$command` running until SIGTERM or SIGINT. On the command line only: a
/// web request must not find a way to start programs here that its host has closed elsewhere.
#[php_function]
pub fn slbp_supervise(command: Vec<String>, processes: Lax<i64>) -> PhpResult<i64> {
    if !is_command_line() {
        return Err(Error::invalid("slbp_supervise", "it works on the command line only").into());
    }
    let wrong = || Error::invalid("$processes", format!("expected 1 to 256, got {}", processes.0));
    let count = usize::try_from(processes.0).ok().filter(|n| (1..=256).contains(n)).ok_or_else(wrong)?;
    Ok(i64::try_from(supervise(&command, count)?).unwrap_or(i64::MAX))
}

/// Runs `processes` times `command` until a signal ends it; answers how many workers were started.
///
/// # Errors
/// [`Kind::Queue`] when no worker can be started at all.
fn supervise(command: &[String], processes: usize) -> Result<u64> {
    let stopper = Stopper::default();
    let drain = Drain::begin(stopper.clone());
    let result = keep_alive(command, processes, &stopper);
    drain.end();
    result
}

fn keep_alive(command: &[String], processes: usize, stopper: &Stopper) -> Result<u64> {
    let now = Instant::now();
    let place = || Place { child: None, started: now, next_start: now, wait: WAITS.0 };
    let mut places: Vec<Place> = (0..processes).map(|_| place()).collect();
    let mut started = 0;
    while !stopper.is_stopped() {
        for place in &mut places {
            if place.is_vacant() && place.next_start <= Instant::now() {
                place.start(command)?;
                started += 1;
            }
        }
        thread::sleep(LOOK);
    }
    places.iter_mut().for_each(Place::drain);
    places.iter_mut().for_each(Place::wait_for_end);
    Ok(started)
}

impl Place {
    /// Whether nobody works here; one that has ended is taken away.
    fn is_vacant(&mut self) -> bool {
        let Some(child) = &mut self.child else { return true };
        let Ok(Some(status)) = child.try_wait() else { return false };
        self.child = None;
        let was_killed = matches!(status.signal(), Some(libc::SIGKILL | libc::SIGTERM));
        let is_broken = !was_killed && self.started.elapsed() < SHORT_LIFE;
        self.next_start = Instant::now() + if is_broken { self.wait } else { Duration::ZERO };
        self.wait = if is_broken { (self.wait * 2).min(WAITS.1) } else { WAITS.0 };
        true
    }

    fn start(&mut self, command: &[String]) -> Result<()> {
        let cannot = |why: String| Error::new(Kind::Queue, format!("a worker could not be started: {why}"));
        let (program, arguments) = command.split_first().ok_or_else(|| cannot("no command".to_owned()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe.
        unsafe { command.pre_exec(end_with_parent) };
        self.child = Some(command.spawn().map_err(|error| cannot(error.to_string()))?);
        self.started = Instant::now();
        Ok(())
    }

    fn drain(&mut self) {
        let Some(child) = &self.child else { return };
        if let Ok(pid) = i32::try_from(child.id()) {
            // SAFETY: a child of ours that was not waited for, so its id is still its own; no lock.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    }

    fn wait_for_end(&mut self) {
        if let Some(child) = &mut self.child {
            // Fails only for a child that is not ours to wait for.
            let _ = child.wait();
        }
    }
}

fn end_with_parent() -> std::io::Result<()> {
    // SAFETY: a plain system call in the child; no lock.
    let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
