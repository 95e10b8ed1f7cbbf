//! One writer at a time.
//!
//! An advisory file lock ends with its process, however that dies. Hosts that share the folder over
//! a network may not share such locks, so the file also says who holds it and until when: a holder
//! on another host counts until then. It renews the time while it works ([`Locked::renew`]).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::{fault, file, malformed};
use super::store::Store;
use crate::clock::{Clock, Timestamp};
use crate::error::Result;

/// How long a holder that stopped renewing is believed to be alive when it cannot be asked.
const EXPIRY: Duration = Duration::from_secs(600);

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What it does: `create`, `restore`, …
    pub work: String,
    /// The host.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Since when, seconds since the epoch.
    pub since: u64,
    /// Until when it is believed without being asked, seconds since the epoch.
    pub expires: u64,
}

/// The store, held by this process alone. Every verb that writes takes one.
pub struct Locked<'a> {
    store: &'a Store,
    file: Mutex<File>,
    path: PathBuf,
    holder: Holder,
}

impl Store {
    /// The file that is locked.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root().join("lock")
    }

    /// Takes the store for `work`, and removes what a holder that died was writing.
    ///
    /// # Errors
    /// Somebody else has it; the message says who and since when.
    pub fn lock(&self, work: &str, clock: &dyn Clock) -> Result<Locked<'_>> {
        let path = self.lock_file();
        let now = clock.now();
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut opened = opened.map_err(file("open", &path))?;
        let free = match opened.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(file("lock", &path)(error)),
        };
        let host = host();
        if let Some(holder) = read(&mut opened) {
            let elsewhere = holder.host != host && now.secs() < holder.expires;
            if !free || elsewhere {
                return Err(busy(&holder));
            }
        } else if !free {
            return Err(fault("another process has the backups locked"));
        }
        let since = now.secs();
        let holder = Holder { work: work.to_owned(), host, pid: std::process::id(), since, expires: 0 };
        let locked = Locked { store: self, file: Mutex::new(opened), path, holder };
        locked.renew(now)?;
        self.remove_partial()?;
        Ok(locked)
    }

    /// Who has the store now; `None` when nobody has.
    pub fn holder(&self, clock: &dyn Clock) -> Result<Option<Holder>> {
        let path = self.lock_file();
        let Ok(mut opened) = File::open(&path) else { return Ok(None) };
        let free = opened.try_lock_shared().is_ok();
        let holder = read(&mut opened);
        let alive = |holder: &Holder| !free || (holder.host != host() && clock.now().secs() < holder.expires);
        Ok(holder.filter(alive))
    }
}

impl Locked<'_> {
    /// Says that this process is alive.
    pub fn renew(&self, now: Timestamp) -> Result<()> {
        let holder = Holder { expires: now.plus(EXPIRY).secs(), ..self.holder.clone() };
        self.write(&serde_json::to_vec(&holder).map_err(malformed("the lock"))?)
    }

    fn write(&self, text: &[u8]) -> Result<()> {
        let mut opened = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = opened
            .rewind()
            .and_then(|()| opened.write_all(text))
            .and_then(|()| opened.set_len(text.len() as u64));
        written.map_err(file("write", &self.path))
    }
}

impl Deref for Locked<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Another host would otherwise wait for the expiry. The file lock itself ends with the file.
        let _ = self.write(b"");
    }
}

fn busy(holder: &Holder) -> crate::error::Error {
    let Holder { work, host, pid, since, .. } = holder;
    fault(format!("the backups are in use: {work} by process {pid} on {host} since {since}"))
}

fn read(opened: &mut File) -> Option<Holder> {
    let mut text = String::new();
    opened.rewind().and_then(|()| opened.read_to_string(&mut text)).ok()?;
    serde_json::from_str(&text).ok()
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn only_one_has_the_store_and_a_dead_one_has_it_no_more() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(1000));
        let first = store.lock("create", &clock).unwrap();
        let error = store.lock("restore", &clock).err().unwrap().to_string();
        assert!(error.contains("create by process"), "{error}");
        assert_eq!(store.holder(&clock).unwrap().unwrap().work, "create");
        drop(first);
        assert_eq!(store.holder(&clock).unwrap(), None);
        drop(store.lock("restore", &clock).unwrap());
    }

    #[test]
    fn a_holder_on_another_host_counts_until_it_expires() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(1000));
        let holder =
            Holder { work: "create".into(), host: "elsewhere".into(), pid: 1, since: 900, expires: 1500 };
        std::fs::write(folder.path().join("lock"), serde_json::to_vec(&holder).unwrap()).unwrap();
        assert!(store.lock("create", &clock).is_err());
        assert_eq!(store.holder(&clock).unwrap(), Some(holder));
        clock.set(Timestamp::from_secs(1500));
        assert!(store.lock("create", &clock).is_ok());
    }
}
