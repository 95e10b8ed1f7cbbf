//! Copies of backups on other machines: what a store of copies must do, and what is done with one.
//!
//! A copy has the layout of the folder it was made from (`<id>/<file>`), so whatever lists and fetches
//! files there is enough to bring a site back by hand. Invariant: a copy is whole when its manifest is
//! there. The manifest goes up last and comes down first, so neither an upload nor a deletion that
//! died half way is ever taken for a backup.
//!
//! Nothing that a store says is believed: keys are checked like every name from outside
//! ([`Key::parse`]), sizes are limits, and every byte that comes back is compared with its checksum.
//! What this host uploaded it also knows by the checksum of the whole ([`Ledger`]).

mod copy;
mod delete;
mod download;
mod folder;
mod ledger;
mod s3;
mod settings;

use std::fmt;
use std::io::Write;
use std::path::Path;

pub(crate) use copy::is_copied;
pub use copy::{Copied, Copier, is_copying_due};
pub use delete::{Deleted, delete, retain};
pub use download::{Downloader, is_here};
pub use folder::FolderStore;
pub use ledger::{Held, Ledger, Summary, ledgers};
pub use s3::{Credentials, S3Settings, S3Store};
pub use settings::{Place, places};

use super::fault::fault;
use super::format::{MANIFEST, is_inside};
use super::id::BackupId;
use crate::error::Result;

/// The most objects that a store may list: a thousand backups of a thousand tables.
pub const MOST_OBJECTS: usize = 1_000_000;

/// Where an object is: a backup's id and the path of a file in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    id: BackupId,
    path: String,
}

impl Key {
    /// The file `path` of the backup `id`.
    ///
    /// # Errors
    /// The path leaves the backup's folder.
    pub fn new(id: &BackupId, path: &str) -> Result<Self> {
        if is_inside(path) {
            return Ok(Self { id: id.clone(), path: path.to_owned() });
        }
        Err(fault(format!("backup {id} names a file outside of it")))
    }

    /// The manifest of the backup `id`.
    pub fn manifest(id: &BackupId) -> Self {
        Self { id: id.clone(), path: MANIFEST.to_owned() }
    }

    /// `text` as a key; `None` for whatever else lies in the store.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, path) = text.split_once('/')?;
        let id = BackupId::parse(id).ok()?;
        is_inside(path).then(|| Self { id, path: path.to_owned() })
    }

    /// The backup.
    pub fn id(&self) -> &BackupId {
        &self.id
    }

    /// The file in it.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.path)
    }
}

/// A file on its way to a store, and what its bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// The file.
    pub source: &'a Path,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of its bytes in lower-case hexadecimal.
    pub sha256: &'a str,
}

/// Where copies are kept.
pub trait RemoteStore: Send + Sync {
    /// What people call it, for lists and messages. Never has a secret in it, and two stores that
    /// are not the same never share it.
    fn name(&self) -> &str;

    /// Stores a file under `key`, whole or not at all, in place of what was there. When it returns,
    /// the store has been asked, or was read back, and has these very bytes.
    ///
    /// # Errors
    /// The store cannot be reached or refuses, or the bytes are not those of `upload`.
    fn put(&self, key: &Key, upload: Upload<'_>) -> Result<()>;

    /// Writes the object into `output`; false when there is none. Whether it is what it should be is
    /// for the caller to see.
    ///
    /// # Errors
    /// The store cannot be reached or refuses, or the object has more than `most` bytes; `output`
    /// then has a part.
    fn get(&self, key: &Key, output: &mut dyn Write, most: u64) -> Result<bool>;

    /// Every object and its size, in no order. Of `id` alone when it is given.
    ///
    /// # Errors
    /// The store cannot be reached or refuses.
    fn list(&self, id: Option<&BackupId>) -> Result<Vec<(Key, u64)>>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// The store cannot be reached or refuses.
    fn delete(&self, key: &Key) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_leaves_its_backup() {
        let key = Key::parse("20260101-000000-full/db/000-pre.sql.gz").unwrap();
        assert_eq!((key.id().as_str(), key.path()), ("20260101-000000-full", "db/000-pre.sql.gz"));
        for text in ["x", "x/", "/x", "../x/y", "x/../y", "x/./y", "x//y", "X/y", "x/y\0", "x/a/../../../b"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
        assert!(Key::new(key.id(), "../other/manifest.json").is_err());
    }
}
