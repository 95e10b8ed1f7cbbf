//! A piece of work as a document: what to do, and all that is needed to do it.
//!
//! Owns: doing it from the lock to the outcome, the same way in the process that was asked and in
//! one that was started for it. Refuses to do: what only the host can (options, mail, caches); the
//! outcome says what is left for it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::Document;
use super::create;
use super::drill::{self, drill_announced};
use super::fault::fault;
use super::format::{BackupType, Component, Manifest, Purpose};
use super::id::BackupId;
use super::lock::Locked;
use super::progress::Progress;
use super::remote::{Copied, Copier, Downloader, is_here};
use super::restore::{self, interrupted_database, is_under_way, recover};
use super::rewrite::Wanted;
use super::settings::{Settings, Site};
use super::store::Store;
use super::verify;
use crate::clock::Clock;
use crate::config::recorded::Recorded;
use crate::error::{Error, Kind, Result};

/// What the report on copying is called.
pub const COPIES: &str = "copies";

/// Work, and what its settings are read from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// `$config`.
    pub config: Value,
    /// The option with the settings.
    pub option: Option<Value>,
    /// Constants and directives.
    pub environment: Recorded,
    /// The site.
    pub site: Site,
    /// The site's configuration of now, to be backed up.
    pub document: Document,
    /// What to do.
    pub work: Work,
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Make a backup.
    Create(Create),
    /// Restore one.
    Restore(Restore),
    /// Test disaster recovery.
    Drill,
    /// Read one backup, with all it builds on, back.
    Verify(BackupId),
    /// Bring one backup, with all it builds on, here from where copies are.
    Fetch(BackupId),
    /// Bring the stores of copies up to date.
    Copy,
}

/// A backup to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Create {
    /// On what it builds.
    pub kind: BackupType,
    /// The parts of the site.
    pub components: Vec<Component>,
    /// What it is for.
    pub purpose: Purpose,
    /// Which tables, when not those of the settings.
    pub tables: Option<Value>,
}

/// A restore to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restore {
    /// The backup.
    pub backup: BackupId,
    /// The parts of it.
    pub components: Vec<Component>,
    /// Only these tables, by name or glob; all when empty.
    pub tables: Vec<String>,
    /// Leave tables alone that the site has and the backup has not.
    pub keep_new_tables: bool,
    /// Another database of the same server.
    pub target_database: Option<String>,
    /// Another folder for the files.
    pub target_dir: Option<PathBuf>,
    /// Back up what is replaced; by default that of the site itself.
    pub safety_backup: Option<bool>,
    /// What shall be different from the backup.
    #[serde(default)]
    pub rewrite: Wanted,
}

impl Restore {
    /// Whether the site itself is what changes.
    pub fn in_place(&self) -> bool {
        self.target_database.is_none() && self.target_dir.is_none()
    }
}

/// What was done.
#[derive(Clone, Debug)]
pub enum Done {
    /// A backup, and what came of its copies.
    Created(Box<Manifest>, Vec<Copied>),
    /// A restore.
    Restored(Box<restore::Outcome>),
    /// A test.
    Drilled(Box<drill::Outcome>),
    /// A check.
    Verified(BackupId, Box<verify::Report>),
    /// Backups that were not here.
    Fetched(BackupId, Vec<BackupId>),
    /// Copies.
    Copied(Vec<Copied>),
}

