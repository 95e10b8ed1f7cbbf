//! This process' view of the shared segment.
//!
//! Mapped once, in MINIT of php-fpm's master, so that every worker forked later finds it at the same
//! place. It is never unmapped by hand: MSHUTDOWN runs in each recycled worker, and the system takes
//! a process' mappings back when it ends.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::OnceLock;

use ext_php_rs::ffi::php_error_docref;
use serde_json::{Map, Value, json};

use super::ini;
use crate::error::{Error, Kind, Result};
use crate::shm::{Counter, Place, Plan, Segment};

const DEFAULT_SIZE: u64 = 64 << 20;

/// PHP's E_CORE_WARNING: shown and logged while PHP starts, and PHP starts all the same.
const E_CORE_WARNING: i32 = 1 << 5;

static SEGMENT: OnceLock<Segment> = OnceLock::new();

/// Maps the segment that php.ini asks for, or a small private one with a warning. Phase: MINIT.
pub fn map() {
    if SEGMENT.get().is_some() {
        return;
    }
    match obtain() {
        Ok((segment, trouble)) => {
            if let Some(error) = trouble {
                warn(&format!("slbp: {error}; each process works alone until this is mended"));
            }
            let _ = SEGMENT.set(segment);
        }
        Err(error) => warn(&format!("slbp: {error}; its classes cannot be used")),
    }
}

/// The segment.
///
/// # Errors
/// [`Kind::SharedMemory`] when not even private memory could be had at start.
pub fn get() -> Result<&'static Segment> {
    SEGMENT.get().ok_or_else(|| Error::new(Kind::SharedMemory, "no memory could be mapped when PHP started"))
}

fn obtain() -> Result<(Segment, Option<Error>)> {
    match plan().and_then(|plan| Ok((place()?, plan))) {
        Ok((place, plan)) => Segment::obtain(&place, &plan),
        Err(error) => Ok((Segment::private(&Plan::smallest())?, Some(error))),
    }
}

fn plan() -> Result<Plan> {
    let size = ini::bytes("slbp.shm_size")?.unwrap_or(DEFAULT_SIZE);
    Plan::for_size(usize::try_from(size).unwrap_or(usize::MAX))
}

fn place() -> Result<Place> {
    let Some(path) = ini::text("slbp.shm_path") else { return Ok(Place::Anonymous) };
    // php-fpm and a command line start in different folders, and would each make a file of their own.
    if !path.starts_with('/') {
        return Err(Error::new(
            Kind::Config,
            format!("slbp.shm_path: expected an absolute path, got '{path}'"),
        ));
    }
    let owner = ini::text("slbp.shm_owner").map(|name| uid_of(&name)).transpose()?;
    Ok(Place::File { path: PathBuf::from(path), owner })
}

/// The uid of a user name, or of a number.
fn uid_of(name: &str) -> Result<u32> {
    if let Ok(uid) = name.parse() {
        return Ok(uid);
    }
    let unknown = || Error::new(Kind::Config, format!("slbp.shm_owner: there is no user '{name}'"));
    let c_name = CString::new(name).map_err(|_| unknown())?;
    // SAFETY: MINIT, before any thread of ours exists, so nobody else uses getpwnam's static buffer;
    // the uid is copied out at once. No lock.
    unsafe { libc::getpwnam(c_name.as_ptr()).as_ref() }.map(|entry| entry.pw_uid).ok_or_else(unknown)
}

fn warn(message: &str) {
    let text = CString::new(message.replace('\0', "")).unwrap_or_default();
    // SAFETY: MINIT on the main thread; the format takes exactly the one string that is passed. No lock.
    unsafe { php_error_docref(std::ptr::null(), E_CORE_WARNING, c"%s".as_ptr(), text.as_ptr()) };
}

/// The state of the segment: what `slbp_info()` returns.
pub fn describe() -> Value {
    let Ok(segment) = get() else { return json!({"mode": "none", "size": 0}) };
    let info = segment.info();
    let regions = info.regions.iter().map(|region| {
        let state = json!({"bytes": region.bytes, "capacity": region.capacity, "used": region.used});
        (region.kind.name().to_owned(), state)
    });
    let counters = segment.counters();
    let counts =
        Counter::ALL.iter().map(|counter| (counter.name().to_owned(), Value::from(counters.get(*counter))));
    let path = ini::text("slbp.shm_path").filter(|_| info.mode.name() == "file");
    json!({
        "size": info.size,
        "mode": info.mode.name(),
        "path": path,
        "created": info.created.secs(),
        "recoveries": info.recoveries,
        "lock_timeouts": info.lock_timeouts,
        "regions": regions.collect::<Map<_, _>>(),
        "counters": counts.collect::<Map<_, _>>(),
    })
}
