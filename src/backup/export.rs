//! A backup as one file: a plain tar of its folder and of those it builds on, next to one another,
//! as `restore.sh` inside it expects them. What is in them is compressed already.

use std::io::Write;

use tar::Builder;

use super::fault::{fault, file};
use super::id::BackupId;
use super::store::Store;
use crate::error::Result;

/// Writes the backup `id` with its chain to `output`.
///
/// # Errors
/// A backup of the chain is missing, or writing fails; what was written then is no whole archive.
pub fn export(store: &Store, id: &BackupId, output: impl Write) -> Result<()> {
    let needs = store.manifest(id)?.needs();
    for member in &needs {
        store.manifest(member)?;
    }
    let mut archive = Builder::new(output);
    archive.follow_symlinks(false);
    for member in &needs {
        let folder = store.folder(member);
        archive.append_dir_all(member.as_str(), &folder).map_err(file("export", &folder))?;
    }
    archive.finish().map_err(|error| fault(format!("cannot write the archive: {error}")))
}

/// About as many bytes as [`export`] will write, for progress bars.
///
/// # Errors
/// A backup of the chain is missing.
pub fn estimated_size(store: &Store, id: &BackupId) -> Result<u64> {
    let needs = store.manifest(id)?.needs();
    needs.iter().map(|member| store.manifest(member).map(|manifest| manifest.size)).sum()
}
