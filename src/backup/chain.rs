//! A backup with all that it builds on, opened for reading.
//!
//! Owns: that files are read as they were before they were encrypted, and that nothing is read of a
//! chain that is not whole. What says where rows and files are (the manifest, the ranges, the index,
//! the settings) is compared with its checksum here; rows and files themselves are hashed where they
//! are read. In an encrypted backup the checksums that count are the sealed ones, so whoever can write
//! to the store and has no key can take a backup away, but not change or exchange any of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::age::{EXTENSION, Opened};
use super::config::DOCUMENT;
use super::fault::{fault, file, malformed};
use super::files::INDEX;
use super::format::{
    CONTENTS, Component, Contents, DatabasePart, FilesPart, LineReader, MANIFEST, Manifest, RANGES, SUMS,
    Sum, parse_sums,
};
use super::id::BackupId;
use super::store::{Store, hex};
use crate::error::{Error, Result};

/// A backup that can be read.
#[derive(Clone, Debug)]
pub struct Chain {
    store: Store,
    manifest: Manifest,
}

impl Chain {
    /// Opens the backup `id`.
    ///
    /// # Errors
    /// There is none, one that it builds on is missing, it is encrypted and no key of the store opens
    /// it, or what says what is in it was changed.
    pub fn open(store: &Store, id: &BackupId) -> Result<Self> {
        let mut chain = Self { store: store.clone(), manifest: store.manifest(id)? };
        let encrypted = chain.is_encrypted();
        for member in chain.manifest.needs() {
            let found = store
                .manifest(&member)
                .map_err(|error| error.context(format!("backup {id} builds on it")))?;
            if found.encryption.is_some() != encrypted {
                return Err(fault(format!("backup {id} is encrypted in part only: {member} is not like it")));
            }
            chain.check(&member).map_err(|error| error.context(format!("backup {member}")))?;
        }
        if encrypted {
            chain.fill().map_err(|error| error.context(format!("backup {id}")))?;
        }
        let missing = chain.manifest.components.iter().find(|component| match component {
            Component::Database => chain.manifest.database.is_none(),
            Component::Files => chain.manifest.files.is_none(),
            Component::Config => false,
        });
        match missing {
            Some(component) => {
                Err(fault(format!("the manifest of backup {id} lacks its {}", component.name())))
            }
            None => Ok(chain),
        }
    }

    /// What it is, with everything in it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its id.
    pub fn id(&self) -> &BackupId {
        &self.manifest.id
    }

    /// Its database component.
    pub fn database(&self) -> Option<&DatabasePart> {
        self.manifest.database.as_ref()
    }

    /// Its files component.
    pub fn files(&self) -> Option<&FilesPart> {
        self.manifest.files.as_ref()
    }

    /// The file `path` of `owner`, a backup of the chain.
    pub(crate) fn file(&self, owner: &BackupId, path: &str) -> Result<Stored> {
        let folder = self.store.folder(owner);
        if !self.is_encrypted() {
            let path = folder.join(path);
            return Ok(Stored::Clear(File::open(&path).map_err(file("open", &path))?));
        }
        let path = folder.join(format!("{path}{EXTENSION}"));
        let opened = File::open(&path).map_err(file("open", &path))?;
        let keys = self.store.keys().map(|keys| keys.identities.as_slice()).unwrap_or_default();
        if keys.is_empty() {
            return Err(fault("it is encrypted, and encryption_key names no identity to open it with"));
        }
        let opened = Opened::new(opened, keys).map_err(|error| error.context(path.display().to_string()))?;
        Ok(Stored::Sealed(Box::new(opened)))
    }

    /// The list `path` of this backup.
    pub(crate) fn lines<T>(&self, path: &str) -> Result<LineReader<T>> {
        let name = format!("{}/{path}", self.id());
        Ok(LineReader::new(self.file(self.id(), path)?, name))
    }

    /// The document `path` of this backup.
    pub(crate) fn document<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        serde_json::from_slice(&self.read(self.id(), path)?).map_err(malformed(path))
    }

    /// The checksums of `member`, which nobody changed who has no key.
    ///
    /// # Errors
    /// They are not those that were sealed.
    pub(crate) fn sums(&self, member: &BackupId) -> Result<Vec<Sum>> {
        let mut sums = self.store.sums(member)?;
        if self.is_encrypted() {
            let sealed = self.read(member, SUMS)?;
            let copy = format!("{SUMS}{EXTENSION}");
            sums.retain(|sum| sum.path != copy);
            if sums != parse_sums(&String::from_utf8_lossy(&sealed))? {
                return Err(fault("its checksums are not those that were sealed"));
            }
        }
        Ok(sums)
    }

    fn is_encrypted(&self) -> bool {
        self.manifest.encryption.is_some()
    }

    /// Compares what leads to everything else with its checksum.
    fn check(&self, member: &BackupId) -> Result<()> {
        let sums = self.sums(member)?;
        let leads = |path: &str| {
            let plain = path.strip_suffix(EXTENSION).unwrap_or(path);
            path == MANIFEST || (member == self.id() && is_index(plain))
        };
        if !sums.iter().any(|sum| sum.path == MANIFEST) {
            return Err(fault("its checksums do not name the manifest"));
        }
        for sum in sums.iter().filter(|sum| leads(&sum.path)) {
            let (found, _) = sha256(&self.store.folder(member).join(&sum.path))?;
            if found != sum.sha256 {
                return Err(fault(format!("{} is not what was written", sum.path)));
            }
        }
        Ok(())
    }

    /// Takes what is sealed into the manifest.
    fn fill(&mut self) -> Result<()> {
        let Contents { database, files } = self.document(CONTENTS)?;
        self.manifest.database = database;
        self.manifest.files = files;
        Ok(())
    }

    fn read(&self, member: &BackupId, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.file(member, path)?.read_to_end(&mut bytes);
        read.map_err(file("read", Path::new(path)))?;
        Ok(bytes)
    }
}

/// Whether the file `path` says what others must be.
fn is_index(path: &str) -> bool {
    matches!(path, CONTENTS | INDEX | DOCUMENT) || path.ends_with(RANGES)
}

/// A file of a backup, read as it was before it was encrypted.
pub(crate) enum Stored {
    Clear(File),
    Sealed(Box<Opened<File>>),
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(file) => file.read(buffer),
            Self::Sealed(opened) => opened.read(buffer),
        }
    }
}

impl Seek for Stored {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Clear(file) => file.seek(to),
            Self::Sealed(opened) => opened.seek(to),
        }
    }
}

/// The SHA-256 of the file at `path`, and its length.
pub(crate) fn sha256(path: &Path) -> Result<(String, u64), Error> {
    let mut opened = File::open(path).map_err(file("open", path))?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 128 * 1024];
    let mut bytes = 0;
    loop {
        let read = opened.read(&mut block).map_err(file("read", path))?;
        let Some(part) = block.get(..read).filter(|part| !part.is_empty()) else { break };
        digest.update(part);
        bytes += read as u64;
    }
    Ok((hex(&digest.finalize()), bytes))
}
