//! How a folder differs from what a backup's index says.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::fault::file;
use super::super::format::{Entry, EntryKind, EntryReader};
use super::walk::{Found, Root, Source, Visitor, Walk};
use crate::error::Result;

/// How many entries differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// In the index, not in the folder.
    pub missing: u64,
    /// In the folder, not in the index.
    pub extra: u64,
    /// In both, and not the same.
    pub changed: u64,
    /// The same.
    pub same: u64,
}

impl Differences {
    /// Whether the folder is what the index says.
    pub fn is_none(&self) -> bool {
        self.missing + self.extra + self.changed == 0
    }
}

/// Compares `roots` with `index`: kind, size, permissions and time of change, and with
/// `contents` every byte of every file.
pub(crate) fn compare(
    index: EntryReader,
    source: &Source,
    closed: &[&Path],
    contents: bool,
) -> Result<Differences> {
    let mut comparer = Comparer { index, next: None, contents, differences: Differences::default() };
    comparer.advance()?;
    let walk = Walk::new(source, closed);
    for root in source.sorted_roots()? {
        if root.path.exists() {
            walk.run(root, &mut comparer)?;
        }
    }
    while comparer.next.take().is_some() {
        comparer.differences.missing += 1;
        comparer.advance()?;
    }
    Ok(comparer.differences)
}

struct Comparer {
    index: EntryReader,
    next: Option<Entry>,
    contents: bool,
    differences: Differences,
}

impl Comparer {
    fn advance(&mut self) -> Result<()> {
        self.next = self.index.next().transpose()?;
        Ok(())
    }

    fn is_same(&self, entry: &Entry, found: &Found) -> io::Result<bool> {
        let metadata = &found.metadata;
        let mode = entry.mode & 0o1777 == metadata.mode() & 0o1777;
        let time = entry.mtime
            == metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Ok(match &entry.kind {
            EntryKind::File { size, hash, .. } => {
                let alike = metadata.is_file() && *size == metadata.len() && mode && time;
                alike
                    && (!self.contents
                        || blake3::Hasher::new()
                            .update_reader(std::fs::File::open(&found.place)?)?
                            .finalize()
                            == *hash)
            }
            // A folder's time changes with what is put into it.
            EntryKind::Folder => metadata.is_dir() && mode,
            EntryKind::Link { target } => {
                metadata.is_symlink()
                    && std::fs::read_link(&found.place)?.as_os_str().as_bytes() == target.as_bytes()
            }
        })
    }
}

impl Visitor for Comparer {
    fn found(&mut self, found: Found) -> Result<()> {
        while self.next.as_ref().is_some_and(|entry| entry.path < found.path) {
            self.differences.missing += 1;
            self.advance()?;
        }
        match self.next.take_if(|entry| entry.path == found.path) {
            None => self.differences.extra += 1,
            Some(entry) => {
                let same = self.is_same(&entry, &found).map_err(file("compare", &found.place))?;
                self.differences.same += u64::from(same);
                self.differences.changed += u64::from(!same);
                self.advance()?;
            }
        }
        Ok(())
    }

    fn unreadable(&mut self, _place: &Path) {
        self.differences.changed += 1;
    }
}

/// The roots of a backup as they lie below another folder.
pub(crate) fn relocated(roots: &[Root], folder: &Path) -> Vec<Root> {
    roots.iter().map(|root| Root { name: root.name.clone(), path: folder.join(&root.name) }).collect()
}
