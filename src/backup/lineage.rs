//! On what a new backup builds: pure policy over the list of backups.

use super::format::{BackupType, Component, Lineage, Manifest};
use super::id::BackupId;

/// The backup that `component` of a new backup of type `kind` is compared with: for an incremental
/// the newest that has the component, for a differential the newest in which it is complete.
///
/// `None` means that the new backup must be complete in itself: it is a full, there is nothing to
/// build on, a backup in between is gone, or the chain has `max_chain` members, each of which
/// would be one more that must be whole for a restore to succeed.
pub fn parent(
    kind: BackupType,
    component: Component,
    newest_first: &[Manifest],
    max_chain: usize,
) -> Option<&Manifest> {
    let complete = |lineage: &Lineage| lineage.parent.is_none();
    let candidate = newest_first.iter().find(|manifest| match (kind, manifest.lineage(component)) {
        (BackupType::Full, _) | (_, None) => false,
        (BackupType::Incremental, Some(_)) => true,
        (BackupType::Differential, Some(lineage)) => complete(lineage),
    })?;
    let chain = &candidate.lineage(component)?.chain;
    let present = |id: &BackupId| newest_first.iter().any(|manifest| manifest.id == *id);
    (chain.len() < max_chain && chain.iter().all(present)).then_some(candidate)
}
