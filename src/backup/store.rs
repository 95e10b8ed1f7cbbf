//! The folder that holds the backups.
//!
//! Invariant: a folder `<id>` is a whole backup. It is written as `<id>.partial`, every file is
//! synced and summed, the manifest and the sums come last, and only then is it renamed. What a
//! crash leaves is a `.partial`, which no verb takes for a backup and the next run removes.
//!
//! Everything is private to the owner (0700, 0600): a backup holds the whole site. With keys, what is
//! written is encrypted on its way to the disk; nothing of it is ever there in the clear.

use std::cmp::Reverse;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::age::{EXTENSION, Keys, Recipient, Sealer};
use super::fault::{fault, file, malformed};
use super::format::{FORMAT, MANIFEST, Manifest, SUMS, Sum, parse_sums, render_sums};
use super::id::BackupId;
use crate::error::Result;

const PARTIAL: &str = ".partial";

/// The folder of backups.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    keys: Option<Keys>,
}

impl Store {
    /// The store in `root`, which is created with mode 0700 when it is missing.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if !root.is_absolute() {
            return Err(crate::error::Error::invalid("backup_dir", "expected an absolute path"));
        }
        create_folder(&root)?;
        Ok(Self { root, keys: None })
    }

    /// The store whose new backups are encrypted with `keys`, which also open those that are.
    #[must_use]
    pub fn with_keys(self, keys: Option<Keys>) -> Self {
        Self { keys, ..self }
    }

    /// Its keys.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the backup `id`.
    pub fn folder(&self, id: &BackupId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Ids of whole backups, oldest first as far as names tell.
    pub fn ids(&self) -> Result<Vec<BackupId>> {
        let mut ids = Vec::new();
        for name in self.names()? {
            if let Ok(id) = BackupId::parse(&name)
                && self.folder(&id).join(MANIFEST).is_file()
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// The manifest of `id`, or `None` when there is no such backup.
    pub fn find(&self, id: &BackupId) -> Result<Option<Manifest>> {
        let path = self.folder(id).join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file("read", &path)(error)),
        };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(malformed(path.display()))?;
        if manifest.format > FORMAT {
            let message =
                format!("backup {id} has format {}, this version reads up to {FORMAT}", manifest.format);
            return Err(fault(message));
        }
        if manifest.id != *id {
            return Err(fault(format!("the manifest of backup {id} names {}", manifest.id)));
        }
        Ok(Some(manifest))
    }

    /// The manifest of `id`, which must exist.
    pub fn manifest(&self, id: &BackupId) -> Result<Manifest> {
        self.find(id)?.ok_or_else(|| fault(format!("there is no backup {id}")))
    }

    /// Every backup, newest first. One whose manifest cannot be read is left out.
    pub fn manifests(&self) -> Result<Vec<Manifest>> {
        let mut manifests: Vec<Manifest> =
            self.ids()?.iter().filter_map(|id| self.find(id).ok().flatten()).collect();
        manifests.sort_by_key(|manifest| Reverse(manifest.sequence));
        Ok(manifests)
    }

    /// The checksums of `id`.
    pub fn sums(&self, id: &BackupId) -> Result<Vec<Sum>> {
        let path = self.folder(id).join(SUMS);
        parse_sums(&fs::read_to_string(&path).map_err(file("read", &path))?)
    }

    /// Whether something has the name of `id`.
    pub(crate) fn is_taken(&self, id: &BackupId) -> bool {
        self.folder(id).exists() || self.partial(id).exists()
    }

    /// Begins the backup `id`: an empty folder that is not a backup yet.
    pub(crate) fn begin(&self, id: &BackupId) -> Result<Draft> {
        if self.is_taken(id) {
            return Err(fault(format!("there is a backup {id} already")));
        }
        let folder = self.partial(id);
        create_folder(&folder)?;
        let recipients = self.keys.as_ref().map(|keys| keys.recipients.clone()).unwrap_or_default();
        Ok(Draft { target: self.folder(id), folder, sums: Vec::new(), recipients })
    }

    /// Begins to take in the backup `id` from elsewhere: its files are written as they come.
    pub(crate) fn receive(&self, id: &BackupId) -> Result<Draft> {
        if self.is_taken(id) {
            return Err(fault(format!("there is a backup {id} already")));
        }
        let folder = self.partial(id);
        create_folder(&folder)?;
        Ok(Draft { target: self.folder(id), folder, sums: Vec::new(), recipients: Vec::new() })
    }

    fn partial(&self, id: &BackupId) -> PathBuf {
        self.root.join(format!("{id}{PARTIAL}"))
    }

    /// Removes backups that were never finished. Only for the holder of the store's lock.
    pub(crate) fn remove_partial(&self) -> Result<()> {
        for name in self.names()? {
            if let Some(id) = name.strip_suffix(PARTIAL)
                && BackupId::parse(id).is_ok()
            {
                let path = self.root.join(&name);
                fs::remove_dir_all(&path).map_err(file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes the backup `id`. It stops being a backup before its data goes, so a crash here
    /// leaves a `.partial`.
    pub(crate) fn remove(&self, id: &BackupId) -> Result<()> {
        let (from, to) = (self.folder(id), self.partial(id));
        fs::rename(&from, &to).map_err(file("rename", &from))?;
        sync_folder(&self.root)?;
        fs::remove_dir_all(&to).map_err(file("remove", &to))
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.root).map_err(file("list", &self.root))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(file("list", &self.root))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }
}

/// A backup that is being written. Dropping it without [`Draft::commit`] removes it.
pub(crate) struct Draft {
    folder: PathBuf,
    target: PathBuf,
    sums: Vec<Sum>,
    /// Whom it is encrypted for; nobody when it is not.
    recipients: Vec<Recipient>,
}

impl Draft {
    /// A new file at `path` inside the backup, encrypted if the backup is. Its sum counts only after
    /// [`Draft::keep`].
    pub fn create(&self, path: &str) -> Result<SummedFile> {
        SummedFile::create(&self.folder, path, &self.recipients)
    }

    /// Whether the backup is encrypted.
    pub fn is_encrypted(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Bytes of the files that were kept so far.
    pub fn size(&self) -> u64 {
        self.sums
            .iter()
            .filter_map(|sum| fs::metadata(self.folder.join(&sum.path)).ok())
            .map(|file| file.len())
            .sum()
    }

    /// Takes the finished file `sum` into the checksums.
    pub fn keep(&mut self, sum: Sum) {
        self.sums.push(sum);
    }

    /// Writes the small file `path` whole.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut new = self.create(path)?;
        new.write_all(bytes).map_err(file("write", Path::new(path)))?;
        self.keep(new.finish()?);
        Ok(())
    }

    /// As [`Draft::write`], and never encrypted: for what everybody may know.
    pub fn write_clear(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut new = SummedFile::create(&self.folder, path, &[])?;
        new.write_all(bytes).map_err(file("write", Path::new(path)))?;
        self.keep(new.finish()?);
        Ok(())
    }

    /// Forgets everything written below `folder`.
    pub fn clear(&mut self, folder: &str) -> Result<()> {
        let path = self.folder.join(folder);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(file("remove", &path))?;
        }
        self.sums.retain(|sum| !sum.path.starts_with(&format!("{folder}/")));
        Ok(())
    }

    /// Writes the checksums and gives the folder its final name: from here on it is a backup.
    pub fn commit(mut self) -> Result<()> {
        self.sums.sort_by(|a, b| a.path.cmp(&b.path));
        if self.is_encrypted() {
            // What cannot be written without a recipient, to hold the sums below against.
            self.write(SUMS, render_sums(&self.sums).as_bytes())?;
        }
        let text = render_sums(&self.sums);
        self.write_clear(SUMS, text.as_bytes())?;
        sync_tree(&self.folder)?;
        fs::rename(&self.folder, &self.target).map_err(file("rename", &self.folder))?;
        sync_folder(self.target.parent().unwrap_or(&self.target))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a commit there is nothing under this name. A failure to remove leaves a
        // `.partial`, which the next run removes.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A new file that knows its SHA-256 when it is finished.
pub(crate) struct SummedFile {
    path: String,
    body: Body,
    length: u64,
}

enum Body {
    Clear(Summed),
    Sealed(Box<Sealer<Summed>>),
}

impl SummedFile {
    fn create(folder: &Path, path: &str, recipients: &[Recipient]) -> Result<Self> {
        let path = if recipients.is_empty() { path.to_owned() } else { format!("{path}{EXTENSION}") };
        let full = folder.join(&path);
        if let Some(parent) = full.parent() {
            create_folder(parent)?;
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&full);
        let inner = BufWriter::new(opened.map_err(file("create", &full))?);
        let summed = Summed { inner, digest: Sha256::new() };
        let body = match recipients {
            [] => Body::Clear(summed),
            _ => Body::Sealed(Box::new(Sealer::new(summed, recipients)?)),
        };
        Ok(Self { path, body, length: 0 })
    }

    /// Bytes written, before they were encrypted.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Syncs the file to disk and gives its sum.
    pub fn finish(self) -> Result<Sum> {
        let path = PathBuf::from(&self.path);
        let summed = match self.body {
            Body::Clear(summed) => summed,
            Body::Sealed(sealer) => sealer.finish().map_err(file("write", &path))?,
        };
        let inner = summed.inner.into_inner().map_err(|error| file("write", &path)(error.into_error()))?;
        inner.sync_data().map_err(file("sync", &path))?;
        Ok(Sum { path: self.path, sha256: hex(&summed.digest.finalize()) })
    }
}

impl Write for SummedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.body {
            Body::Clear(summed) => summed.write(bytes)?,
            Body::Sealed(sealer) => sealer.write(bytes)?,
        };
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.body {
            Body::Clear(summed) => summed.flush(),
            Body::Sealed(sealer) => sealer.flush(),
        }
    }
}

/// What goes to the disk, and its sum.
struct Summed {
    inner: BufWriter<File>,
    digest: Sha256,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Replaces the file at `path`: after a crash it has the old contents or the new.
pub(crate) fn write_atomically(path: &Path, contents: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let mut opened = opened.map_err(file("create", &temporary))?;
    opened.write_all(contents).and_then(|()| opened.sync_all()).map_err(file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(file("rename", &temporary))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// `bytes` in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Creates `path` and its parents with mode 0700; an existing folder is left as it is.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(file("create", path))
}

/// Makes renames in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(file("sync", folder))
}

fn sync_tree(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(file("list", folder))? {
        let path = entry.map_err(file("list", folder))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    sync_folder(folder)
}
