//! Removing copies: on request, and by retention.
//!
//! The manifest goes first, so a copy is either there or not. One that cannot be removed now is noted
//! as doomed and removed by the next who brings the store up to date.

use super::{Key, Ledger, Place, RemoteStore};
use crate::backup::catalog;
use crate::backup::fault::fault;
use crate::backup::id::BackupId;
use crate::backup::lock::Locked;
use crate::backup::retention::{Candidate, Policy, dependents, judge};
use crate::clock::Clock;
use crate::error::Result;

/// What came of removing copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// From which stores, or which backups, by name.
    pub gone: Vec<String>,
    /// Why others are still there, a sentence each.
    pub warnings: Vec<String>,
}

/// Removes the backup `id`, here and wherever copies are.
///
/// # Errors
/// There is none, or another backup or copy builds on it; nothing was removed then.
pub fn delete(locked: &Locked<'_>, places: &[Place], id: &BackupId, clock: &dyn Clock) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    let known: Vec<(&Place, Ledger)> =
        places.iter().map(|place| (place, Ledger::read(locked, &place.name()))).collect();
    for (_, ledger) in known.iter().filter(|(_, ledger)| ledger.has(id)) {
        if let Some(first) = dependents(id, &candidates(ledger)).first() {
            return Err(fault(format!(
                "the copy of backup {first} in {} builds on {id}; delete it first",
                ledger.name
            )));
        }
    }
    let is_here = locked.find(id)?.is_some();
    if is_here || !known.iter().any(|(_, ledger)| ledger.copies.contains_key(id)) {
        catalog::delete(locked, id, false)?;
    }
    for (place, mut ledger) in known {
        let Some(held) = ledger.copies.get_mut(id) else { continue };
        held.doomed = true;
        let outcome = place.open().and_then(|remote| finish(remote.as_ref(), &mut ledger));
        ledger.note(&outcome, clock.now());
        ledger.write(locked)?;
        match outcome {
            Ok(()) => deleted.gone.push(ledger.name),
            Err(error) => deleted.warnings.push(format!("the copy of {id} is not removed yet: {error}")),
        }
    }
    Ok(deleted)
}

/// Applies `policy` to the copies that this host made, in every store.
pub fn retain(locked: &Locked<'_>, places: &[Place], policy: Policy, clock: &dyn Clock) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    for place in places {
        let mut ledger = Ledger::read(locked, &place.name());
        let verdict = judge(policy, &candidates(&ledger));
        let mut doomed: Vec<String> = Vec::new();
        for id in &verdict.delete {
            if let Some(held) = ledger.copies.get_mut(id).filter(|held| held.ours) {
                held.doomed = true;
                doomed.push(id.to_string());
            }
        }
        if doomed.is_empty() {
            continue;
        }
        let outcome = place.open().and_then(|remote| finish(remote.as_ref(), &mut ledger));
        ledger.note(&outcome, clock.now());
        ledger.write(locked)?;
        match outcome {
            Ok(()) => deleted.gone.extend(doomed),
            Err(error) => deleted.warnings.push(error.to_string()),
        }
    }
    Ok(deleted)
}

/// Removes what is doomed, newest first: nothing is ever without its base.
pub(super) fn finish(remote: &dyn RemoteStore, ledger: &mut Ledger) -> Result<()> {
    let mut doomed: Vec<(u64, BackupId)> = ledger
        .copies
        .iter()
        .filter(|(_, held)| held.doomed)
        .map(|(id, held)| (held.summary.sequence, id.clone()))
        .collect();
    doomed.sort();
    for (_, id) in doomed.into_iter().rev() {
        remote.delete(&Key::manifest(&id))?;
        for (key, _) in remote.list(Some(&id))? {
            remote.delete(&key)?;
        }
        ledger.copies.remove(&id);
    }
    Ok(())
}

fn candidates(ledger: &Ledger) -> Vec<Candidate> {
    ledger.copies.values().filter(|held| !held.doomed).map(|held| Candidate::from(&held.summary)).collect()
}
