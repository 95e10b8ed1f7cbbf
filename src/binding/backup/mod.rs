//! What stands between `SLBP_Backup_Manager` and the domain: the host's side of backups.
//!
//! Owns: what the site is ([`host`]), work here or in a process of its own ([`detach`], [`worker`]),
//! what only the host can do afterwards ([`aftermath`]), REST answers ([`rest`]), arguments and
//! result arrays. Refuses to do: decide. Settings are read anew for each call, because backups are
//! rare and an option may have changed.

pub mod aftermath;
pub mod arguments;
pub mod detach;
pub mod host;
pub mod output;
pub mod rest;
pub mod results;
pub mod worker;

use serde_json::Value;

use super::convert::params::Settings as Config;
use super::failure::log;
use super::wordpress::constants::PhpEnvironment;
use super::wordpress::options::HostOptions;
use crate::backup::catalog::{self, Listed};
use crate::backup::format::Purpose;
use crate::backup::job::{self, Create, Done, Job, Work};
use crate::backup::remote::{Deleted, delete, is_copying_due, ledgers, retain};
use crate::backup::retention::Verdict;
use crate::backup::settings::{OPTION, Settings};
use crate::backup::verify::verify;
use crate::backup::{BackupId, Store, progress};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::recorded::Recorder;
use crate::error::Result;
use crate::ports::Options;

/// The backups of this site, with their host.
pub struct HostedBackups {
    config: Value,
    options: HostOptions,
}

/// What came of work that was asked for.
pub enum Performed {
    /// It is done.
    Done(Done),
    /// Another process does it.
    Started(BackupId),
}

impl HostedBackups {
    /// Reads the settings once, so that a mistake is told where it was made.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn new(config: Config) -> Result<Self> {
        let hosted = Self { config: config.tree, options: HostOptions::find() };
        hosted.settings()?;
        Ok(hosted)
    }

    /// The settings as they are now.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn settings(&self) -> Result<Settings> {
        let option = self.options.get(OPTION);
        Settings::read(&self.config, option.as_ref(), &PhpEnvironment, &host::site())
    }

    /// The folder of the backups. A restore that died is ended by whoever looks first.
    ///
    /// # Errors
    /// A wrong setting, or it cannot be created.
    pub fn store(&self) -> Result<Store> {
        let settings = self.settings()?;
        let store = job::open(&settings)?;
        host::guard(store.root());
        match job::heal(&store, &settings, &SystemClock) {
            Ok(true) => log("a restore that died was ended: the site is as it was, or as in the backup"),
            Ok(false) => {}
            Err(error) => log(&error.to_string()),
        }
        Ok(store)
    }

    /// `work` with all that it needs.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn job(&self, work: Work) -> Result<Job> {
        let (option, site) = (self.options.get(OPTION), host::site());
        let recorder = Recorder::new(&PhpEnvironment);
        let settings = Settings::read(&self.config, option.as_ref(), &recorder, &site)?;
        let document = host::document(&self.options, settings.encryption.is_some());
        let environment = recorder.into_recorded();
        Ok(Job { config: self.config.clone(), option, environment, site, document, work })
    }

    /// Does `work`, here or in a process of its own.
    ///
    /// # Errors
    /// A wrong setting, somebody else is at work, or it failed.
    pub fn perform(&self, work: Work, detached: bool) -> Result<Performed> {
        self.store()?;
        let job = self.job(work)?;
        if detached {
            return detach::start(&job).map(Performed::Started);
        }
        let outcome = job.run(&SystemClock, &mut |_| {});
        aftermath::of(&job, &outcome, &self.options);
        outcome.map(Performed::Done)
    }

    /// Makes the backup that the schedule has due, if one is; under a web server in a process of its
    /// own, because a request may be ended while it runs.
    ///
    /// # Errors
    /// As [`HostedBackups::perform`].
    pub fn create_due(&self) -> Result<Option<Performed>> {
        let Some(schedule) = self.settings()?.schedule else { return Ok(None) };
        let manifests = self.store()?.manifests()?;
        let made = |manifest: &crate::backup::format::Manifest| {
            (manifest.purpose, Timestamp::from_secs(manifest.created_at))
        };
        let history: Vec<(Purpose, Timestamp)> = manifests.iter().map(made).collect();
        let Some(due) = schedule.due(SystemClock.now(), &history) else {
            return self.copy_due().map(|()| None);
        };
        let (kind, components, purpose) = (due.kind, due.components, due.purpose);
        let work = Work::Create(Create { kind, components, purpose, tables: None });
        self.perform(work, host::is_web() && detach::is_possible()).map(Some)
    }

    /// Makes the copies that are missing, as [`HostedBackups::create_due`] makes backups; also looks once
    /// a day at what the stores of copies have.
    fn copy_due(&self) -> Result<()> {
        let (settings, store) = (self.settings()?, self.store()?);
        if is_copying_due(&store, &settings.remote, SystemClock.now())? {
            self.perform(Work::Copy, host::is_web() && detach::is_possible())?;
        }
        Ok(())
    }

    /// Every backup, newest first, with those of which there are only copies.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let ledgers = ledgers(&self.store()?, &self.settings()?.remote);
        self.store()?.list_with(&ledgers, &SystemClock)
    }

    /// One backup.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn find(&self, id: &BackupId) -> Result<Option<Listed>> {
        Ok(self.list()?.into_iter().find(|listed| listed.id == *id))
    }

    /// Checks a backup and all it builds on, here or in a process of its own. Here it is no work that
    /// keeps others from theirs.
    ///
    /// # Errors
    /// There is none, or the process could not begin.
    pub fn verify(&self, id: &BackupId, detached: bool) -> Result<Performed> {
        if detached {
            return self.perform(Work::Verify(id.clone()), true);
        }
        let report = verify(&self.store()?, id)?;
        Ok(Performed::Done(Done::Verified(id.clone(), Box::new(report))))
    }

    /// Removes a backup, here and where copies of it are.
    ///
    /// # Errors
    /// There is none, another builds on it, or somebody is at work.
    pub fn delete(&self, id: &BackupId) -> Result<Deleted> {
        let (settings, store) = (self.settings()?, self.store()?);
        let locked = store.lock("delete", &SystemClock)?;
        delete(&locked, &settings.remote, id, &SystemClock)
    }

    /// Removes what is older than it is to be kept, here and where copies are.
    ///
    /// # Errors
    /// Somebody is at work.
    pub fn clean_up(&self) -> Result<(Verdict, Deleted)> {
        let (settings, store) = (self.settings()?, self.store()?);
        let locked = store.lock("clean up", &SystemClock)?;
        let verdict = catalog::clean_up(&locked, settings.retention, &SystemClock)?;
        Ok((verdict, retain(&locked, &settings.remote, settings.retention, &SystemClock)?))
    }

    /// The report on a backup, or the newest report.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn progress(&self, id: Option<&BackupId>) -> Result<Option<progress::Report>> {
        let store = self.store()?;
        match id {
            Some(id) => store.progress(id, &SystemClock),
            None => Ok(store.reports(&SystemClock)?.into_iter().next()),
        }
    }
}
