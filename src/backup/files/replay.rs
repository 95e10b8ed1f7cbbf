//! Reading the files of a backup back, from all the archives that have a part of them.
//!
//! The index of the wanted backup says which backup stores each entry. Every archive of the chain
//! is read once, from its beginning, side by side with the index. An entry of an archive that the
//! index does not name is old or foreign: it is never handed on, so a crafted archive cannot bring
//! in a path, a device or a hard link.

use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::super::chain::{Chain, Stored};
use super::super::fault::{fault, file};
use super::super::format::{ArchivePath, Entry, EntryKind, EntryReader};
use super::super::id::BackupId;
use super::{ARCHIVE, INDEX};
use crate::error::Result;

/// Calls `visit` with every entry of the backup and its contents (empty but for files), those
/// of the oldest archive first. The bytes were compared with the index when `visit` returns and
/// read them all.
pub(crate) fn replay(
    chain: &Chain,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    for owner in chain.files().iter().flat_map(|part| &part.lineage.chain) {
        let mut wanted = Wanted { entries: chain.lines(INDEX)?, owner };
        let Some(first) = wanted.next()? else { continue };
        replay_archive(chain.file(owner, ARCHIVE)?, first, &mut wanted, visit)?;
    }
    Ok(())
}

/// The entries of the index that one backup stores.
struct Wanted<'a> {
    entries: EntryReader,
    owner: &'a BackupId,
}

impl Wanted<'_> {
    fn next(&mut self) -> Result<Option<Entry>> {
        for entry in self.entries.by_ref() {
            let entry = entry?;
            if !entry.path.is_inside() {
                return Err(fault("the index of files names a path outside of them"));
            }
            if entry.backup == *self.owner {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

fn replay_archive(
    stored: Stored,
    first: Entry,
    wanted: &mut Wanted<'_>,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let path = &Path::new(wanted.owner.as_str()).join(ARCHIVE);
    let mut archive = Archive::new(MultiGzDecoder::new(stored));
    let mut next = Some(first);
    for member in archive.entries().map_err(file("read", path))? {
        let Some(entry) = &next else { break };
        let mut member = member.map_err(file("read", path))?;
        let name = member.path_bytes();
        let name = name.strip_suffix(b"/").unwrap_or(&name);
        if ArchivePath::new(name) != entry.path {
            continue;
        }
        if !matches(member.header().entry_type(), &entry.kind) {
            return Err(fault(format!(
                "{} is not what the index says in {}",
                display(entry),
                path.display()
            )));
        }
        let mut checked = Checked { inner: &mut member, hasher: blake3::Hasher::new(), bytes: 0 };
        visit(entry, &mut checked)?;
        checked.compare(entry).map_err(file("read", path))?;
        next = wanted.next()?;
    }
    match next {
        None => Ok(()),
        Some(entry) => Err(fault(format!("{} is missing in {}", display(&entry), path.display()))),
    }
}

fn matches(found: EntryType, kind: &EntryKind) -> bool {
    match kind {
        EntryKind::File { .. } => found.is_file(),
        EntryKind::Folder => found.is_dir(),
        EntryKind::Link { .. } => found.is_symlink(),
    }
}

fn display(entry: &Entry) -> String {
    String::from_utf8_lossy(entry.path.as_bytes()).into_owned()
}

/// A reader that knows what it read.
struct Checked<'a, R> {
    inner: &'a mut R,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<R: Read> Checked<'_, R> {
    fn compare(self, entry: &Entry) -> io::Result<()> {
        let EntryKind::File { size, hash, .. } = &entry.kind else { return Ok(()) };
        if self.bytes == *size && self.hasher.finalize() == *hash {
            return Ok(());
        }
        Err(io::Error::other(format!("{} is damaged", display(entry))))
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}