impl Job {
    /// The settings it runs under.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn settings(&self) -> Result<Settings> {
        Settings::read(&self.config, self.option.as_ref(), &self.environment, &self.site)
    }

    /// Does it. `announce` is told the id of the backup that is made, restored or tested, as soon as
    /// there is a report on the work.
    ///
    /// # Errors
    /// Wrong settings, somebody else is at work, or the work failed; the site is then as it was.
    pub fn run(&self, clock: &dyn Clock, announce: &mut dyn FnMut(&BackupId)) -> Result<Done> {
        let settings = self.settings()?;
        let store = open(&settings)?;
        match &self.work {
            Work::Create(create) => {
                let request = self.request(&settings, create)?;
                let locked = store.lock("create", clock)?;
                let plan = create::Plan::new(&locked, &request, clock)?;
                let progress = Progress::begin(&locked, "create", &plan.id, clock)?;
                announce(&plan.id);
                let outcome = plan.execute(&locked, clock, &progress).map(|manifest| {
                    let places = &settings.remote;
                    let copied = Copier { locked: &locked, places, clock, progress: &progress }.run();
                    progress.set_result(&warnings(&copied));
                    Done::Created(Box::new(manifest), copied)
                });
                progress.end(&outcome);
                outcome
            }
            Work::Restore(restore) => {
                let locked = store.lock("restore", clock)?;
                settle(&locked, &settings)?;
                let mut announced = false;
                let mut announce = |id: &BackupId| {
                    if !std::mem::replace(&mut announced, true) {
                        announce(id);
                    }
                };
                fetch(&locked, &settings, "restore", &restore.backup, clock, &mut announce)?;
                require(&locked, restore)?;
                let request = self.restore_request(&settings, restore);
                let plan = restore::Plan::new(&locked, &request)?;
                let restored = plan.execute_announced(&locked, clock, &mut announce);
                restored.map(|done| Done::Restored(Box::new(done)))
            }
            Work::Verify(id) => {
                let locked = store.lock("verify", clock)?;
                locked.manifest(id)?;
                let progress = Progress::begin(&locked, "verify", id, clock)?;
                announce(id);
                let checked = verify::verify_watched(&locked, id, &progress);
                progress.set_result(&checked.as_ref().ok());
                progress.end(&checked.as_ref().map_err(Clone::clone).and_then(verify::Report::verdict));
                checked.map(|report| Done::Verified(id.clone(), Box::new(report)))
            }
            Work::Fetch(id) => {
                let locked = store.lock("fetch", clock)?;
                let fetched = fetch(&locked, &settings, "fetch", id, clock, announce)?;
                locked.manifest(id)?;
                if fetched.is_empty() {
                    announce(id);
                }
                Ok(Done::Fetched(id.clone(), fetched))
            }
            Work::Copy => {
                let locked = store.lock("copy", clock)?;
                let all = BackupId::parse(COPIES)?;
                let progress = Progress::begin(&locked, "copy", &all, clock)?;
                announce(&all);
                let places = &settings.remote;
                let copied = Copier { locked: &locked, places, clock, progress: &progress }.run();
                progress.set_result(&warnings(&copied));
                progress.end(&Ok(()));
                Ok(Done::Copied(copied))
            }
            Work::Drill => {
                let request = self.request(&settings, &Create::everything(Purpose::Drill))?;
                let locked = store.lock("drill", clock)?;
                settle(&locked, &settings)?;
                drill_announced(&locked, &request, clock, announce).map(|done| Done::Drilled(Box::new(done)))
            }
        }
    }

    /// What a restore would do; nothing changes.
    ///
    /// # Errors
    /// As [`restore::Plan::new`].
    pub fn preview(&self, restore: &Restore) -> Result<restore::Preview> {
        let settings = self.settings()?;
        let store = open(&settings)?;
        let request = self.restore_request(&settings, restore);
        if !settings.remote.is_empty() && !is_here(&store, &restore.backup) {
            let id = &restore.backup;
            return Err(fault(format!("backup {id} is not here as a whole: fetch it first, or restore it")));
        }
        require(&store, restore)?;
        let mut plan = restore::Plan::new(&store, &request)?;
        plan.count_rewrites()?;
        Ok(plan.preview)
    }

    fn request(&self, settings: &Settings, wanted: &Create) -> Result<create::Request> {
        let tables = wanted.tables.as_ref().map(|value| settings.tables_named(value)).transpose()?;
        Ok(create::Request {
            kind: wanted.kind,
            purpose: wanted.purpose,
            database: settings.opts(None),
            tables: tables.unwrap_or_else(|| settings.tables.clone()),
            files: settings.files.clone(),
            config: self.document.clone(),
            level: settings.level,
            ..create::Request::full(&wanted.components)
        })
    }

    fn restore_request(&self, settings: &Settings, wanted: &Restore) -> restore::Request {
        restore::Request {
            backup: wanted.backup.clone(),
            components: wanted.components.clone(),
            database: settings.opts(wanted.target_database.as_deref()),
            tables: wanted.tables.clone(),
            keep_new_tables: wanted.keep_new_tables,
            target_dir: wanted.target_dir.clone(),
            maintenance: settings.maintenance.clone().filter(|_| wanted.in_place()),
            safety: wanted.safety_backup.unwrap_or(wanted.in_place()),
            config: self.document.clone(),
            rewrite: wanted.rewrite.clone(),
        }
    }
}

