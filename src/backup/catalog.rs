//! Listing backups and removing them.

use std::cmp::Reverse;
use std::fs;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::fault::{fault, file};
use super::format::{BackupType, Component, Manifest, Purpose, SUMS};
use super::id::BackupId;
use super::lock::Locked;
use super::progress::{Report, State};
use super::remote::{self, Ledger, Summary};
use super::retention::{Candidate, Policy, Verdict, dependents, judge};
use super::store::{Store, hex};
use crate::clock::Clock;
use crate::error::Result;

/// What a backup is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is being made.
    InProgress,
    /// It is whole.
    Completed,
    /// It could not be made.
    Failed,
    /// It is whole but for files that could not be read.
    Partial,
    /// It lacks a backup that it builds on.
    Broken,
}

/// A backup in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: BackupId,
    /// On what it builds.
    #[serde(rename = "type")]
    pub kind: Option<BackupType>,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// Its components.
    pub components: Vec<Component>,
    /// When it was begun, seconds since the epoch.
    pub created_at: u64,
    /// When it was done, seconds since the epoch.
    pub completed_at: Option<u64>,
    /// Seconds it took.
    pub duration: Option<u64>,
    /// What it is good for.
    pub status: Status,
    /// Bytes that it takes.
    pub size: u64,
    /// The complete backup at the start of its chain.
    pub base_id: Option<BackupId>,
    /// SHA-256 of its list of checksums, so of all of it.
    pub checksum: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Where it is: [`HERE`] and the names of stores with a copy.
    pub locations: Vec<String>,
    /// Stores that lack a copy and get one at the next opportunity.
    pub awaiting: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The location of a backup in this host's own folder.
pub const HERE: &str = "local";

impl Store {
    /// Every backup, newest first, with those that are being made and those that failed.
    pub fn list(&self, clock: &dyn Clock) -> Result<Vec<Listed>> {
        self.list_with(&[], clock)
    }

    /// As [`Store::list`], and what is known to be in the stores of `ledgers`.
    pub fn list_with(&self, ledgers: &[Ledger], clock: &dyn Clock) -> Result<Vec<Listed>> {
        let manifests = self.manifests()?;
        let mut listed: Vec<Listed> =
            manifests.iter().map(|manifest| self.describe(manifest, &manifests, ledgers)).collect();
        for held in ledgers.iter().flat_map(|ledger| ledger.copies.values()).filter(|held| !held.doomed) {
            if !listed.iter().any(|known| known.id == held.summary.id) {
                listed.push(describe_copy(&held.summary, &manifests, ledgers));
            }
        }
        let known =
            |report: &Report| manifests.iter().any(|manifest| Some(&manifest.id) == report.id.as_ref());
        for report in self.reports(clock)? {
            if report.work == "create" && report.status != State::Completed && !known(&report) {
                listed.extend(unfinished(report));
            }
        }
        listed.sort_by_key(|one| Reverse(one.created_at));
        Ok(listed)
    }

    /// One backup; `None` when there is none of that id.
    pub fn describe_one(&self, id: &BackupId, clock: &dyn Clock) -> Result<Option<Listed>> {
        Ok(self.list(clock)?.into_iter().find(|listed| listed.id == *id))
    }

    fn describe(&self, manifest: &Manifest, all: &[Manifest], ledgers: &[Ledger]) -> Listed {
        let present = |id: &BackupId| is_somewhere(id, all, ledgers);
        let status = match manifest.needs().iter().all(present) {
            false => Status::Broken,
            true if manifest.unreadable_count() > 0 => Status::Partial,
            true => Status::Completed,
        };
        let lineage = manifest.lineage(Component::Database).or_else(|| manifest.lineage(Component::Files));
        Listed {
            id: manifest.id.clone(),
            kind: Some(manifest.kind),
            purpose: Some(manifest.purpose),
            components: manifest.components.clone(),
            created_at: manifest.created_at,
            completed_at: Some(manifest.completed_at),
            duration: Some(manifest.completed_at.saturating_sub(manifest.created_at)),
            status,
            size: manifest.size,
            base_id: lineage.and_then(|lineage| lineage.base().cloned()),
            checksum: self.checksum(&manifest.id).ok(),
            encrypted: manifest.encryption.is_some(),
            locations: locations(&manifest.id, true, ledgers),
            awaiting: ledgers
                .iter()
                .filter(|ledger| remote::is_copied(manifest.purpose) && !ledger.has(&manifest.id))
                .map(|ledger| ledger.name.clone())
                .collect(),
            error: None,
        }
    }

