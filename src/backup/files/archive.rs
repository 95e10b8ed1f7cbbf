//! Writing the archive: everything for a complete backup, what differs from the parent otherwise.
//!
//! A file is the parent's when size, mtime, ctime and inode are: ctime cannot be forged, mtime can.
//! The walk and the parent's index have the same order, so both are read once, side by side, and a
//! site of any size takes constant memory.
//!
//! The length of a file is fixed when it is opened: exactly that many bytes go into the archive,
//! zeros if it shrank, and the entry is marked torn when it changed meanwhile. (tar's own `append`
//! writes whatever it reads: a file that grew made an archive that GNU tar refuses.)

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use blake3::{Hash, Hasher};
use tar::{Builder, EntryType, Header};

use super::super::chain::Chain;
use super::super::fault::file;
use super::super::format::{ArchivePath, Entry, EntryKind, EntryReader, FilesPart, LineWriter, Lineage};
use super::super::gzip::{GzipWriter, Pool};
use super::super::id::BackupId;
use super::super::progress::Progress;
use super::super::store::{Draft, Store, SummedFile};
use super::walk::{Found, Source, Visitor, Walk};
use super::{ARCHIVE, DELETED, INDEX};
use crate::error::Result;

/// How many unreadable files the manifest names.
const NAMED: usize = 100;

/// What to archive and what it builds on.
pub(crate) struct FileBackup<'a> {
    pub source: &'a Source,
    pub id: &'a BackupId,
    pub pool: &'a Pool,
    pub store: &'a Store,
    pub parent: Option<&'a Chain>,
    pub progress: &'a Progress<'a>,
}

/// Writes the files component into `draft`.
pub(crate) fn archive(work: &FileBackup<'_>, draft: &mut Draft) -> Result<FilesPart> {
    let roots = work.source.sorted_roots()?;
    let (roots_count, known) =
        (roots.len() as u64, work.parent.and_then(Chain::files).map_or(0, |part| part.bytes));
    work.progress.expect(known, roots_count);
    let walk = Walk::new(work.source, &[work.store.root()]);
    let mut archiver = Archiver::begin(work, draft)?;
    for root in roots {
        walk.run(root, &mut archiver)?;
        work.progress.part_done();
    }
    let (part, sums) = archiver.finish()?;
    sums.into_iter().for_each(|sum| draft.keep(sum));
    Ok(part)
}

struct Archiver<'a> {
    work: &'a FileBackup<'a>,
    tar: Builder<GzipWriter<'a, SummedFile>>,
    index: LineWriter<SummedFile>,
    deleted: SummedFile,
    /// The parent's next entry, and those after it.
    next: Option<Entry>,
    parent: Option<EntryReader>,
    part: FilesPart,
}

impl<'a> Archiver<'a> {
    fn begin(work: &'a FileBackup<'a>, draft: &Draft) -> Result<Self> {
        let parent = work.parent.map(|chain| chain.lines(INDEX)).transpose()?;
        let lineage = work.parent.and_then(Chain::files).map(|part| &part.lineage);
        let mut tar = Builder::new(GzipWriter::new(work.pool, draft.create(ARCHIVE)?));
        tar.follow_symlinks(false);
        let mut archiver = Self {
            work,
            tar,
            index: LineWriter::new(draft.create(INDEX)?),
            deleted: draft.create(DELETED)?,
            next: None,
            parent,
            part: FilesPart {
                lineage: Lineage::of(work.id, lineage),
                roots: work.source.roots.clone(),
                exclude: work.source.exclude.clone(),
                files: 0,
                bytes: 0,
                stored_files: 0,
                stored_bytes: 0,
                deleted: 0,
                torn: 0,
                unreadable: Vec::new(),
                unreadable_count: 0,
            },
        };
        archiver.advance()?;
        Ok(archiver)
    }

    fn finish(mut self) -> Result<(FilesPart, Vec<super::super::format::Sum>)> {
        while let Some(entry) = self.next.take() {
            self.forget(Some(entry))?;
            self.advance()?;
        }
        let path = Path::new(ARCHIVE);
        let packed = self.tar.into_inner().and_then(GzipWriter::finish).map_err(file("write", path))?;
        let index = self.index.finish().map_err(file("write", Path::new(INDEX)))?;
        Ok((self.part, vec![packed.finish()?, index.finish()?, self.deleted.finish()?]))
    }

    /// The parent's entry for `path`. Entries before it are gone.
    fn parent_of(&mut self, path: &ArchivePath) -> Result<Option<Entry>> {
        while let Some(entry) = self.next.take_if(|entry| entry.path < *path) {
            self.forget(Some(entry))?;
            self.advance()?;
        }
        let found = self.next.take_if(|entry| entry.path == *path);
        if found.is_some() {
            self.advance()?;
        }
        Ok(found)
    }

    fn advance(&mut self) -> Result<()> {
        self.next = self.parent.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }

