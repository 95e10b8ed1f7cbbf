//! Where a document is kept between two ticks.
//!
//! Owns: two places, and that of both the newer copy counts. *Shared memory* is quick and survives
//! every worker; a document lies there in pieces under one of two sets of keys, and a head that names
//! the set is swung last, so a writer that dies half way leaves the old document. A *file* (0600, in a
//! folder of mode 0700) survives a reload of php-fpm as well, and is where a command line with a
//! segment of its own finds the same state; it is replaced by renaming.
//! Refuses to do: keep writers apart; the caller holds a lease.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::shm::{GROUPS, Key, PAYLOAD_BYTES, Record, Segment};

/// No document of ours is larger.
const MOST_BYTES: usize = 1 << 20;

/// A place for one document.
pub trait Shelf {
    /// The document, or nothing when none was stored or it cannot be read whole.
    fn load(&self) -> Option<Vec<u8>>;
    /// Replaces the document.
    ///
    /// # Errors
    /// When there is no room or no permission; the old document stands.
    fn store(&self, document: &[u8]) -> Result<()>;
}

/// A document in the segment's records.
pub struct InSegment {
    segment: &'static Segment,
    site: Vec<u8>,
    name: &'static str,
}

/// Our records share a group of the table; its count says nothing we ask.
const GROUP: u16 = GROUPS as u16 - 1;

/// Each piece begins with the document's mark, so that it is nobody else's record.
const PIECE: usize = PAYLOAD_BYTES - 8;

struct Head {
    set: u8,
    length: usize,
    checksum: u64,
}

impl InSegment {
    /// The document `name` of `site`.
    pub fn new(segment: &'static Segment, site: &[u8], name: &'static str) -> Self {
        Self { segment, site: site.to_owned(), name }
    }

    fn key(&self, part: &[u8]) -> Key {
        self.segment.hasher().key_of(&[b"alerts", &self.site, self.name.as_bytes(), part])
    }

    fn piece_key(&self, set: u8, index: usize) -> Key {
        self.key(&[&[set][..], &(index as u64).to_le_bytes()].concat())
    }

    fn put(&self, key: Key, bytes: &[u8]) -> Result<()> {
        let mark = self.key(b"mark").bits() as u64;
        let payload = [&mark.to_le_bytes()[..], bytes].concat();
        self.segment.records()?.put(&Record::new(key, GROUP, None, &payload)?, 0)?;
        Ok(())
    }

    fn get(&self, key: Key) -> Option<Vec<u8>> {
        let record = self.segment.records().ok()?.get(key, 0)?;
        record.payload().get(8..).map(<[u8]>::to_vec)
    }

    fn head(&self) -> Option<Head> {
        let bytes = self.get(self.key(b"head"))?;
        let (set, rest) = bytes.split_first()?;
        let (length, checksum) = rest.split_at_checked(8)?;
        Some(Head {
            set: *set,
            length: usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?,
            checksum: u64::from_le_bytes(checksum.try_into().ok()?),
        })
    }
}

impl Shelf for InSegment {
    fn load(&self) -> Option<Vec<u8>> {
        let head = self.head().filter(|head| head.length <= MOST_BYTES)?;
        let mut document = Vec::with_capacity(head.length);
        for index in 0..head.length.div_ceil(PIECE) {
            document.extend(self.get(self.piece_key(head.set, index))?);
        }
        (document.len() == head.length && xxh3_64(&document) == head.checksum).then_some(document)
    }

    fn store(&self, document: &[u8]) -> Result<()> {
        let before = self.head();
        let set = before.as_ref().map_or(0, |head| head.set ^ 1);
        let stale = self.head_of_other_set(set);
        for (index, piece) in document.chunks(PIECE).enumerate() {
            self.put(self.piece_key(set, index), piece)?;
        }
        let length = (document.len() as u64).to_le_bytes();
        self.put(self.key(b"head"), &[&[set][..], &length, &xxh3_64(document).to_le_bytes()].concat())?;
        self.put(self.key(&[b'n', set]), &length)?;
        // What an earlier, longer document left of this set of pieces.
        let table = self.segment.records()?;
        for index in document.len().div_ceil(PIECE)..stale.div_ceil(PIECE) {
            table.remove(self.piece_key(set, index))?;
        }
        Ok(())
    }
}

impl InSegment {
    /// How long the document was that lies in pieces of `set` now.
    fn head_of_other_set(&self, set: u8) -> usize {
        let length = || Some(u64::from_le_bytes(self.get(self.key(&[b'n', set]))?.try_into().ok()?));
        length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(MOST_BYTES)
    }
}

/// A document in a file.
pub struct InFile {
    path: PathBuf,
}

