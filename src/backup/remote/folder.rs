//! Copies in a folder: another disk, or a share that the system has mounted (NFS, SMB, sshfs).
//!
//! The folder must be there already. One that a failed mount left missing is an outage; created
//! here it would fill the disk that the copies are to survive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::{Key, MOST_OBJECTS, RemoteStore, Upload};
use crate::backup::fault::{fault, file};
use crate::backup::id::BackupId;
use crate::backup::store::{create_folder, hex, sync_folder};
use crate::error::Result;

/// What a file that is not whole yet begins with; [`Key`]s of ours never do.
const UNFINISHED: &str = ".part-";

/// A folder of copies.
#[derive(Clone, Debug)]
pub struct FolderStore {
    root: PathBuf,
    name: String,
}

impl FolderStore {
    /// The copies in `root`, which is looked for at each call.
    pub fn new(root: PathBuf) -> Self {
        Self { name: root.display().to_string(), root }
    }

    /// Where `key` is. Nobody's symbolic link leads out of the folder.
    fn place(&self, key: &Key) -> Result<PathBuf> {
        let root = self.root.canonicalize().map_err(file("find", &self.root))?;
        let mut parent = root.clone();
        let parts: Vec<&str> = std::iter::once(key.id().as_str()).chain(key.path().split('/')).collect();
        let (last, folders) = parts.split_last().ok_or_else(|| fault("a key without a name"))?;
        for folder in folders {
            parent.push(folder);
            if fs::symlink_metadata(&parent).is_ok_and(|found| !found.is_dir()) {
                return Err(fault(format!("{} is not a folder", parent.display())));
            }
        }
        Ok(parent.join(last))
    }
}

impl RemoteStore for FolderStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn put(&self, key: &Key, upload: Upload<'_>) -> Result<()> {
        let target = self.place(key)?;
        let parent = target.parent().unwrap_or(&self.root).to_owned();
        create_folder(&parent)?;
        let stem = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let unfinished = parent.join(format!("{UNFINISHED}{}-{stem}", std::process::id()));
        let stored = write(upload.source, &unfinished).and_then(|()| check(&unfinished, upload));
        let stored =
            stored.and_then(|()| fs::rename(&unfinished, &target).map_err(file("rename", &unfinished)));
        if stored.is_err() {
            // What is left of it is no object, and the reason is told.
            let _ = fs::remove_file(&unfinished);
        }
        stored.and_then(|()| sync_folder(&parent))
    }

    fn get(&self, key: &Key, output: &mut dyn Write, most: u64) -> Result<bool> {
        let path = self.place(key)?;
        let opened = match open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(file("open", &path)(error)),
        };
        let size = opened.metadata().map_err(file("examine", &path))?.len();
        if size > most {
            return Err(fault(format!("{} has more than {most} bytes", path.display())));
        }
        io::copy(&mut opened.take(size), output).map_err(file("read", &path))?;
        Ok(true)
    }

    fn list(&self, id: Option<&BackupId>) -> Result<Vec<(Key, u64)>> {
        let mut found = Vec::new();
        let start = self.root.join(id.map_or("", BackupId::as_str));
        if id.is_some() && !start.exists() && self.root.is_dir() {
            return Ok(found);
        }
        walk(&self.root, &start, 0, &mut found)?;
        Ok(found)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        let path = self.place(key)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file("remove", &path)(error));
            }
            _ => {}
        }
        // Folders go with their last file; one that is not empty yet refuses.
        let above = path.ancestors().skip(1).take_while(|folder| **folder != *self.root);
        above.take(key.path().split('/').count()).all(|folder| fs::remove_dir(folder).is_ok());
        Ok(())
    }
}

fn walk(root: &Path, folder: &Path, depth: usize, found: &mut Vec<(Key, u64)>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(file("list", folder))? {
        let entry = entry.map_err(file("list", folder))?;
        // Does not follow symbolic links.
        let metadata = entry.metadata().map_err(file("examine", &entry.path()))?;
        if metadata.is_dir() && depth < 3 {
            walk(root, &entry.path(), depth + 1, found)?;
        } else if metadata.is_file() && !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let path = entry.path();
            let key = path.strip_prefix(root).ok().and_then(Path::to_str).and_then(Key::parse);
            found.extend(key.map(|key| (key, metadata.len())));
        }
        if found.len() > MOST_OBJECTS {
            return Err(fault(format!("{} has more than {MOST_OBJECTS} files", root.display())));
        }
    }
    Ok(())
}

fn write(source: &Path, target: &Path) -> Result<()> {
    let mut from = File::open(source).map_err(file("open", source))?;
    let created = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(target);
    let mut to = created.map_err(file("create", target))?;
    io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(file("write", target))
}

/// Reads back what was written.
fn check(path: &Path, upload: Upload<'_>) -> Result<()> {
    let mut opened = File::open(path).map_err(file("open", path))?;
    let mut digest = Sha256::new();
    let size = io::copy(&mut opened, &mut digest).map_err(file("read", path))?;
    if size != upload.size || hex(&digest.finalize()) != upload.sha256 {
        return Err(fault(format!("{} is not what it is said to be", upload.source.display())));
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match opened.metadata()?.is_file() {
        true => Ok(opened),
        false => Err(io::Error::other("it is no regular file")),
    }
}
