//! What stands between `SLBP_Monitoring_Manager` and the domain: the host's side of metrics.
//!
//! Owns: which site's metrics a request speaks of; what PHP and the system are asked at a scrape
//! ([`snapshot`]); who may ask ([`access`]); REST answers ([`rest`]). Refuses to do: run SQL in a
//! scrape, or evaluate a rule.

pub mod access;
pub mod arguments;
pub mod connections;
pub mod database;
pub mod door;
mod learned;
pub mod requests;
pub mod rest;
pub mod sample;
pub mod snapshot;

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::Value;

use super::segment;
use super::wordpress::hooks;
use super::wordpress::site;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::metrics::{Definition, Kind, Registry, Snapshot};
use access::Access;

/// Label names and values of one update.
pub type Labels = Vec<(String, String)>;

const SECURITY_EVENTS: &str = "slbp_security_events_total";

/// What one object of the class holds.
pub struct HostedMonitoring {
    registry: Registry<'static>,
    access: Access,
    /// Names that found no room: their updates are counted as dropped.
    homeless: RefCell<HashSet<String>>,
}

impl HostedMonitoring {
    /// The metrics of this request's site.
    ///
    /// # Errors
    /// A wrong setting, or no shared memory at all.
    pub fn new(config: &Value) -> Result<Self> {
        let (registry, access) = (registry()?, Access::read(config)?);
        access.teach_the_door(registry.tag());
        Ok(Self { registry, access, homeless: RefCell::default() })
    }

    /// Who may see metrics.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Everything that can be known now without asking a database.
    pub fn snapshot(&self) -> Snapshot {
        snapshot::take(&self.registry, &snapshot::root())
    }

    /// The same, after what only a database knows was sampled if it is time.
    pub fn collect(&self) -> Snapshot {
        sample::take(&self.registry);
        self.snapshot()
    }

    /// Makes a metric known.
    ///
    /// # Errors
    /// Misuse, as [`Registry::register`].
    pub fn register(&self, definition: &Definition) -> Result<()> {
        if self.registry.register(definition)? {
            self.homeless.borrow_mut().remove(definition.name());
        } else {
            self.homeless.borrow_mut().insert(definition.name().to_owned());
        }
        Ok(())
    }

    /// Makes one update, unless the metric found no room when it was registered.
    ///
    /// # Errors
    /// What `update` says.
    pub fn update(&self, name: &str, update: impl FnOnce(&Registry<'static>) -> Result<()>) -> Result<()> {
        if !self.homeless.borrow().is_empty() && self.homeless.borrow().contains(name) {
            self.registry.drop_update();
            return Ok(());
        }
        update(&self.registry)
    }

    /// Counts something that bears on security, and tells WordPress' listeners what is known of it.
    ///
    /// # Errors
    /// Misuse: a kind that is no word.
    pub fn record_security_event(&self, kind: &str, context: &Value) -> Result<()> {
        let kind = arguments::event_kind(kind)?;
        let has_room = self.registry.ensure(SECURITY_EVENTS, || {
            let help = "Events that bear on security, by kind.";
            Definition::new(SECURITY_EVENTS, Kind::Counter, help, &["kind".to_owned()], &[])
        })?;
        let given = [("kind".to_owned(), kind.clone())];
        if has_room {
            self.registry.increment(SECURITY_EVENTS, 1.0, &given, &SystemClock)?;
        }
        self.registry.remember_security_event(&segment::get()?.counters(), SystemClock.now());
        let context = super::convert::json::to_zval(context);
        hooks::call("do_action", vec![&"slbp_security_event", &kind, &context]);
        Ok(())
    }
}

/// The metrics of the site that this request belongs to.
///
/// # Errors
/// No shared memory, or no room in it for another site.
pub fn registry() -> Result<Registry<'static>> {
    Registry::open(segment::get()?, &site::identity())
}
