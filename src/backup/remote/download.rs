//! Bringing a backup and all it builds on back from where copies are.
//!
//! What arrives is written like a new backup: unfinished until its last byte was compared with its
//! checksum, and only then a backup here. The store's own list of files plays no part: what is fetched
//! is what the checksums name.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ledger::{MOST_TEXT, read_manifest};
use super::{Key, Ledger, Place, RemoteStore};
use crate::backup::fault::{fault, file};
use crate::backup::format::{MANIFEST, Manifest, SUMS, Sum, parse_sums};
use crate::backup::id::BackupId;
use crate::backup::lock::Locked;
use crate::backup::progress::Progress;
use crate::backup::space;
use crate::backup::store::{Draft, Store, hex};
use crate::error::Result;

/// Small files are not in a manifest's size.
const SLACK: u64 = 64 * 1024 * 1024;

/// Fetches what is not here.
pub struct Downloader<'a> {
    /// The backups here.
    pub locked: &'a Locked<'a>,
    /// Where copies are.
    pub places: &'a [Place],
    /// Where it says how far it is.
    pub progress: &'a Progress<'a>,
}

/// Whether the backup `id` and all it builds on are here.
pub fn is_here(store: &Store, id: &BackupId) -> bool {
    let manifest = store.find(id).ok().flatten();
    manifest.is_some_and(|manifest| manifest.needs().iter().all(|id| matches!(store.find(id), Ok(Some(_)))))
}

/// Asks a store for something, given the checksum that its copy must have, when that is known.
type Attempt<'a, T> = dyn FnMut(&dyn RemoteStore, Option<&str>) -> Result<T> + 'a;

impl Downloader<'_> {
    /// Fetches whatever of the backup `id` and its chain is not here, the oldest first, and returns
    /// what was fetched.
    ///
    /// # Errors
    /// No store has it, or what they have is not what it should be. What arrived whole stays.
    pub fn run(&self, id: &BackupId) -> Result<Vec<BackupId>> {
        self.progress.step("download");
        let needs = match self.locked.find(id)? {
            Some(manifest) => manifest.needs(),
            None => {
                self.ask_each(id, &mut |remote, known| Ok(self.head(remote, id, known)?.manifest.needs()))?
            }
        };
        let mut missing = Vec::new();
        for member in needs {
            if self.locked.find(&member)?.is_none() {
                missing.push(member);
            }
        }
        for member in &missing {
            self.ask_each(member, &mut |remote, known| self.fetch(remote, member, known))?;
        }
        Ok(missing)
    }

    /// Asks one store after the other; those that are known to have the backup first.
    fn ask_each<T>(&self, id: &BackupId, attempt: &mut Attempt<'_, T>) -> Result<T> {
        let mut ledgers: Vec<(&Place, Ledger)> =
            self.places.iter().map(|place| (place, Ledger::read(self.locked, &place.name()))).collect();
        ledgers.sort_by_key(|(_, ledger)| !ledger.has(id));
        let mut last = fault(format!("there is no backup {id}, here or where copies are"));
        for (place, ledger) in ledgers {
            let known =
                ledger.copies.get(id).filter(|held| held.ours).map(|held| held.summary.checksum.as_str());
            match place.open().and_then(|remote| attempt(remote.as_ref(), known)) {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn head(&self, remote: &dyn RemoteStore, id: &BackupId, known: Option<&str>) -> Result<HeadOf> {
        let absent = || fault(format!("{} has no backup {id}", remote.name()));
        let text = |key: &Key| {
            let mut text = Vec::new();
            remote.get(key, &mut text, MOST_TEXT)?.then_some(text).ok_or_else(absent)
        };
        let manifest_text = text(&Key::manifest(id))?;
        let sums_text = text(&Key::new(id, SUMS)?)?;
        if known.is_some_and(|known| known != hex(&Sha256::digest(&sums_text))) {
            return Err(fault(format!(
                "{} has a backup {id} that is not the one that was copied to it",
                remote.name()
            )));
        }
        let sums_text =
            String::from_utf8(sums_text).map_err(|_| fault(format!("the checksums of {id} are no text")))?;
        let sums = parse_sums(&sums_text)?;
        let own = sums.iter().find(|sum| sum.path == MANIFEST).map(|sum| sum.sha256.as_str());
        if own != Some(hex(&Sha256::digest(&manifest_text)).as_str()) {
            return Err(damaged(remote, id, MANIFEST));
        }
        Ok(HeadOf { manifest: read_manifest(id, &manifest_text)?, manifest_text, sums })
    }

    fn fetch(&self, remote: &dyn RemoteStore, id: &BackupId, known: Option<&str>) -> Result<()> {
        let head = self.head(remote, id, known)?;
        let most = head.manifest.size.saturating_add(SLACK);
        space::check(self.locked, most)?;
        self.progress.expect(head.manifest.size, 1);
        let mut draft = self.locked.receive(id)?;
        let mut left = most;
        for sum in head.sums.iter().filter(|sum| sum.path != MANIFEST) {
            left -= self.one(remote, id, sum, left, &mut draft)?;
        }
        draft.write(MANIFEST, &head.manifest_text)?;
        draft.commit()?;
        self.progress.part_done();
        Ok(())
    }

    fn one(
        &self,
        remote: &dyn RemoteStore,
        id: &BackupId,
        sum: &Sum,
        most: u64,
        draft: &mut Draft,
    ) -> Result<u64> {
        let mut new = draft.create(&sum.path)?;
        if !remote.get(&Key::new(id, &sum.path)?, &mut new, most)? {
            return Err(fault(format!("{} lacks {} of backup {id}", remote.name(), sum.path)));
        }
        new.flush().map_err(file("write", Path::new(&sum.path)))?;
        let size = new.length();
        let found = new.finish()?;
        if found != *sum {
            return Err(damaged(remote, id, &sum.path));
        }
        draft.keep(found);
        self.progress.add(size);
        Ok(size)
    }
}

/// What says which files a copy has.
struct HeadOf {
    manifest: Manifest,
    manifest_text: Vec<u8>,
    sums: Vec<Sum>,
}

fn damaged(remote: &dyn RemoteStore, id: &BackupId, path: &str) -> crate::error::Error {
    fault(format!("{} has a damaged backup {id}: {path} is not what was written", remote.name()))
}
