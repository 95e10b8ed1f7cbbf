//! Putting staged files in the place of the site's, and taking that back.
//!
//! Everything is a rename on one filesystem: what is replaced moves into `old`, what was staged
//! moves to its place. Folders move whole, unless something in them is to stay where it is (an
//! excluded path, the backups): those are gone through one entry at a time.
//!
//! Both directions can be repeated after a crash at any instant, because what exists where says how
//! far an entry came.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::fault::file;
use super::super::glob::glob;
use super::super::store::create_folder;
use super::walk::Root;
use crate::error::Result;

/// What a restore does to one root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exchange {
    /// The folder of the site.
    live: PathBuf,
    /// What was unpacked for it.
    staged: PathBuf,
    /// Where what is replaced goes.
    old: PathBuf,
    /// Paths below, each with what happens to it.
    moves: Vec<Move>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Move {
    path: PathBuf,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Replace,
    Add,
    Remove,
}

/// What must stay where it is.
pub(crate) struct Keep<'a> {
    /// Globs over paths in the archive, as at the backup.
    pub exclude: &'a [String],
    /// Folders that are never moved: the backups, and where files are staged.
    pub places: &'a [PathBuf],
}

impl Exchange {
    /// Plans the exchange of `root` for what is in `staged`.
    pub fn plan(root: &Root, staged: PathBuf, old: PathBuf, keep: &Keep<'_>) -> Result<Self> {
        let mut exchange = Self { live: root.path.clone(), staged, old, moves: Vec::new() };
        exchange.plan_folder(root, Path::new(""), keep)?;
        Ok(exchange)
    }

    /// Moves the staged files into place.
    pub fn apply(&self) -> Result<()> {
        create_folder(&self.live)?;
        for Move { path, change } in &self.moves {
            let (live, staged, old) = self.places(path);
            let replaced =
                *change != Change::Add && !exists(&old) && (*change == Change::Remove || exists(&staged));
            if replaced {
                rename(&live, &old)?;
            }
            if *change != Change::Remove && exists(&staged) {
                rename(&staged, &live)?;
            }
        }
        Ok(())
    }

    /// Moves the site's own files back.
    pub fn undo(&self) -> Result<()> {
        for Move { path, change } in self.moves.iter().rev() {
            let (live, staged, old) = self.places(path);
            let moved_in = match change {
                Change::Replace => exists(&old) && !exists(&staged),
                Change::Add => !exists(&staged),
                Change::Remove => false,
            };
            if moved_in && exists(&live) {
                rename(&live, &staged)?;
            }
            if exists(&old) {
                rename(&old, &live)?;
            }
        }
        Ok(())
    }

    fn places(&self, path: &Path) -> (PathBuf, PathBuf, PathBuf) {
        (self.live.join(path), self.staged.join(path), self.old.join(path))
    }

    fn plan_folder(&mut self, root: &Root, folder: &Path, keep: &Keep<'_>) -> Result<()> {
        let live = names(&self.live.join(folder))?;
        let staged = names(&self.staged.join(folder))?;
        for name in live.union(&staged) {
            let path = folder.join(name);
            let place = self.live.join(&path);
            if keep.holds(root, &path, &place) {
                continue;
            }
            let (is_live, is_staged) = (live.contains(name), staged.contains(name));
            let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if is_live && is_folder(&place) && keep.reaches_into(root, &path, &place)? {
                if is_staged && !is_folder(&self.staged.join(&path)) {
                    continue;
                }
                self.plan_folder(root, &path, keep)?;
                continue;
            }
            let change = match (is_live, is_staged) {
                (true, true) => Change::Replace,
                (false, _) => Change::Add,
                (true, false) => Change::Remove,
            };
            self.moves.push(Move { path, change });
        }
        Ok(())
    }
}

impl Keep<'_> {
    fn holds(&self, root: &Root, path: &Path, place: &Path) -> bool {
        let name = archive_path(root, path);
        self.places.iter().any(|kept| kept == place)
            || self.exclude.iter().any(|pattern| glob(pattern.as_bytes(), &name))
    }

    /// Whether something below the live folder `place` must stay.
    fn reaches_into(&self, root: &Root, path: &Path, place: &Path) -> Result<bool> {
        if self.places.iter().any(|kept| kept.starts_with(place)) {
            return Ok(true);
        }
        if self.exclude.is_empty() {
            return Ok(false);
        }
        for name in names(place)? {
            let (path, place) = (path.join(&name), place.join(&name));
            let is_folder = place.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if self.holds(root, &path, &place) || (is_folder && self.reaches_into(root, &path, &place)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn archive_path(root: &Root, path: &Path) -> Vec<u8> {
    Path::new(&root.name).join(path).as_os_str().as_bytes().to_vec()
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(file("list", folder)(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(file("list", folder))).collect()
}

/// Whether something is there, be it a link that leads nowhere.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        create_folder(parent)?;
    }
    fs::rename(from, to).map_err(file("move", from))
}
