//! Finding the files: in a fixed order, never through a symbolic link, never into the backups.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::fault::file;
use super::super::format::ArchivePath;
use super::super::glob::glob;
use crate::error::{Error, Result};

/// What the names of folders begin with that a restore unpacks into. They are never backed up.
pub(crate) const STAGING: &str = ".slbp-restore-";

/// A folder that is backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Its path in the archive, such as `wp-content/uploads`; empty when it is the whole archive.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What is backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The folders; none inside another.
    pub roots: Vec<Root>,
    /// Globs over paths in the archive: `*` and `?` match `/` too. What matches is left out, with
    /// everything in it.
    pub exclude: Vec<String>,
}

impl Source {
    /// The roots in the archive's order.
    ///
    /// # Errors
    /// A name that is not a clean relative path, a path that is not absolute, or a root in a root.
    pub fn sorted_roots(&self) -> Result<Vec<&Root>> {
        let mut roots: Vec<&Root> = self.roots.iter().collect();
        roots.sort_by_key(|root| ArchivePath::new(root.name.as_bytes()));
        for root in &roots {
            let clean = root.name.is_empty() || ArchivePath::new(root.name.as_bytes()).is_inside();
            if !clean || !root.path.is_absolute() {
                return Err(Error::invalid(
                    "files",
                    "expected roots with a relative name and an absolute path",
                ));
            }
        }
        let inside = |inner: &&Root, outer: &&Root| {
            outer.name.is_empty()
                || Path::new(&inner.name).starts_with(&outer.name)
                || inner.path.starts_with(&outer.path)
        };
        let nested =
            roots.iter().any(|inner| roots.iter().any(|outer| inner != outer && inside(inner, outer)));
        if nested {
            return Err(Error::invalid("files", "expected roots that are not inside one another"));
        }
        Ok(roots)
    }
}

/// Who is told what a walk comes to.
pub(crate) trait Visitor {
    /// A file, folder, link or something else.
    fn found(&mut self, found: Found) -> Result<()>;
    /// A folder that may not be listed.
    fn unreadable(&mut self, place: &Path);
}

/// Something that was found.
pub(crate) struct Found {
    /// Its path in the archive.
    pub path: ArchivePath,
    /// Where it is.
    pub place: PathBuf,
    /// What it is, itself and not what it links to.
    pub metadata: Metadata,
}

/// A walk over a source.
pub(crate) struct Walk<'a> {
    exclude: &'a [String],
    /// Folders that are never entered, by device and inode, whatever name leads to them.
    closed: HashSet<(u64, u64)>,
}

impl<'a> Walk<'a> {
    /// A walk that does not enter `closed`.
    pub fn new(source: &'a Source, closed: &[&Path]) -> Self {
        let known = |path: &&Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        Self { exclude: &source.exclude, closed: closed.iter().filter_map(known).collect() }
    }

    /// Tells `visitor` of `root` and everything below it. What vanishes meanwhile is not there.
    pub fn run(&self, root: &Root, visitor: &mut dyn Visitor) -> Result<()> {
        let metadata = fs::symlink_metadata(&root.path).map_err(file("read", &root.path))?;
        if root.name.is_empty() {
            return self.enter(&root.path, b"", visitor);
        }
        let path = ArchivePath::new(root.name.as_bytes());
        self.visit(Found { path, place: root.path.clone(), metadata }, visitor)
    }

    fn visit(&self, found: Found, visitor: &mut dyn Visitor) -> Result<()> {
        let (place, path) = (found.place.clone(), found.path.as_bytes().to_vec());
        let excluded = self.exclude.iter().any(|pattern| glob(pattern.as_bytes(), &path));
        if excluded || self.closed.contains(&(found.metadata.dev(), found.metadata.ino())) {
            return Ok(());
        }
        let is_folder = found.metadata.is_dir();
        visitor.found(found)?;
        if is_folder { self.enter(&place, &path, visitor) } else { Ok(()) }
    }

    fn enter(&self, place: &Path, path: &[u8], visitor: &mut dyn Visitor) -> Result<()> {
        let entries = match fs::read_dir(place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                visitor.unreadable(place);
                return Ok(());
            }
            Err(error) => return Err(file("list", place)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(file("list", place))?.file_name().into_vec());
        }
        names.retain(|name| !name.starts_with(STAGING.as_bytes()));
        names.sort();
        for name in names {
            let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            let place = place.join(std::ffi::OsStr::from_bytes(&name));
            match fs::symlink_metadata(&place) {
                Ok(metadata) => {
                    self.visit(Found { path: ArchivePath::new(&below), place, metadata }, visitor)?
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(file("read", &place)(error)),
            }
        }
        Ok(())
    }
}