impl InFile {
    /// The file at `path`, whose folder [`folder`] has made.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Shelf for InFile {
    fn load(&self) -> Option<Vec<u8>> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&self.path).ok()?;
        let mut document = Vec::new();
        file.take(MOST_BYTES as u64 + 1).read_to_end(&mut document).ok()?;
        (document.len() <= MOST_BYTES).then_some(document)
    }

    fn store(&self, document: &[u8]) -> Result<()> {
        let wrong = |error: std::io::Error| trouble(&self.path, &error);
        let next = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let written = self.write(&next, document).and_then(|()| fs::rename(&next, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&next);
        }
        written.map_err(wrong)
    }
}

impl InFile {
    fn write(&self, path: &Path, document: &[u8]) -> std::io::Result<()> {
        let _ = fs::remove_file(path);
        let mut options = OpenOptions::new();
        let mut file: File =
            options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)?;
        file.write_all(document)?;
        give_to_owner_of_folder(path)
    }
}

/// Makes the folder of the files, for its owner alone.
///
/// # Errors
/// [`Kind::Config`] when it cannot be made, is a link, belongs to somebody else, or others may write in it.
pub fn folder(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(trouble(path, &error)),
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(|error| trouble(path, &error))?;
    let me = rustix::process::geteuid().as_raw();
    match found.is_dir() && (found.uid() == me || me == 0) && found.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Config,
            format!(
                "slbp.state_dir {}: expected a folder of mode 0700 that belongs to PHP's user",
                path.display()
            ),
        )),
    }
}

fn trouble(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Config, format!("{}: {error}", path.display()))
}

/// A document on every shelf there is.
pub struct Kept {
    shelves: Vec<Box<dyn Shelf>>,
}

/// What tells the newer of two copies.
pub trait Dated: Serialize + DeserializeOwned + Default {
    /// Grows with every change.
    fn generation(&self) -> u64;
}

impl Dated for super::book::Book {
    fn generation(&self) -> u64 {
        self.generation
    }
}

impl Dated for super::silence::Silences {
    fn generation(&self) -> u64 {
        self.generation
    }
}

impl Kept {
    /// On these shelves.
    pub fn on(shelves: Vec<Box<dyn Shelf>>) -> Self {
        Self { shelves }
    }

    /// The newest copy, or an empty document. One that is not of this version counts as none.
    pub fn load<T: Dated>(&self) -> T {
        let copies = self.shelves.iter().filter_map(|shelf| serde_json::from_slice::<T>(&shelf.load()?).ok());
        copies.max_by_key(Dated::generation).unwrap_or_default()
    }

    /// Stores `document` on every shelf.
    ///
    /// # Errors
    /// When no shelf took it. One that did is enough.
    pub fn store<T: Dated>(&self, document: &T) -> Result<()> {
        let bytes = serde_json::to_vec(document)
            .map_err(|error| Error::new(Kind::SharedMemory, error.to_string()))?;
        // It could not be read back, and whoever is forgotten is told again.
        if bytes.len() > MOST_BYTES {
            return Err(Error::new(
                Kind::SharedMemory,
                "there is more to remember of alerts than there is room for",
            ));
        }
        let mut outcome = Err(Error::new(Kind::SharedMemory, "alerts have no place to be kept"));
        for shelf in &self.shelves {
            match (shelf.store(&bytes), &outcome) {
                (Ok(()), _) => outcome = Ok(()),
                (Err(error), Err(_)) => outcome = Err(error),
                (Err(_), Ok(())) => {}
            }
        }
        outcome
    }
}

/// Whose turn it is among the processes of this machine that have segments of their own.
pub enum Claim {
    /// The caller's, for as long as it keeps the file.
    Mine(File),
    /// Another process is at work.
    Theirs,
    /// Nobody can say, because there can be no lock: the caller goes on as if it were alone.
    Unknown,
}

/// Claims the files for this process, with a lock on the file at `path`.
///
/// The lock ends with its holder. A holder that was stopped is not waited for longer than `patience`.
pub fn claim(path: &Path, now: Timestamp, patience: std::time::Duration) -> Claim {
    let mut options = OpenOptions::new();
    let options = options.create(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let Ok(mut file) = options.open(path) else { return Claim::Unknown };
    if give_to_owner_of_folder(path).is_err() {
        return Claim::Unknown;
    }
    if file.try_lock().is_ok() {
        // The time of this write is when the lock was taken.
        let _ = file.set_len(0).and_then(|()| file.write_all(b"\n"));
        return Claim::Mine(file);
    }
    let taken = file.metadata().ok().and_then(|data| u64::try_from(data.mtime()).ok());
    let is_stuck = taken.is_some_and(|taken| now.since(Timestamp::from_secs(taken)) > patience);
    if is_stuck { Claim::Unknown } else { Claim::Theirs }
}

/// What root makes is the folder's owner's: a cron job of root's must not take a file from php-fpm.
fn give_to_owner_of_folder(path: &Path) -> std::io::Result<()> {
    let me = rustix::process::geteuid().as_raw();
    match path.parent().and_then(|folder| fs::metadata(folder).ok()) {
        Some(owner) if me == 0 && owner.uid() != me => chown(path, Some(owner.uid()), Some(owner.gid())),
        _ => Ok(()),
    }
}
