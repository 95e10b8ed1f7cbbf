//! Bringing stores of copies up to date.
//!
//! There is no list of what is to be done: what is missing follows from the backups here and the
//! copies there, so a copy that failed is made by the next who looks, and a store that is new gets all.
//! One store that fails does not keep the others from theirs, and never makes a backup a failed one.

use std::collections::BTreeSet;
use std::fs;

use super::{Held, Key, Ledger, Place, RemoteStore, Summary, Upload, delete, ledgers};
use crate::backup::chain::sha256;
use crate::backup::fault::{fault, file};
use crate::backup::format::{MANIFEST, Manifest, Purpose, SUMS};
use crate::backup::id::BackupId;
use crate::backup::lock::Locked;
use crate::backup::progress::Progress;
use crate::backup::store::Store;
use crate::backup::verify::verify;
use crate::clock::{Clock, Timestamp};
use crate::error::Result;

/// Seconds after which a store is looked at again, though there is nothing to copy.
const LOOK_EVERY: u64 = 86_400;

/// What came of one store.
#[derive(Clone, Debug, PartialEq)]
pub struct Copied {
    /// The store's name.
    pub name: String,
    /// What was copied to it.
    pub copied: Vec<BackupId>,
    /// Why not everything was.
    pub error: Option<String>,
    /// Whether it began or ceased to fail.
    pub is_news: bool,
}

/// Copies what is missing.
pub struct Copier<'a> {
    /// The backups here.
    pub locked: &'a Locked<'a>,
    /// Where copies go.
    pub places: &'a [Place],
    /// The time.
    pub clock: &'a dyn Clock,
    /// Where it says how far it is.
    pub progress: &'a Progress<'a>,
}

impl Copier<'_> {
    /// Brings every store up to date.
    pub fn run(&self) -> Vec<Copied> {
        self.places.iter().map(|place| self.bring_up_to_date(place)).collect()
    }

    fn bring_up_to_date(&self, place: &Place) -> Copied {
        let mut ledger = Ledger::read(self.locked, &place.name());
        let mut copied = Vec::new();
        let outcome = self.copy_missing(place, &mut ledger, &mut copied);
        let is_news = ledger.note(&outcome, self.clock.now());
        let written = ledger.write(self.locked);
        let error = outcome.and(written).err().map(|error| error.to_string());
        Copied { name: ledger.name, copied, error, is_news }
    }

    fn copy_missing(&self, place: &Place, ledger: &mut Ledger, copied: &mut Vec<BackupId>) -> Result<()> {
        let remote = place.open()?;
        self.progress.step(&format!("copy to {}", remote.name()));
        ledger.refresh(self.locked, remote.as_ref(), self.clock.now())?;
        delete::finish(remote.as_ref(), ledger)?;
        let missing = outstanding(self.locked, ledger)?;
        self.progress.expect(missing.iter().map(|manifest| manifest.size).sum(), missing.len() as u64);
        let damaged = self.damaged(&missing);
        for manifest in missing.iter().filter(|manifest| !damaged.contains(&manifest.id)) {
            let summary = self.upload(remote.as_ref(), manifest)?;
            copied.push(manifest.id.clone());
            ledger.copies.insert(manifest.id.clone(), Held { summary, ours: true, doomed: false });
            ledger.write(self.locked)?;
            self.progress.part_done();
        }
        match damaged.first() {
            Some(id) => Err(fault(format!("backup {id} is damaged and was not copied"))),
            None => Ok(()),
        }
    }

    /// Those of `missing` that do not verify. One that another builds on is read with that one.
    fn damaged(&self, missing: &[Manifest]) -> BTreeSet<BackupId> {
        let is_tip = |manifest: &&Manifest| {
            !missing.iter().any(|other| other.id != manifest.id && other.needs().contains(&manifest.id))
        };
        let sound = |id: &BackupId| verify(self.locked, id).is_ok_and(|report| report.success());
        missing.iter().filter(is_tip).map(|tip| tip.id.clone()).filter(|id| !sound(id)).collect()
    }

    fn upload(&self, remote: &dyn RemoteStore, manifest: &Manifest) -> Result<Summary> {
        let id = &manifest.id;
        if let Some(other) = super::ledger::look(remote, id)? {
            if self.locked.checksum(id)? == other.checksum {
                return Ok(other);
            }
            return Err(fault(format!(
                "{} has another backup of the name {id}: give each site a prefix or folder of its own",
                remote.name()
            )));
        }
        let sums = self.locked.sums(id)?;
        let (last, first): (Vec<_>, Vec<_>) = sums.iter().partition(|sum| sum.path == MANIFEST);
        let own = sha256(&self.locked.folder(id).join(SUMS))?.0;
        let files = first.iter().map(|sum| (sum.path.as_str(), sum.sha256.as_str()));
        let end = last.iter().map(|sum| (sum.path.as_str(), sum.sha256.as_str()));
        for (path, sha256) in files.chain([(SUMS, own.as_str())]).chain(end) {
            let source = self.locked.folder(id).join(path);
            let size = fs::metadata(&source).map_err(file("examine", &source))?.len();
            remote.put(&Key::new(id, path)?, Upload { source: &source, size, sha256 })?;
            self.progress.add(size);
        }
        Ok(Summary::of(manifest, own))
    }
}

/// Whether [`Copier::run`] has something to do: a copy is missing or doomed, or nobody has looked at a
/// store for a day.
pub fn is_copying_due(store: &Store, places: &[Place], now: Timestamp) -> Result<bool> {
    for ledger in ledgers(store, places) {
        let is_old = ledger.seen_at.saturating_add(LOOK_EVERY) <= now.secs();
        if is_old
            || ledger.copies.values().any(|held| held.doomed)
            || !outstanding(store, &ledger)?.is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The backups that the store of `ledger` should have and has not, oldest first.
pub(super) fn outstanding(store: &Store, ledger: &Ledger) -> Result<Vec<Manifest>> {
    let mut manifests = store.manifests()?;
    let here: BTreeSet<BackupId> = manifests.iter().map(|manifest| manifest.id.clone()).collect();
    let whole = |manifest: &Manifest| manifest.needs().iter().all(|id| here.contains(id) || ledger.has(id));
    // What somebody else put there under the same name is no copy of ours.
    let same = |id: &BackupId, held: &Held| {
        held.ours || store.checksum(id).is_ok_and(|checksum| checksum == held.summary.checksum)
    };
    let copied = |id: &BackupId| ledger.copies.get(id).is_some_and(|held| held.doomed || same(id, held));
    manifests.retain(|manifest| is_copied(manifest.purpose) && !copied(&manifest.id) && whole(manifest));
    manifests.reverse();
    Ok(manifests)
}

/// Whether backups for `purpose` are copied. What was taken before a restore or for a test is of no use
/// to another host.
pub(crate) fn is_copied(purpose: Purpose) -> bool {
    !matches!(purpose, Purpose::Safety | Purpose::Drill)
}
