//! The disaster recovery test: a backup is made, read back, restored beside the site and compared
//! with the site's own rows and files, and everything is removed again.
//!
//! Comparing is not counting: every row that was loaded is read back in key order and must give the
//! very hashes that the backup recorded, every file is read and hashed. What it took to get there
//! is the recovery time (RTO); the age of the newest backup before the test is how much would have
//! been lost (RPO). A test that dies is cleaned up like a restore that dies.

use std::time::Duration;

use mysql::Opts;
use serde::Serialize;

use super::catalog::delete;
use super::chain::Chain;
use super::create::{self, create_announced};
use super::database::{self, Load, Shadow};
use super::fault::fault;
use super::files::{Differences, INDEX, Source, compare, relocated, stage};
use super::format::{BackupType, Manifest, Purpose};
use super::id::BackupId;
use super::journal::{Journal, Phase};
use super::lock::Locked;
use super::progress::Progress;
use super::restore::{recover, token};
use super::store::create_folder;
use super::verify::verify;
use crate::clock::Clock;
use crate::error::Result;

/// What came of each step, by the names of the documentation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// A backup could be made.
    pub backup_creation: bool,
    /// Every checksum, gzip stream and hash of it and its chain is right.
    pub backup_compression: bool,
    /// Its tables could be loaded and its files unpacked.
    pub backup_extraction: bool,
    /// The loaded rows are exactly those of the backup.
    pub database_verification: bool,
    /// The unpacked files are exactly those of the backup.
    pub files_verification: bool,
    /// Everything that the test made is gone.
    pub cleanup: bool,
    /// All of the above.
    pub overall_success: bool,
    /// Seconds that loading and unpacking took.
    pub rto_seconds: f64,
    /// Seconds since the newest backup before the test; `None` when there was none.
    pub rpo_seconds: Option<u64>,
    /// Figures, and the reason of each failure.
    pub details: Details,
}

/// The test in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details {
    /// The backup that was tested.
    pub backup_id: Option<String>,
    /// The backups that it needed.
    pub chain: Vec<String>,
    /// Tables that were loaded and compared.
    pub tables: u64,
    /// Rows in them.
    pub rows: u64,
    /// Tables whose rows differ.
    pub different_tables: Vec<String>,
    /// How the files compare.
    pub files: Option<Differences>,
    /// What went wrong, a sentence each.
    pub errors: Vec<String>,
}

/// Tests recovery with a backup like `request`, taken as an incremental of the newest chain.
pub fn drill(locked: &Locked<'_>, request: &create::Request, clock: &dyn Clock) -> Result<Outcome> {
    drill_announced(locked, request, clock, &mut |_| {})
}

/// As [`drill`], and tells `announce` the id of the backup that is made for it.
pub fn drill_announced(
    locked: &Locked<'_>,
    request: &create::Request,
    clock: &dyn Clock,
    announce: &mut dyn FnMut(&BackupId),
) -> Result<Outcome> {
    let newest = locked.manifests()?.into_iter().find(|manifest| manifest.purpose != Purpose::Drill);
    let mut outcome = Outcome {
        rpo_seconds: newest.map(|manifest| clock.now().secs().saturating_sub(manifest.created_at)),
        ..Outcome::default()
    };
    let request = create::Request {
        kind: BackupType::Incremental,
        purpose: Purpose::Drill,
        id: None,
        ..request.clone()
    };
    match create_announced(locked, &request, clock, announce) {
        Ok(manifest) => {
            outcome.backup_creation = true;
            let progress = Progress::begin(locked, "drill", &manifest.id, clock)?;
            let drill =
                Drill { locked, manifest, opts: request.database.as_ref(), clock, progress: &progress };
            drill.run(&mut outcome);
            outcome.overall_success = outcome.backup_compression
                && outcome.backup_extraction
                && outcome.database_verification
                && outcome.files_verification
                && outcome.cleanup;
            progress.set_result(&outcome);
            let end =
                if outcome.overall_success { Ok(()) } else { Err(fault(outcome.details.errors.join("; "))) };
            progress.end(&end);
        }
        Err(error) => outcome.details.errors.push(error.to_string()),
    }
    Ok(outcome)
}

struct Drill<'a> {
    locked: &'a Locked<'a>,
    manifest: Manifest,
    opts: Option<&'a Opts>,
    clock: &'a dyn Clock,
    progress: &'a Progress<'a>,
}

