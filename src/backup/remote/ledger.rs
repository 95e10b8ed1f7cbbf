//! What this host knows of a store of copies without asking it: `<backups>/remote/<hash>.json`.
//!
//! It makes lists quick, and it is what a store's word is held against: a copy that was uploaded here
//! has the checksum that was noted here, or it is not that copy. It can be lost: the next look at the
//! store writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Key, Place, RemoteStore};
use crate::backup::fault::{fault, malformed};
use crate::backup::format::{BackupType, Component, FORMAT, MANIFEST, Manifest, Purpose, SUMS};
use crate::backup::id::BackupId;
use crate::backup::retention::Candidate;
use crate::backup::store::{Store, create_folder, hex, write_atomically};
use crate::clock::Timestamp;
use crate::error::Result;

/// The most bytes of a manifest or a list of checksums.
pub(super) const MOST_TEXT: u64 = 64 * 1024 * 1024;

/// What a list shows of a backup that is elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: BackupId,
    /// Its place in the store that it was made in.
    pub sequence: u64,
    /// On what it builds.
    pub kind: BackupType,
    /// What it is for.
    pub purpose: Purpose,
    /// Its components.
    pub components: Vec<Component>,
    /// When it was begun, seconds since the epoch.
    pub created_at: u64,
    /// When it was done, seconds since the epoch.
    pub completed_at: u64,
    /// Bytes that it takes.
    pub size: u64,
    /// Every backup that a restore reads, itself included.
    pub needs: Vec<BackupId>,
    /// The complete backup at the start of its chain.
    pub base_id: Option<BackupId>,
    /// Whether files could not be read when it was made.
    pub is_partial: bool,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// SHA-256 of its list of checksums, so of all of it.
    pub checksum: String,
}

impl Summary {
    /// Of the backup that `manifest` describes.
    pub fn of(manifest: &Manifest, checksum: String) -> Self {
        let lineage = manifest.lineage(Component::Database).or_else(|| manifest.lineage(Component::Files));
        Self {
            id: manifest.id.clone(),
            sequence: manifest.sequence,
            kind: manifest.kind,
            purpose: manifest.purpose,
            components: manifest.components.clone(),
            created_at: manifest.created_at,
            completed_at: manifest.completed_at,
            size: manifest.size,
            needs: manifest.needs(),
            base_id: lineage.and_then(|lineage| lineage.base().cloned()),
            is_partial: manifest.unreadable_count() > 0,
            is_encrypted: manifest.encryption.is_some(),
            checksum,
        }
    }
}

impl From<&Summary> for Candidate {
    fn from(summary: &Summary) -> Self {
        Self {
            id: summary.id.clone(),
            sequence: summary.sequence,
            created_at: summary.created_at,
            purpose: summary.purpose,
            needs: summary.needs.clone(),
        }
    }
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What it is.
    pub summary: Summary,
    /// Whether this host made it: only then does retention remove it. A store may hold what another
    /// host made, say the one that this one replaces.
    pub ours: bool,
    /// Whether it was to be deleted and could not be.
    pub doomed: bool,
}

/// What is known of one store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The store's name.
    pub name: String,
    /// When it was last asked and answered, seconds since the epoch.
    pub seen_at: u64,
    /// Since when it has been failing, seconds since the epoch.
    pub failing_since: Option<u64>,
    /// How it fails.
    pub message: String,
    /// The copies.
    pub copies: BTreeMap<BackupId, Held>,
}

impl Ledger {
    /// What is known of the store called `name`. Nothing, when it was never asked.
    pub fn read(store: &Store, name: &str) -> Self {
        let text = fs::read(path(store, name)).ok();
        let known: Option<Self> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let unknown = || Self { name: name.to_owned(), ..Self::default() };
        known.filter(|ledger| ledger.name == name).unwrap_or_else(unknown)
    }

    /// Writes it down.
    pub(super) fn write(&self, store: &Store) -> Result<()> {
        create_folder(&store.root().join(FOLDER))?;
        let text = serde_json::to_vec(self).map_err(malformed("the ledger"))?;
        write_atomically(&path(store, &self.name), &text)
    }

    /// Asks the store what it has. The manifests of copies that are new to us are fetched; one that
    /// cannot be understood is passed over.
    ///
    /// # Errors
    /// The store cannot be reached or refuses.
    pub(super) fn refresh(&mut self, store: &Store, remote: &dyn RemoteStore, now: Timestamp) -> Result<()> {
        let listed = remote.list(None)?;
        let whole: BTreeSet<&BackupId> =
            listed.iter().filter(|(key, _)| key.path() == MANIFEST).map(|(key, _)| key.id()).collect();
        self.copies.retain(|id, _| whole.contains(id));
        for id in whole {
            if self.copies.contains_key(id) {
                continue;
            }
            if let Some(summary) = look(remote, id)? {
                let ours = store.checksum(id).is_ok_and(|checksum| checksum == summary.checksum);
                self.copies.insert(id.clone(), Held { summary, ours, doomed: false });
            }
        }
        self.seen_at = now.secs();
        Ok(())
    }

    /// Notes how a call ended; whether that is news.
    pub(super) fn note<T>(&mut self, outcome: &Result<T>, now: Timestamp) -> bool {
        let was_failing = self.failing_since.is_some();
        match outcome {
            Ok(_) => (self.failing_since, self.message) = (None, String::new()),
            Err(error) => {
                self.failing_since.get_or_insert(now.secs());
                self.message = error.to_string();
            }
        }
        was_failing != self.failing_since.is_some()
    }

    /// Whether there is a copy of `id` that is to stay.
    pub fn has(&self, id: &BackupId) -> bool {
        self.copies.get(id).is_some_and(|held| !held.doomed)
    }
}

/// What is known of each of `places`.
pub fn ledgers(store: &Store, places: &[Place]) -> Vec<Ledger> {
    places.iter().map(|place| Ledger::read(store, &place.name())).collect()
}

/// What the store says of the backup `id`; `None` when what it says cannot be understood.
pub(super) fn look(remote: &dyn RemoteStore, id: &BackupId) -> Result<Option<Summary>> {
    let (mut manifest, mut sums) = (Vec::new(), Vec::new());
    let there = remote.get(&Key::manifest(id), &mut manifest, MOST_TEXT)?
        && remote.get(&Key::new(id, SUMS)?, &mut sums, MOST_TEXT)?;
    let understood = there.then(|| read_manifest(id, &manifest).ok()).flatten();
    Ok(understood.map(|manifest| Summary::of(&manifest, hex(&Sha256::digest(&sums)))))
}

/// The manifest of the backup `id` in `text`.
///
/// # Errors
/// It is malformed, of another backup, or of a newer version.
pub(super) fn read_manifest(id: &BackupId, text: &[u8]) -> Result<Manifest> {
    let manifest: Manifest =
        serde_json::from_slice(text).map_err(malformed(format!("the manifest of {id}")))?;
    if manifest.id != *id || manifest.format > FORMAT {
        return Err(fault(format!("the manifest of {id} is of another backup or a newer version")));
    }
    Ok(manifest)
}

const FOLDER: &str = "remote";

fn path(store: &Store, name: &str) -> PathBuf {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    store.root().join(FOLDER).join(format!("{}.json", hash.get(..16).unwrap_or_default()))
}
