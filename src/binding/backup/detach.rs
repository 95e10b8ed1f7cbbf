//! Work in a process of its own, because php-fpm ends requests that take long.
//!
//! The process is PHP's command line with this extension, started without a shell, in a session of
//! its own and with none of the worker's sockets. What it is to do, secrets included, goes through a
//! pipe: arguments and environments can be read by others. It answers with one line as soon as it
//! has the store to itself, so that a failure to begin is told to whoever asked.

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::backup::BackupId;
use crate::backup::job::{Job, open};
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::error::{Error, Kind, Result};
use crate::ports::Environment;

/// What the process runs: the work, and then WordPress for what only it can do.
const SCRIPT: &str = "[$load, $host] = slbp_backup_worker(); \
    if ('' !== $load) { $_SERVER['HTTP_HOST'] ??= $host; define('DOING_CRON', true); require $load; slbp_backup_worker_end(); }";

/// How long the process may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// Descriptors above this are not expected in a worker.
const DESCRIPTORS: libc::c_int = 4096;

/// Whether PHP's command line is to be found.
pub fn is_possible() -> bool {
    command_line().is_some()
}

/// Starts `job` and returns the id of the backup that it is about.
///
/// # Errors
/// The process could not be started or could not begin, say because somebody else is at work.
pub fn start(job: &Job) -> Result<BackupId> {
    let php = command_line()
        .ok_or_else(|| fault("PHP's command line was not found: set slbp.php_cli in php.ini to its path"))?;
    let log = open(&job.settings()?)?.root().join("worker.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&log).map_err(failed("log"))?;
    let text = serde_json::to_vec(job).map_err(|error| fault(format!("cannot write the job: {error}")))?;

    let mut command = Command::new(&php);
    configure(&mut command);
    if !has_extension(&php) {
        command.arg("-d").arg(format!("extension={}", this_library()?.display()));
    }
    command.args(["-d", "display_errors=stderr", "-d", "max_execution_time=0", "-r", SCRIPT]);
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    leave_worker(&mut command);

    let mut child = command.spawn().map_err(failed("start"))?;
    let written = child.stdin.take().map(|mut pipe| pipe.write_all(&text));
    let answer = child.stdout.take().map(|pipe| first_line(pipe, PATIENCE));
    // What is waited for is the process between, which has ended already.
    let _ = child.wait();
    written.transpose().map_err(failed("instruct"))?;
    understand(&answer.unwrap_or_default())
}

fn understand(answer: &str) -> Result<BackupId> {
    let told: serde_json::Value = serde_json::from_str(answer).map_err(|_| {
        fault("the backup process ended before it began; worker.log beside the backups says why")
    })?;
    match (told.get("id").and_then(|id| id.as_str()), told.get("error").and_then(|text| text.as_str())) {
        (Some(id), _) => BackupId::parse(id),
        (None, Some(message)) => Err(fault(message.to_owned())),
        (None, None) => Err(fault("the backup process gave no answer")),
    }
}

/// The same php.ini as here.
fn configure(command: &mut Command) {
    let loaded = super::super::wordpress::hooks::call("php_ini_loaded_file", vec![]);
    if let Some(path) = loaded.and_then(|path| path.string()) {
        command.arg("-c").arg(path);
    }
}

/// Whether `php` loads this extension by itself.
fn has_extension(php: &Path) -> bool {
    let mut probe = Command::new(php);
    configure(&mut probe);
    probe.args(["-r", "exit(extension_loaded('slbp') ? 0 : 1);"]);
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Puts the process behind a second fork, so that it is nobody's zombie, into a session of its own,
/// so that nobody's terminal ends it, and takes the worker's descriptors from it.
fn leave_worker(command: &mut Command) {
    let detach = || {
        // SAFETY: between fork and exec only async-signal-safe calls are allowed, and these are:
        // fork, setsid, fcntl, _exit. No memory is allocated and no lock is taken.
        unsafe {
            match libc::fork() {
                -1 => return Err(std::io::Error::last_os_error()),
                0 => {}
                _ => libc::_exit(0),
            }
            libc::setsid();
            for descriptor in 3..DESCRIPTORS {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
        Ok(())
    };
    // SAFETY: the closure keeps to what may be done between fork and exec, see there.
    unsafe { command.pre_exec(detach) };
}

/// The first line that comes before `limit` is over; what came until then, when none does.
fn first_line(mut pipe: ChildStdout, limit: Duration) -> String {
    let ends = Instant::now() + limit;
    let mut line = Vec::new();
    let mut block = [0; 512];
    while !line.contains(&b'\n') && may_read(&pipe, ends.saturating_duration_since(Instant::now())) {
        match pipe.read(&mut block) {
            Ok(count) if count > 0 => line.extend_from_slice(block.get(..count).unwrap_or_default()),
            _ => break,
        }
    }
    String::from_utf8_lossy(&line).lines().next().unwrap_or_default().to_owned()
}

fn may_read(pipe: &ChildStdout, limit: Duration) -> bool {
    let mut waiting = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let milliseconds = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: a request is running on this thread; the one entry lives here, and the descriptor is
    // open as long as the pipe is borrowed. No lock.
    unsafe { libc::poll(&raw mut waiting, 1, milliseconds) > 0 }
}

/// PHP's command line: what php.ini names, this very program, or the one beside it of this version.
fn command_line() -> Option<PathBuf> {
    let environment = PhpEnvironment;
    if let Some(path) = environment.ini("slbp.php_cli") {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    if !super::host::is_web() {
        return environment.constant("PHP_BINARY").map(PathBuf::from).filter(|path| path.is_file());
    }
    let folder = PathBuf::from(environment.constant("PHP_BINDIR")?);
    let (major, minor) =
        (environment.constant("PHP_MAJOR_VERSION")?, environment.constant("PHP_MINOR_VERSION")?);
    let names = [format!("php{major}.{minor}"), "php".to_owned()];
    names.map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

/// The file that this code was loaded from.
fn this_library() -> Result<PathBuf> {
    // SAFETY: all-zero is a valid Dl_info, and dladdr only writes to it; the name it points to belongs
    // to the loader and lives as long as this library. No lock of ours.
    let path = unsafe {
        let mut found: libc::Dl_info = std::mem::zeroed();
        let known = libc::dladdr(this_library as *const () as *const libc::c_void, &raw mut found) != 0;
        (known && !found.dli_fname.is_null())
            .then(|| CStr::from_ptr(found.dli_fname).to_string_lossy().into_owned())
    };
    let path = path.ok_or_else(|| fault("the extension's own file was not found"))?;
    Path::new(&path).canonicalize().map_err(failed("find the extension of"))
}

fn fault(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Backup, message)
}

fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |error| fault(format!("cannot {action} the backup process: {error}"))
}
