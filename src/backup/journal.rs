//! What a restore is about to do, on disk before it does it.
//!
//! A restore that dies is completed or undone by whoever comes next: before the phase
//! [`Phase::Committed`] everything is taken back, from then on everything is finished. So the site
//! is as it was or as in the backup, never between.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::database::Swap;
use super::fault::{file, malformed};
use super::files::Exchange;
use super::id::BackupId;
use super::store::{Store, write_atomically};
use crate::error::Result;

const NAME: &str = "restore.json";

/// How far a restore came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Loading beside the site; nothing of it has changed.
    Loading,
    /// Changing the site; all of it can be taken back.
    Swapping,
    /// The site is the backup's; what was replaced is being removed.
    Committed,
}

/// A restore in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub backup: BackupId,
    pub phase: Phase,
    /// The name of the database that is restored, when one is.
    pub database: Option<String>,
    pub swap: Swap,
    pub exchanges: Vec<Exchange>,
    /// Folders that hold what was unpacked and what was replaced.
    pub staging: Vec<PathBuf>,
    /// The maintenance file that this restore wrote.
    pub maintenance: Option<PathBuf>,
}

impl Journal {
    /// The restore that was going on in `store`.
    pub fn read(store: &Store) -> Result<Option<Self>> {
        let path = path(store);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(malformed(path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file("read", &path)(error)),
        }
    }

    /// Makes this the state on disk.
    pub fn write(&self, store: &Store) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(malformed(NAME))?;
        write_atomically(&path(store), &text)
    }

    /// Moves on to `phase`.
    pub fn enter(&mut self, store: &Store, phase: Phase) -> Result<()> {
        self.phase = phase;
        self.write(store)
    }

    /// Whether a restore was going on in `store` when somebody last wrote about it.
    pub fn exists(store: &Store) -> bool {
        path(store).exists()
    }

    /// Forgets the restore: it is over.
    pub fn remove(store: &Store) -> Result<()> {
        let path = path(store);
        fs::remove_file(&path).map_err(file("remove", &path))
    }
}

fn path(store: &Store) -> PathBuf {
    store.root().join(NAME)
}

/// Puts a site into WordPress' maintenance mode and out of it. WordPress runs the file, so it can
/// look itself whether the restore still holds the store's lock: the site opens when the process
/// is gone, however it went. Who may not read the lock goes by the time, and waits at most an hour.
pub(crate) mod maintenance {
    use super::{Path, Result, Store, file, fs};
    use crate::clock::Timestamp;

    /// How long the site may be closed when nobody opens it again, less WordPress' ten minutes.
    const AT_MOST_SECONDS: u64 = 3600;

    /// Closes the site; false when it is closed already.
    pub fn enter(path: &Path, store: &Store, now: Timestamp) -> Result<bool> {
        if path.exists() {
            return Ok(false);
        }
        let lock = store.lock_file().display().to_string().replace('\\', "\\\\").replace('\'', "\\'");
        let latest = now.secs() + AT_MOST_SECONDS;
        let text = format!(
            "<?php\n\
             // A restore puts the parts of this site into place. Without its process this file means nothing.\n\
             $slbp_lock = @fopen( '{lock}', 'r' );\n\
             $upgrading = ! $slbp_lock ? {latest} : ( flock( $slbp_lock, LOCK_SH | LOCK_NB ) ? 0 : time() );\n\
             $slbp_lock && fclose( $slbp_lock );\n"
        );
        fs::write(path, text).map_err(file("write", path))?;
        Ok(true)
    }

    /// Opens the site.
    pub fn leave(path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file("remove", path)(error)),
            _ => Ok(()),
        }
    }
}