impl Drill<'_> {
    fn run(&self, outcome: &mut Outcome) {
        outcome.details.backup_id = Some(self.manifest.id.to_string());
        outcome.details.chain = self.manifest.needs().iter().map(ToString::to_string).collect();
        if let Err(error) = self.steps(outcome) {
            outcome.details.errors.push(error.to_string());
        }
        self.progress.step("cleanup");
        match self.clean_up() {
            Ok(()) => outcome.cleanup = true,
            Err(error) => outcome.details.errors.push(error.context("cleanup").to_string()),
        }
    }

    fn steps(&self, outcome: &mut Outcome) -> Result<()> {
        self.progress.step("verify");
        let chain = Chain::open(self.locked, &self.manifest.id)?;
        let report = verify(self.locked, &self.manifest.id)?;
        outcome.backup_compression = report.success();
        if !report.success() {
            return Err(fault(report.errors.join("; ")));
        }
        let journal = self.journal(&chain);
        journal.write(self.locked)?;
        let began = self.clock.now();
        self.restore(&chain, &journal)?;
        outcome.backup_extraction = true;
        outcome.rto_seconds = seconds(self.clock.now().since(began));
        self.progress.step("compare");
        self.compare_tables(&chain, &journal, outcome)?;
        compare_files(&chain, &journal, outcome)
    }

    /// A restore that stays in its first phase: whoever finds the journal removes what is beside
    /// the site.
    fn journal(&self, chain: &Chain) -> Journal {
        let token = token(self.clock, &self.manifest.id);
        let tables = chain.database().map(|part| part.tables.as_slice()).unwrap_or_default();
        let shadows = tables
            .iter()
            .enumerate()
            .map(|(number, table)| Shadow::new(table, &token, number, None))
            .collect();
        Journal {
            backup: self.manifest.id.clone(),
            phase: Phase::Loading,
            database: chain.database().and(self.opts).map(database::name_of),
            swap: database::Swap { shadows, ..Default::default() },
            exchanges: Vec::new(),
            staging: vec![self.locked.root().join(format!(".drill-{token}"))],
            maintenance: None,
        }
    }

    fn restore(&self, chain: &Chain, journal: &Journal) -> Result<()> {
        if let (Some(part), Some(opts)) = (chain.database(), self.opts) {
            let tables = part.tables.iter().zip(&journal.swap.shadows).collect();
            self.progress.step("database");
            Load { opts, chain, tables, progress: self.progress, rewrite: None }.run()?;
        }
        if let (Some(part), Some(scratch)) = (chain.files(), journal.staging.first()) {
            self.progress.step("files");
            let mut targets = Vec::new();
            for root in relocated(&part.roots, scratch) {
                create_folder(&root.path)?;
                targets.push((root.name, root.path));
            }
            let targets: Vec<_> = targets.iter().map(|(name, path)| (name.as_str(), path.clone())).collect();
            stage(chain, &targets)?;
        }
        Ok(())
    }

    fn compare_tables(&self, chain: &Chain, journal: &Journal, outcome: &mut Outcome) -> Result<()> {
        if let (Some(part), Some(opts)) = (chain.database(), self.opts) {
            let mut conn = database::reader(opts)?;
            for pair in part.tables.iter().zip(&journal.swap.shadows) {
                let exact = database::is_exact(&mut conn, chain, pair, self.progress)?;
                outcome.details.tables += 1;
                outcome.details.rows += pair.0.rows;
                if !exact {
                    outcome.details.different_tables.push(pair.0.name.clone());
                }
            }
        }
        outcome.database_verification = outcome.details.different_tables.is_empty();
        Ok(())
    }

    fn clean_up(&self) -> Result<()> {
        recover(self.locked, self.opts)?;
        delete(self.locked, &self.manifest.id, false).map(drop)
    }
}

fn compare_files(chain: &Chain, journal: &Journal, outcome: &mut Outcome) -> Result<()> {
    outcome.files_verification = true;
    if let (Some(part), Some(scratch)) = (chain.files(), journal.staging.first()) {
        let source = Source { roots: relocated(&part.roots, scratch), exclude: Vec::new() };
        let differences = compare(chain.lines(INDEX)?, &source, &[], true)?;
        outcome.files_verification = differences.is_none();
        outcome.details.files = Some(differences);
    }
    Ok(())
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