    /// SHA-256 of the list of checksums of `id`, so of all of it.
    pub(crate) fn checksum(&self, id: &BackupId) -> Result<String> {
        let path = self.folder(id).join(SUMS);
        Ok(hex(&Sha256::digest(fs::read(&path).map_err(file("read", &path))?)))
    }
}

/// A backup of which there are only copies.
fn describe_copy(summary: &Summary, here: &[Manifest], ledgers: &[Ledger]) -> Listed {
    let status = match summary.needs.iter().all(|id| is_somewhere(id, here, ledgers)) {
        false => Status::Broken,
        true if summary.is_partial => Status::Partial,
        true => Status::Completed,
    };
    Listed {
        id: summary.id.clone(),
        kind: Some(summary.kind),
        purpose: Some(summary.purpose),
        components: summary.components.clone(),
        created_at: summary.created_at,
        completed_at: Some(summary.completed_at),
        duration: Some(summary.completed_at.saturating_sub(summary.created_at)),
        status,
        size: summary.size,
        base_id: summary.base_id.clone(),
        checksum: Some(summary.checksum.clone()),
        encrypted: summary.is_encrypted,
        locations: locations(&summary.id, false, ledgers),
        awaiting: Vec::new(),
        error: None,
    }
}

fn is_somewhere(id: &BackupId, here: &[Manifest], ledgers: &[Ledger]) -> bool {
    here.iter().any(|other| other.id == *id) || ledgers.iter().any(|ledger| ledger.has(id))
}

fn locations(id: &BackupId, is_here: bool, ledgers: &[Ledger]) -> Vec<String> {
    let copies = ledgers.iter().filter(|ledger| ledger.has(id)).map(|ledger| ledger.name.clone());
    is_here.then(|| HERE.to_owned()).into_iter().chain(copies).collect()
}

fn unfinished(report: Report) -> Option<Listed> {
    let failed = report.status == State::Failed;
    Some(Listed {
        id: report.id?,
        kind: None,
        purpose: None,
        components: Vec::new(),
        created_at: report.started_at,
        completed_at: None,
        duration: None,
        status: if failed { Status::Failed } else { Status::InProgress },
        size: 0,
        base_id: None,
        checksum: None,
        encrypted: false,
        locations: Vec::new(),
        awaiting: Vec::new(),
        error: Some(report.message).filter(|_| failed),
    })
}

/// Removes the backup `id`.
///
/// # Errors
/// There is none, or another backup builds on it; with `cascade` those go first.
pub fn delete(locked: &Locked<'_>, id: &BackupId, cascade: bool) -> Result<Vec<BackupId>> {
    locked.manifest(id)?;
    let backups: Vec<Candidate> = locked.manifests()?.iter().map(Candidate::from).collect();
    let mut doomed = dependents(id, &backups);
    if let Some(first) = doomed.first().filter(|_| !cascade) {
        return Err(fault(format!("backup {first} builds on {id}; delete it first")));
    }
    doomed.push(id.clone());
    for id in &doomed {
        locked.remove(id)?;
        locked.forget_progress(id);
    }
    Ok(doomed)
}

/// Removes what `policy` no longer keeps, and reports on failed runs of before that time.
pub fn clean_up(locked: &Locked<'_>, policy: Policy, clock: &dyn Clock) -> Result<Verdict> {
    let backups: Vec<Candidate> = locked.manifests()?.iter().map(Candidate::from).collect();
    let verdict = judge(policy, &backups);
    for id in &verdict.delete {
        locked.remove(id)?;
        locked.forget_progress(id);
    }
    let horizon = clock.now().secs().saturating_sub(u64::from(policy.days) * 86_400);
    for report in locked.reports(clock)? {
        if let Some(id) = report.id.filter(|_| report.updated_at < horizon) {
            locked.forget_progress(&id);
        }
    }
    Ok(verdict)
}
