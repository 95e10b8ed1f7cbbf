//! Lists: held in shared memory, kept in the WordPress options of the same name.
//!
//! Shared memory is what every check reads. The options are where a list survives a restart, and
//! where another process tree (WP-CLI without `slbp.shm_path`) finds it. A small option holds a
//! revision; each new limiter compares it with the revision that this segment has loaded, and loads
//! the lists again when they differ. So a change made anywhere is in force here from the next
//! request on, and a request that finds nothing new pays for one autoloaded option.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::{HostedLimiter, random};
use crate::binding::failure::log;
use crate::binding::segment;
use crate::binding::wordpress::site;
use crate::error::Result;
use crate::limiter::lists::{ListKind, Listed};
use crate::ports::Options;
use crate::shm::Cell;

/// The option that says which state of the lists is the current one.
const REVISION_OPTION: &str = "slbp_rate_limit_lists_revision";

/// Who put an entry on a list, for the list.
const SOURCE: &str = "admin";

/// How often a list is written again because it changed while it was being written.
const WRITE_ATTEMPTS: usize = 4;

/// The lists that are kept; bans are not, they are short.
const KEPT: [(ListKind, &str); 2] =
    [(ListKind::Whitelist, "slbp_rate_limit_whitelist"), (ListKind::Blacklist, "slbp_rate_limit_blacklist")];

impl HostedLimiter {
    /// Loads the lists when the options hold another state of them than this segment.
    pub fn refresh_lists(&self) {
        if !self.options.outlive_the_request() {
            return;
        }
        let wanted = fingerprint(self.options.get(REVISION_OPTION));
        let Some(loaded) = loaded_revision() else { return };
        if loaded.load(Ordering::Acquire) == wanted {
            return;
        }
        let limiter = self.get();
        for (kind, option) in KEPT {
            let document = self.options.get(option).unwrap_or_default();
            if let Err(error) = limiter.import(kind, &document) {
                log(&format!("option {option} is not in force: {error}"));
            }
        }
        // Said last: a worker that dies while it loads leaves the work to the next, which is harmless
        // to do twice. Said even of a list that was refused, or every request would try it again.
        loaded.store(wanted, Ordering::Release);
    }

    /// Adds entries and keeps the list.
    ///
    /// # Errors
    /// A malformed entry or one that would refuse a protected address: the entries before it stand,
    /// those from it on do not. Likewise when the list is full.
    pub fn add(&self, kind: ListKind, entries: &[String], ttl: Option<i64>, reason: &str) -> Result<()> {
        let limiter = self.get();
        let outcome =
            entries.iter().try_for_each(|entry| limiter.add(kind, entry, ttl, reason, SOURCE).map(drop));
        self.keep(kind);
        outcome
    }

    /// Whom this site refuses: the blacklist, and the bans that run.
    pub fn refused_entries(&self) -> Vec<Listed> {
        let limiter = self.get();
        let mut entries = limiter.entries(ListKind::Blacklist);
        entries.extend(limiter.entries(ListKind::Bans));
        entries
    }

    /// Removes an entry and keeps the list; whether it was there.
    ///
    /// # Errors
    /// A malformed entry.
    pub fn remove(&self, kind: ListKind, entry: &str) -> Result<bool> {
        let removed = self.get().remove(kind, entry)?;
        if removed {
            self.keep(kind);
        }
        Ok(removed)
    }

    /// Writes a list into its option. Another worker may change it meanwhile, and no lock is held
    /// across a call into PHP, so it is written until what was written is still what stands there.
    fn keep(&self, kind: ListKind) {
        let Some((_, option)) = KEPT.iter().find(|(kept, _)| *kept == kind) else { return };
        if !self.options.outlive_the_request() {
            return;
        }
        let limiter = self.get();
        for _ in 0..WRITE_ATTEMPTS {
            let document = limiter.export(kind);
            if !self.options.set_large(option, &document) {
                log(&format!("option {option} could not be written: the list holds until php-fpm restarts"));
                return;
            }
            if limiter.export(kind) == document {
                break;
            }
        }
        let revision = Value::String(format!("{:016x}", random()));
        self.options.set(REVISION_OPTION, &revision);
        if let Some(loaded) = loaded_revision() {
            loaded.store(fingerprint(Some(revision)), Ordering::Release);
        }
    }
}

/// The word that says which revision this segment has loaded; 0 when it has loaded none yet.
fn loaded_revision() -> Option<Cell<'static>> {
    let segment = segment::get().ok()?;
    let name = segment.hasher().key_of(&[b"limiter lists revision", &site::identity()]);
    segment.cells().ok()?.cell(name).ok()
}

/// A revision as a word that is never 0: a site that has never written one still loads its lists once.
fn fingerprint(revision: Option<Value>) -> u64 {
    let text = revision.as_ref().and_then(Value::as_str).unwrap_or_default();
    u64::from_str_radix(text, 16).unwrap_or_default() | 1
}
