//! The exception classes and the one map from [`Kind`] to them.
//!
//! They are plain subclasses registered at MINIT. `#[php_class]` exceptions would have no file, no
//! line and an empty trace, because the engine fills those in its own object handler.

use std::sync::atomic::{AtomicPtr, Ordering};

use ext_php_rs::args::ArgInfoTables;
use ext_php_rs::builders::ClassBuilder;
use ext_php_rs::error::Result;
use ext_php_rs::exception::PhpException;
use ext_php_rs::types::ZendObject;
use ext_php_rs::zend::{ClassEntry, ExecutorGlobals, ce};

use super::class_table;
use crate::error::{Error, Kind};

/// A class entry that is known once MINIT has run.
struct Registered(AtomicPtr<ClassEntry>);

impl Registered {
    const fn empty() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    fn store(&self, entry: &'static mut ClassEntry) {
        self.0.store(entry, Ordering::Release);
    }

    /// The entry, or PHP's own `Exception` had MINIT never stored one.
    fn get(&self) -> &'static ClassEntry {
        // SAFETY: set once in MINIT to an entry that the engine keeps until module shutdown; no lock.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }.unwrap_or_else(|| ce::exception())
    }
}

static BASE: Registered = Registered::empty();
static INVALID_ARGUMENT: Registered = Registered::empty();
static CONFIG: Registered = Registered::empty();
static CACHE: Registered = Registered::empty();
static QUEUE: Registered = Registered::empty();
static BACKUP: Registered = Registered::empty();
static RATE_LIMIT: Registered = Registered::empty();

/// Registers every exception class. Phase: MINIT.
///
/// # Errors
/// Fails when the engine refuses a class, or `RuntimeException` is missing (ext-spl is always there).
pub fn register() -> Result<()> {
    ClassBuilder::new("SLBP_Exception")
        .extends((
            || class_table::find("runtimeexception").unwrap_or_else(|| ce::exception()),
            "\\RuntimeException",
        ))
        .registration(|entry, _| BASE.store(entry))
        .register()?;
    child("SLBP_InvalidArgumentException", |entry, _| INVALID_ARGUMENT.store(entry))?;
    child("SLBP_Config_Exception", |entry, _| CONFIG.store(entry))?;
    child("SLBP_Cache_Exception", |entry, _| CACHE.store(entry))?;
    child("SLBP_Queue_Exception", |entry, _| QUEUE.store(entry))?;
    child("SLBP_Backup_Exception", |entry, _| BACKUP.store(entry))?;
    child("SLBP_Rate_Limit_Exception", |entry, _| RATE_LIMIT.store(entry))
}

fn child(name: &str, store: fn(&'static mut ClassEntry, ArgInfoTables)) -> Result<()> {
    ClassBuilder::new(name).extends((|| BASE.get(), "\\SLBP_Exception")).registration(store).register()
}

unsafe extern "C" {
    fn zend_is_unwind_exit(exception: *const ZendObject) -> bool;
    fn zend_is_graceful_exit(exception: *const ZendObject) -> bool;
}

/// Whether `exception` is what PHP unwinds the stack with to end the script (`exit()`, memory that is
/// exhausted) or a fiber. Such an object has no methods, and must be passed on.
pub fn is_end(exception: &ZendObject) -> bool {
    // SAFETY: a live object; the functions only compare its class. No lock.
    unsafe { zend_is_unwind_exit(exception) || zend_is_graceful_exit(exception) }
}

/// Whether that is pending.
pub fn is_script_ending() -> bool {
    // SAFETY: the pending exception, if there is one, is a live object.
    unsafe { ExecutorGlobals::get().exception.as_ref() }.is_some_and(is_end)
}

impl From<Error> for PhpException {
    fn from(error: Error) -> Self {
        PhpException::new(error.to_string(), 0, class_of(error.kind()).get())
    }
}

/// The exhaustive map: a new [`Kind`] does not compile until it has its class.
fn class_of(kind: Kind) -> &'static Registered {
    match kind {
        Kind::InvalidArgument => &INVALID_ARGUMENT,
        Kind::Config => &CONFIG,
        Kind::Cache => &CACHE,
        Kind::Queue => &QUEUE,
        Kind::Backup => &BACKUP,
        Kind::RateLimit => &RATE_LIMIT,
        Kind::Assets | Kind::Store | Kind::SharedMemory => &BASE,
    }
}
