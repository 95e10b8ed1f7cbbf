//! How to reach a site's database before WordPress has read its wp-config.php.
//!
//! Owns: the settings that this worker has seen WordPress use, in its own memory. Refuses to do: put
//! a password where other pools could read it: all pools of a php-fpm share one segment. A worker
//! that has seen none yet leaves the probe to WordPress, once.

use std::cell::RefCell;
use std::time::Duration;

use crate::health::Site;
use crate::remote::database::DatabaseSettings;

/// So many sites are remembered.
const MOST: usize = 8;

/// A probe must not wait longer than its asker.
const PATIENCE: Duration = Duration::from_secs(2);

thread_local! {
    static DATABASES: RefCell<Vec<(Site, DatabaseSettings)>> = const { RefCell::new(Vec::new()) };
}

/// The database of `site`.
pub fn database(site: Site) -> Option<DatabaseSettings> {
    DATABASES
        .with_borrow(|known| known.iter().find(|(of, _)| *of == site).map(|(_, settings)| settings.clone()))
}

/// Remembers the database of `site`, in place of the one seen before.
pub fn remember(site: Site, settings: DatabaseSettings) {
    DATABASES.with_borrow_mut(|known| {
        known.retain(|(of, _)| *of != site);
        if known.len() >= MOST {
            known.remove(0);
        }
        known.push((site, settings));
    });
}

/// The same, with no more patience than a probe has.
pub fn impatient(mut settings: DatabaseSettings) -> DatabaseSettings {
    settings.timeout = settings.timeout.min(PATIENCE);
    settings.read_timeout = settings.read_timeout.min(PATIENCE);
    settings
}
