//! Whether a backup will fit, before it begins.

use rustix::fs::statvfs;

use super::fault::{fault, file};
use super::format::Manifest;
use super::store::Store;
use crate::error::Result;

/// What a first backup must find free.
const LEAST: u64 = 64 * 1024 * 1024;

/// Refuses when fewer than `needed` bytes are free where the store is.
pub(crate) fn check(store: &Store, needed: u64) -> Result<()> {
    let free = free(store)?;
    if free >= needed {
        return Ok(());
    }
    let root = store.root().display();
    Err(fault(format!(
        "{root} has {} free, a backup is expected to take {}",
        mebibytes(free),
        mebibytes(needed)
    )))
}

/// Bytes that this process may still write where the store is.
pub fn free(store: &Store) -> Result<u64> {
    let root = store.root();
    let state = statvfs(root).map_err(|error| file("examine", root)(error.into()))?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

/// What the next backup like `model` will take: as much and a third more.
pub(crate) fn expected(model: Option<&Manifest>) -> u64 {
    model.map_or(LEAST, |manifest| (manifest.size + manifest.size / 3).max(LEAST))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}