    /// Notes that the parent's `entry` is no more.
    fn forget(&mut self, entry: Option<Entry>) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        self.part.deleted += 1;
        let writing =
            self.deleted.write_all(entry.path.as_bytes()).and_then(|()| self.deleted.write_all(b"\0"));
        writing.map_err(file("write", Path::new(DELETED)))
    }

    fn list(&mut self, entry: Entry) -> Result<()> {
        if let EntryKind::File { size, torn, .. } = entry.kind {
            self.part.files += 1;
            self.part.bytes += size;
            self.part.torn += u64::from(torn);
            self.work.progress.add(size);
        }
        self.index.push(&entry).map_err(file("write", Path::new(INDEX)))
    }

    /// Puts `found` into the archive and says what it was; `None` for what a backup cannot hold.
    fn store(&mut self, found: &Found) -> io::Result<Option<EntryKind>> {
        let kind = found.metadata.file_type();
        if kind.is_file() {
            return self.store_file(found);
        }
        let mut header = header(found);
        let path = Path::new(std::ffi::OsStr::from_bytes(found.path.as_bytes()));
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.tar.append_data(&mut header, path, io::empty())?;
            return Ok(Some(EntryKind::Folder));
        }
        if kind.is_symlink() {
            let target = std::fs::read_link(&found.place)?;
            header.set_entry_type(EntryType::Symlink);
            self.tar.append_link(&mut header, path, &target)?;
            return Ok(Some(EntryKind::Link { target: ArchivePath::new(target.as_os_str().as_bytes()) }));
        }
        Ok(None)
    }

    fn store_file(&mut self, found: &Found) -> io::Result<Option<EntryKind>> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&found.place);
        let opened = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = opened.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let size = metadata.len();
        let mut header = header(found);
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        let mut contents = Exact { file: opened, left: size, hasher: Hasher::new(), short: false };
        let path = Path::new(std::ffi::OsStr::from_bytes(found.path.as_bytes()));
        self.tar.append_data(&mut header, path, &mut contents)?;
        let (hash, short, opened) = contents.finish();
        let after = opened.metadata()?;
        let moved = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec());
        let torn = short || moved(&after) != moved(&found.metadata);
        Ok(Some(EntryKind::File { size, hash, torn }))
    }
}

impl Visitor for Archiver<'_> {
    fn found(&mut self, found: Found) -> Result<()> {
        let before = self.parent_of(&found.path)?;
        if let Some(same) = before.as_ref().filter(|entry| is_same(entry, &found)) {
            return self.list(same.clone());
        }
        let kind = match self.store(&found) {
            Ok(Some(kind)) => kind,
            // Not something a backup can hold, or gone since it was listed.
            Ok(None) => return self.forget(before),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.unreadable(&found.place);
                return self.forget(before);
            }
            Err(error) => return Err(file("archive", &found.place)(error)),
        };
        if before
            .as_ref()
            .is_some_and(|entry| std::mem::discriminant(&entry.kind) != std::mem::discriminant(&kind))
        {
            self.forget(before)?;
        }
        self.part.stored_files += 1;
        if let EntryKind::File { size, .. } = kind {
            self.part.stored_bytes += size;
        }
        let metadata = &found.metadata;
        self.list(Entry {
            path: found.path,
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            backup: self.work.id.clone(),
        })
    }

    fn unreadable(&mut self, place: &Path) {
        self.part.unreadable_count += 1;
        if self.part.unreadable.len() < NAMED {
            self.part.unreadable.push(place.display().to_string());
        }
    }
}

/// Whether the parent's entry is still what is on disk.
fn is_same(entry: &Entry, found: &Found) -> bool {
    let metadata = &found.metadata;
    let kind = match &entry.kind {
        EntryKind::File { size, torn, .. } => metadata.is_file() && *size == metadata.len() && !torn,
        EntryKind::Folder => metadata.is_dir(),
        EntryKind::Link { .. } => metadata.is_symlink(),
    };
    kind && entry.mode == metadata.mode() & 0o7777
        && entry.owner == (metadata.uid(), metadata.gid())
        && entry.mtime == nanoseconds(metadata.mtime(), metadata.mtime_nsec())
        && entry.ctime == nanoseconds(metadata.ctime(), metadata.ctime_nsec())
        && entry.inode == metadata.ino()
}

fn header(found: &Found) -> Header {
    let metadata = &found.metadata;
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_mtime(metadata.mtime().max(0) as u64);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_size(0);
    header
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Exactly `left` bytes of a file, whatever happens to it, and their hash.
struct Exact {
    file: File,
    left: u64,
    hasher: Hasher,
    short: bool,
}

impl Exact {
    fn finish(self) -> (Hash, bool, File) {
        (self.hasher.finalize(), self.short, self.file)
    }
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let mut read = if self.short { 0 } else { self.file.read(buffer)? };
        if read == 0 {
            self.short = true;
            buffer.fill(0);
            read = buffer.len();
        }
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.left -= read as u64;
        Ok(read)
    }
}
