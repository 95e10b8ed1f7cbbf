//! A segment in a file: finding the one that is there, or making it, without anyone ever seeing
//! half of it.
//!
//! Owns: three rules. Whoever opens or creates holds an exclusive lock on `<path>.lock`, so there
//! is one creator. A new file is filled under a temporary name and renamed into place, so the old
//! one, which others may have mapped, is never truncated under them (that would be SIGBUS). All of
//! its blocks are allocated first, so a full file system is an error here and not SIGBUS later.
//!
//! Every user of a file keeps a shared lock on it. It goes with the last process that has it, so a
//! file nobody lives in can be told from one in use.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::layout::HEADER_BYTES;
use super::map::Mapping;
use super::segment::failed;
use crate::error::{Error, Kind, Result};

/// How long to wait for another process that creates the file.
const PATIENCE: Duration = Duration::from_secs(2);
const RECHECK: Duration = Duration::from_millis(5);

/// A checked file and its mapping.
pub(super) struct Opened {
    /// Holds the shared lock.
    pub file: File,
    pub mapping: Mapping,
}

/// Opens the segment file at `path`, or creates it with `size` bytes filled by `fill`.
///
/// An existing file is kept when `is_usable` says so and it has the wanted size or is in use.
pub(super) fn open(
    path: &Path,
    owner: Option<u32>,
    size: usize,
    is_usable: &dyn Fn(&Mapping) -> bool,
    fill: &dyn Fn(&Mapping) -> Result<()>,
) -> Result<Opened> {
    let _turn = take_turn(&with_suffix(path, ".lock"), owner)?;
    if let Some(file) = open_existing(path, owner)?
        && let Some(mapping) = map_whole(&file).filter(is_usable)
        && (mapping.len() == size || is_in_use(&file))
    {
        live_in(&file)?;
        return Ok(Opened { file, mapping });
    }
    create(path, owner, size, fill)
}

/// Waits for the right to look at and change what is at `path`.
fn take_turn(path: &Path, owner: Option<u32>) -> Result<File> {
    let file = open_or_create(path, owner)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => std::thread::sleep(RECHECK),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Kind::SharedMemory, "another process does not finish opening it"));
            }
            Err(TryLockError::Error(error)) => return Err(failed("cannot lock", &error)),
        }
    }
}

/// Opens the lock file. O_CREAT alone is not enough: in a sticky folder such as /dev/shm the kernel
/// refuses it for an existing file of another user, even to root (fs.protected_regular).
fn open_or_create(path: &Path, owner: Option<u32>) -> Result<File> {
    for _ in 0..8 {
        if let Some(file) = open_existing(path, owner)? {
            return Ok(file);
        }
        match create_new(path) {
            Ok(file) => {
                give(&file, owner)?;
                return Ok(file);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("cannot create the lock file", &error)),
        }
    }
    Err(Error::new(Kind::SharedMemory, "its lock file comes and goes"))
}

/// Opens what is at `path`, if it is a regular file of ours.
fn open_existing(path: &Path, owner: Option<u32>) -> Result<Option<File>> {
    let refuse = |why: String| Err(Error::new(Kind::SharedMemory, why));
    let file = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return refuse("is a symbolic link, expected a regular file".to_owned());
        }
        Err(error) => {
            let of = path
                .symlink_metadata()
                .map_or(String::new(), |data| format!(" (it belongs to uid {})", data.uid()));
            return refuse(format!("cannot open it{of}: {error}"));
        }
    };
    let data = file.metadata().map_err(|e| failed("cannot examine it", &e))?;
    if !data.is_file() {
        return refuse("expected a regular file".to_owned());
    }
    if data.uid() != effective_uid() && Some(data.uid()) != owner {
        return refuse(format!(
            "belongs to uid {}, expected uid {} or slbp.shm_owner; remove it or choose another slbp.shm_path",
            data.uid(),
            effective_uid()
        ));
    }
    give(&file, owner)?;
    Ok(Some(file))
}

/// Maps all of `file`, if it is private to its owner and large enough to be looked at.
fn map_whole(file: &File) -> Option<Mapping> {
    let data = file.metadata().ok()?;
    let len = usize::try_from(data.len()).ok()?;
    let is_private = data.permissions().mode() & 0o077 == 0;
    if !is_private || len < HEADER_BYTES {
        return None;
    }
    Mapping::file(file, len).ok()
}

fn create(
    path: &Path,
    owner: Option<u32>,
    size: usize,
    fill: &dyn Fn(&Mapping) -> Result<()>,
) -> Result<Opened> {
    // A creator that was killed left its half here; we hold the turn, so nobody is at it.
    let temporary = with_suffix(path, ".new");
    match std::fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed("cannot remove an unfinished file", &error)),
    }
    let opened = create_at(&temporary, owner, size, fill).and_then(|opened| {
        std::fs::rename(&temporary, path).map_err(|e| failed("cannot put it in place", &e))?;
        Ok(opened)
    });
    if opened.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    opened
}

fn create_at(
    path: &Path,
    owner: Option<u32>,
    size: usize,
    fill: &dyn Fn(&Mapping) -> Result<()>,
) -> Result<Opened> {
    let file = create_new(path).map_err(|e| failed("cannot create it", &e))?;
    allocate(&file, size).map_err(|e| failed("its file system has no room for it", &e))?;
    let mapping = Mapping::file(&file, size).map_err(|e| failed("cannot map it", &e))?;
    fill(&mapping)?;
    give(&file, owner)?;
    live_in(&file)?;
    Ok(Opened { file, mapping })
}

fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// What root makes belongs to the user whom php-fpm's pool and the CLI run as.
fn give(file: &File, owner: Option<u32>) -> Result<()> {
    match owner {
        Some(uid) if effective_uid() == 0 => {
            fchown(file, Some(uid), None).map_err(|e| failed("cannot give it to slbp.shm_owner", &e))
        }
        _ => Ok(()),
    }
}

fn live_in(file: &File) -> Result<()> {
    file.try_lock_shared().map_err(|e| Error::new(Kind::SharedMemory, format!("cannot lock it: {e}")))
}

/// Whether another process lives in `file`. Asked while holding the turn, so nobody moves in.
fn is_in_use(file: &File) -> bool {
    match file.try_lock() {
        Ok(()) => false,
        Err(_) => true,
    }
}

fn allocate(file: &File, size: usize) -> io::Result<()> {
    let size = libc::off_t::try_from(size).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open; this touches no memory of the process.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn effective_uid() -> u32 {
    // SAFETY: always succeeds and touches no memory.
    unsafe { libc::geteuid() }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
