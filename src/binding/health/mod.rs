//! What stands between `SLBP_Scalability_Manager` and the domain: the host's side of health.
//!
//! Owns: the probes that only this host can hand in ([`checks`]), checks written in PHP
//! ([`registered`]), who may see details ([`permissions`]), the answers at the door ([`door`]) and what
//! they need to know before WordPress runs ([`learned`]), and the settings. Refuses to do: judge.

mod balancer;
mod cache;
mod checks;
pub mod door;
mod learned;
mod permissions;
mod registered;
mod rest;
mod settings;

use std::cell::RefCell;

use ext_php_rs::types::Zval;
use serde_json::{Map, Value, json};

use super::convert::params::Settings as Config;
use super::door::visit::Visit;
use super::failure::log;
use super::segment;
use super::wordpress::constants::PhpEnvironment;
use super::wordpress::options::HostOptions;
use super::wordpress::{hooks, site};
use crate::clock::SystemClock;
use crate::error::Result;
use crate::health::check::Check;
use crate::health::front::{self, Front};
use crate::health::known::Known;
use crate::health::report::Report;
use crate::health::state::Group;
use crate::health::{Health, Site, instance};
use crate::remote::database::{DatabaseLink, DatabaseSettings};
use checks::Folders;
use registered::Registered;
use settings::Settings;

/// The health of this site, with its host.
pub struct HostedHealth {
    settings: Settings,
    options: HostOptions,
    registered: RefCell<Vec<Registered>>,
}

impl HostedHealth {
    /// Reads the settings. Nothing is asked yet. `others` are the keys of `$config` that belong to other
    /// parts of the class.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn new(config: &Config, others: &[&str]) -> Result<Self> {
        let settings = Settings::read(&config.tree, others)?;
        Ok(Self { settings, options: HostOptions::find(), registered: RefCell::default() })
    }

    /// What this node is called.
    pub fn instance(&self) -> String {
        instance::id(settings::instance().as_deref())
    }

    /// Registers a check in PHP, in place of the one of that name.
    ///
    /// # Errors
    /// Invalid argument, or there are too many.
    pub fn register(&self, name: &str, callable: Zval, options: &Value) -> Result<()> {
        let new = Registered::new(name, callable, options)?;
        Known::new(segment::get()?, self.site()?, &SystemClock).note(&new.profile)?;
        let replaced = {
            let mut all = self.registered.borrow_mut();
            let at = all.iter().position(|old| old.profile.name == new.profile.name);
            match at {
                Some(at) => all.get_mut(at).map(|old| std::mem::replace(old, new)),
                None => {
                    all.push(new);
                    None
                }
            }
        };
        // Its destructor may call PHP, which may register: the cell is free again by now.
        drop(replaced);
        Ok(())
    }

    /// How those checks are that `group` asks for.
    ///
    /// # Errors
    /// A wrong setting, or there is no shared memory.
    pub fn report(&self, group: Group) -> Result<Report> {
        let health = self.health()?;
        if group == Group::Live {
            return health.report(group, &[]);
        }
        let (link, folders) = (DatabaseLink::new(self.database()?), Folders::find());
        self.teach(&health, link.settings());
        let mut all = checks::of_site(&health, &link, &folders);
        if group == Group::Detailed {
            all.extend(checks::of_operator(self, &link, &folders));
        }
        let registered: Vec<Registered> = self.registered.borrow().iter().map(Registered::shared).collect();
        all.extend(registered.into_iter().map(|check| Box::new(check) as Box<dyn Check>));
        health.report(group, &all)
    }

    /// Whether this node is to get no new traffic.
    ///
    /// # Errors
    /// There is no shared memory.
    pub fn is_draining(&self) -> Result<bool> {
        Ok(self.health()?.drain().is_on(settings::drain_file().as_deref()))
    }

    /// Raises or lowers that flag.
    ///
    /// # Errors
    /// There is no shared memory, or no room in it.
    pub fn set_draining(&self, draining: bool) -> Result<()> {
        self.health()?.drain().set(draining)
    }

    fn site(&self) -> Result<Site> {
        Ok(Site::of(segment::get()?, &site::identity()))
    }

    fn health(&self) -> Result<Health<'static>> {
        Ok(Health::new(segment::get()?, self.site()?, &SystemClock))
    }

    fn database(&self) -> Result<DatabaseSettings> {
        let mut given = self.settings.database.as_object().cloned().unwrap_or_else(Map::new);
        if let Some(prefix) = site::table_prefix() {
            given.entry("prefix").or_insert(json!(prefix));
        }
        Ok(learned::impatient(DatabaseSettings::read(Value::Object(given), &PhpEnvironment)?))
    }

    /// Tells the door what it cannot know: which site this folder is, and where its database.
    fn teach(&self, health: &Health<'_>, database: &DatabaseSettings) {
        let Some(folder) = Visit::current().folder() else { return };
        let Some(prefix) = hooks::call("rest_get_url_prefix", vec![]).and_then(|prefix| prefix.string())
        else {
            return;
        };
        learned::remember(health.site(), database.clone());
        let front = Front { site: health.site(), prefix };
        let learnt =
            segment::get().and_then(|segment| front::learn(segment, folder.as_bytes(), &front, &SystemClock));
        if let Err(error) = learnt {
            log(&error.to_string());
        }
    }
}