impl Create {
    /// A full backup of all components.
    pub fn everything(purpose: Purpose) -> Self {
        Self { kind: BackupType::Full, components: Component::ALL.to_vec(), purpose, tables: None }
    }
}

/// Brings the backup `id` here where it is not, under a report of its own.
fn fetch(
    locked: &Locked<'_>,
    settings: &Settings,
    work: &str,
    id: &BackupId,
    clock: &dyn Clock,
    announce: &mut dyn FnMut(&BackupId),
) -> Result<Vec<BackupId>> {
    if is_here(locked, id) || settings.remote.is_empty() {
        return Ok(Vec::new());
    }
    let progress = Progress::begin(locked, work, id, clock)?;
    announce(id);
    let outcome = Downloader { locked, places: &settings.remote, progress: &progress }.run(id);
    // What comes next in a restore has a report that takes the place of this one.
    if outcome.is_err() || work == "fetch" {
        progress.end(&outcome);
    }
    outcome
}

/// What a report says of copies: nothing, when all is well.
fn warnings(copied: &[Copied]) -> Value {
    let warnings: Vec<&String> = copied.iter().filter_map(|store| store.error.as_ref()).collect();
    if warnings.is_empty() { Value::Null } else { serde_json::json!({"warnings": warnings}) }
}

/// The store of the settings.
///
/// # Errors
/// Nothing says where it is, or it cannot be created.
pub fn open(settings: &Settings) -> Result<Store> {
    let nowhere = || Error::new(Kind::Config, "backup_dir is not set: nothing says where backups go");
    let store = Store::open(settings.folder.clone().ok_or_else(nowhere)?)?;
    Ok(store.with_keys(settings.encryption.clone()))
}

/// Ends a restore or test that died, if there is one and nobody is at work; whether there was one.
///
/// # Errors
/// It could not be ended; the next who tries may.
pub fn heal(store: &Store, settings: &Settings, clock: &dyn Clock) -> Result<bool> {
    if !is_under_way(store) {
        return Ok(false);
    }
    match store.lock("recover", clock) {
        Ok(locked) => settle(&locked, settings).map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Refuses to restore a component that the backup does not have, unless all were asked for.
fn require(store: &Store, wanted: &Restore) -> Result<()> {
    let manifest = store.manifest(&wanted.backup)?;
    let missing = wanted.components.iter().find(|component| !manifest.components.contains(component));
    match missing {
        Some(component) if wanted.components.len() < Component::ALL.len() => {
            Err(fault(format!("backup {} has no {}", manifest.id, component.name())))
        }
        _ => Ok(()),
    }
}

/// Ends a restore that died, whichever database it was changing.
fn settle(locked: &Locked<'_>, settings: &Settings) -> Result<()> {
    let name = interrupted_database(locked)?;
    let ended = recover(locked, settings.opts(name.as_deref()).as_ref());
    ended.map(drop).map_err(|error| fault(format!("an interrupted restore could not be ended: {error}")))
}
