//! Unpacking the files of a backup beside the site's.
//!
//! Invariant: nothing is written outside the staging folder, whatever an archive says. Paths are
//! walked one part at a time from the staging folder's descriptor, no part may be a symbolic link,
//! files are created anew, links are made last, set-user-id bits are dropped, and only what the
//! index names is written at all ([`super::replay`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::fs::{chownat, fchmod, futimens, mkdirat, openat, symlinkat, utimensat};

use super::super::chain::Chain;
use super::super::fault::{fault, file};
use super::super::format::{ArchivePath, Entry, EntryKind};
use super::replay::replay;
use crate::error::Result;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Unpacks the files of a backup. Each target is the name of a root and the existing empty
/// folder that its contents go to; roots that are no target are left out.
pub(crate) fn stage(chain: &Chain, targets: &[(&str, PathBuf)]) -> Result<()> {
    let mut stages = Vec::with_capacity(targets.len());
    for (name, folder) in targets {
        let root =
            openat(CWD, folder, FOLDER, Mode::empty()).map_err(|error| file("open", folder)(error.into()))?;
        stages.push(Stage { name, root, links: Vec::new(), folders: Vec::new() });
    }
    let chown = rustix::process::geteuid().is_root();
    replay(chain, &mut |entry, contents| {
        let found = stages
            .iter_mut()
            .find_map(|stage| Some((below(entry.path.as_bytes(), stage.name)?.to_vec(), stage)));
        let Some((path, stage)) = found else { return Ok(()) };
        let entry = Entry { path: ArchivePath::new(&path), ..entry.clone() };
        stage.take(entry, contents, chown).map_err(at(&path))
    })?;
    stages.into_iter().try_for_each(|stage| stage.finish(chown))
}

/// The part of `path` below the root `name`, empty for the root itself; `None` for other roots.
fn below<'a>(path: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(name.as_bytes())?;
    if name.is_empty() || rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"/") }
}

/// One root on its way.
struct Stage<'a> {
    name: &'a str,
    root: OwnedFd,
    links: Vec<Entry>,
    folders: Vec<Entry>,
}

impl Stage<'_> {
    fn take(&mut self, entry: Entry, contents: &mut dyn Read, chown: bool) -> io::Result<()> {
        match &entry.kind {
            EntryKind::File { .. } => write_file(&self.root, &entry, contents, chown)?,
            EntryKind::Folder => {
                open_folder(&self.root, entry.path.as_bytes(), true)?;
                self.folders.push(entry);
            }
            EntryKind::Link { .. } => self.links.push(entry),
        }
        Ok(())
    }

    fn finish(mut self, chown: bool) -> Result<()> {
        for entry in &self.links {
            write_link(&self.root, entry, chown).map_err(at(entry.path.as_bytes()))?;
        }
        // The deepest first: a folder without write permission must already be full.
        self.folders.sort_by(|a, b| b.path.cmp(&a.path));
        for entry in &self.folders {
            finish_folder(&self.root, entry, chown).map_err(at(entry.path.as_bytes()))?;
        }
        Ok(())
    }
}

fn write_file(root: &OwnedFd, entry: &Entry, contents: &mut dyn Read, chown: bool) -> io::Result<()> {
    let (parent, name) = parent_of(root, entry.path.as_bytes())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut new = File::from(openat(&parent, name, flags, Mode::from_raw_mode(0o600))?);
    io::copy(contents, &mut new)?;
    if chown {
        let (user, group) = owner(entry);
        rustix::fs::fchown(&new, user, group)?;
    }
    fchmod(&new, mode(entry))?;
    Ok(futimens(&new, &times(entry))?)
}

fn write_link(root: &OwnedFd, entry: &Entry, chown: bool) -> io::Result<()> {
    let EntryKind::Link { target } = &entry.kind else { return Ok(()) };
    let (parent, name) = parent_of(root, entry.path.as_bytes())?;
    symlinkat(target.as_bytes(), &parent, name)?;
    if chown {
        let (user, group) = owner(entry);
        chownat(&parent, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(utimensat(&parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn finish_folder(root: &OwnedFd, entry: &Entry, chown: bool) -> io::Result<()> {
    let folder = open_folder(root, entry.path.as_bytes(), false)?;
    if chown {
        let (user, group) = owner(entry);
        rustix::fs::fchown(&folder, user, group)?;
    }
    fchmod(&folder, mode(entry))?;
    Ok(futimens(&folder, &times(entry))?)
}

fn parent_of<'a>(root: &OwnedFd, path: &'a [u8]) -> io::Result<(OwnedFd, &'a [u8])> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let (parent, name) = path.split_at(slash);
            Ok((open_folder(root, parent, true)?, name.strip_prefix(b"/").unwrap_or(name)))
        }
        None => Ok((root.try_clone()?, path)),
    }
}

fn open_folder(root: &OwnedFd, path: &[u8], create: bool) -> io::Result<OwnedFd> {
    let mut folder = root.try_clone()?;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if create {
            match mkdirat(&folder, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        folder = openat(&folder, name, FOLDER, Mode::empty())?;
    }
    Ok(folder)
}

fn mode(entry: &Entry) -> Mode {
    Mode::from_raw_mode(entry.mode & 0o1777)
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.owner.0)), Some(Gid::from_raw(entry.owner.1)))
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime.div_euclid(1_000_000_000),
        tv_nsec: entry.mtime.rem_euclid(1_000_000_000),
    };
    Timestamps { last_access: time, last_modification: time }
}

fn at(path: &[u8]) -> impl Fn(io::Error) -> crate::error::Error + use<> {
    let path = String::from_utf8_lossy(path).into_owned();
    move |error| fault(format!("cannot restore {path}: {error}"))
}
