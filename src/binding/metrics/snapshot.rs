//! Everything that can be shown at a scrape: what the registry holds, and what is asked now of the
//! segment, the system and PHP. No database, no other server. And not `fpm_get_status()`: it ends the
//! worker by a segmentation fault when another one is changing its line of the scoreboard (seen in
//! every third pool that was asked while it started, PHP 8.2.36).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binding::convert::json;
use crate::binding::info::VERSION;
use crate::binding::wordpress::constants::PhpEnvironment;
use crate::binding::wordpress::hooks;
use crate::binding::{ini, segment};
use crate::clock::{Clock, SystemClock};
use crate::metrics::collect::{counters, php, site, system, workers};
use crate::metrics::{Family, Kind, Registry, Snapshot, Workers};
use crate::ports::Environment;

/// What is known now.
///
/// `root` is a folder on the site's disk.
pub fn take(registry: &Registry<'_>, root: &Path) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.extend([build()]);
    snapshot.extend(system::System::here().families(root));
    // With a restriction opcache would warn whoever asks from elsewhere.
    if ini::text("opcache.restrict_api").is_none() {
        snapshot.extend(php::opcache(&status(hooks::call("opcache_get_status", vec![&false]))));
    }
    if let Ok(segment) = segment::get() {
        let living = Workers::open(segment).map(|workers| workers.living()).unwrap_or_default();
        snapshot.extend(workers::families(&living));
        snapshot.extend(counters::families(segment));
    }
    snapshot.extend(site::families(registry, SystemClock.now()));
    snapshot.extend(registry.families());
    snapshot
}

fn build() -> Family {
    let php = PhpEnvironment.constant("PHP_VERSION").unwrap_or_default();
    let help = "The version of the extension and of PHP.";
    Family::new("slbp_build_info", Kind::Info, help).with(&[("version", VERSION), ("php", &php)], 1.0)
}

/// Where WordPress says that the site lies; elsewhere the current folder.
pub fn root() -> PathBuf {
    PhpEnvironment
        .constant("ABSPATH")
        .map_or_else(|| std::env::current_dir().unwrap_or_default(), PathBuf::from)
}

/// A function that does not exist says nothing.
fn status(answer: Option<ext_php_rs::types::Zval>) -> Value {
    answer.and_then(|answer| json::from_zval(&answer).ok()).unwrap_or_default()
}
