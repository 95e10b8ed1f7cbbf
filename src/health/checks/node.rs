//! What somebody has decided about this node: draining, maintenance, an upgrade of the database.
//!
//! These cost next to nothing, and must be seen at once: their findings are not shared.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::health::check::{Check, Probe, Profile};
use crate::health::drain::Drain;
use crate::health::finding::Outcome;
use crate::health::state::Groups;

/// WordPress takes no longer maintenance seriously (wp_is_maintenance_mode).
const MAINTENANCE: Duration = Duration::from_secs(600);

/// Whether the node is being drained.
pub fn drain<'a>(flag: Drain<'a>, file: Option<PathBuf>) -> Box<dyn Check + 'a> {
    let profile = Profile::new("drain", "system", "accepting").asked_by(Groups::READY).critical().good_for(0);
    Box::new(Probe::new(profile, move || match flag.is_on(file.as_deref()) {
        true => Outcome::unhealthy("this node is being drained"),
        false => Outcome::healthy(),
    }))
}

/// Whether WordPress shows its maintenance page. Every node that shares the files does, so taking
/// them all out of service would only replace that page by a worse one.
pub fn maintenance(root: PathBuf) -> Box<dyn Check> {
    let profile = Profile::new("maintenance", "component", "status").asked_by(Groups::READY).good_for(0);
    Box::new(Probe::new(profile, move || match is_in_maintenance(&root) {
        true => Outcome::degraded("WordPress is in maintenance mode"),
        false => Outcome::healthy(),
    }))
}

/// Whether WordPress shows everybody its maintenance page.
pub fn is_in_maintenance(root: &Path) -> bool {
    let changed = fs::metadata(root.join(".maintenance")).and_then(|data| data.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).unwrap_or_default() < MAINTENANCE)
}

/// Whether the files are newer than the database: WordPress wants an upgrade of its tables.
pub fn migrations<'a>(pending: impl Fn() -> Option<bool> + 'a) -> Box<dyn Check + 'a> {
    let profile = migrations_profile();
    Box::new(Probe::new(profile, move || match pending() {
        Some(false) => Outcome::healthy(),
        Some(true) => Outcome::unhealthy("the database waits for an upgrade"),
        None => Outcome::degraded("the versions of the database cannot be read"),
    }))
}

/// What is known of the check without running it.
pub fn migrations_profile() -> Profile {
    Profile::new("migrations", "component", "status").asked_by(Groups::READY).critical().good_for(30)
}
