//! What stands between the classes that cache and the domain: the host's side of caching.
//!
//! Owns: one open cache per worker, site and settings ([`open`]); PHP values into and out of it
//! ([`values`]); the buffers for that ([`scratch`]); arrays that need not be built anew ([`memo`]);
//! computing under a lease ([`remember`]). Refuses to do: decide what is stored where, or for how long.
//!
//! Building a value may run PHP code, which may use the cache again, throw, or never come back. So
//! nothing of the domain is borrowed while it runs, and nothing is owned that a jump would lose.

pub mod arguments;
mod memo;
mod merge;
mod open;
mod prefetch;
mod remember;
pub mod results;
mod scratch;
mod settings;
mod values;

use std::rc::Rc;

use super::convert::decode;
use super::convert::params::{Lax, OrNull, Settings as Config};
use super::wordpress::hooks;
use crate::cache::facade::{Cache, Expiry};
use crate::error::Result;
use open::Opened;
pub use values::When;

/// Lets a site change how long values last whose caller does not say.
const EXPIRATION_FILTER: &str = "slbp_cache_expiration";

/// A cache with its host.
pub struct HostedCache {
    opened: Rc<Opened>,
}

impl HostedCache {
    /// Reads the settings and finds or opens the cache that they describe. `others` are the keys of
    /// `$config` that belong to other parts of the class.
    ///
    /// # Errors
    /// A wrong setting, or no shared memory at all.
    pub fn new(config: Config, others: &[&str]) -> Result<Self> {
        let settings = settings::read(&config.tree, others)?;
        Ok(Self { opened: open::find_or_open(settings)? })
    }

    /// The cache, in this request.
    pub fn get(&self) -> &Cache {
        self.opened.in_request()
    }

    /// The cache, for a flush: what this request has missed before is no reason to refuse it anything.
    pub fn get_anew(&self) -> &Cache {
        self.opened.forget_misses();
        self.get()
    }

    /// When a value expires whose `$expiration` is `given`.
    pub fn expiry(&self, given: OrNull<Lax<i64>>) -> Expiry {
        if let Some(Lax(seconds)) = given.0 {
            return Expiry::from_seconds(Some(seconds));
        }
        let default = self.get().settings().expiration.map_or(0, |ttl| ttl.as_secs() as i64);
        let filtered = hooks::filter(EXPIRATION_FILTER, &default, Vec::new());
        let seconds = filtered.and_then(|answer| Lax::<i64>::of(&answer)).unwrap_or(default);
        Expiry::from_seconds(Some(seconds))
    }
}

/// The request is over. Phase: post-deactivate.
pub fn end_request() {
    open::end_request();
    scratch::reset();
    memo::tidy();
    decode::forget_class();
}

/// This process lets go of the shared memory. Phase: MSHUTDOWN.
pub fn close() {
    crate::cache::listener::stop_all();
    open::close_all();
    memo::clear();
}
