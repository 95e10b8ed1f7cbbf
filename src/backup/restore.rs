//! Bringing a site back to a backup.
//!
//! Everything is loaded beside the site first, which is also what verifies it: each range and file
//! is hashed on its way. Then the site closes for a moment, a safety backup of what is about to be
//! replaced is taken, and all is put into place by renames. Any failure before the commit takes
//! everything back; after it, what is left to do is only removal.

use std::fs;
use std::path::{Path, PathBuf};

use mysql::Opts;
use serde::{Deserialize, Serialize};

use super::chain::Chain;
use super::config::{DOCUMENT, Document};
use super::create;
use super::database::{self, RESTORE_TABLES, Shadow, Swap, TableFilter};
use super::fault::{fault, file};
use super::files::{Exchange, Keep, Root, STAGING, Source, relocated, stage};
use super::format::{BackupType, Component, DatabasePart, FilesPart, Object, ObjectKind, Purpose, TablePart};
use super::id::BackupId;
use super::journal::{Journal, Phase, maintenance};
use super::lock::Locked;
use super::progress::Progress;
use super::rewrite::{Rewrite, Wanted};
use super::store::{Store, create_folder, hex};
use crate::clock::Clock;
use crate::error::Result;

/// What to restore and where to.
#[derive(Clone, Debug)]
pub struct Request {
    /// The backup.
    pub backup: BackupId,
    /// The parts of it.
    pub components: Vec<Component>,
    /// The database to restore into.
    pub database: Option<Opts>,
    /// Only tables that match one of these names or globs; all when empty.
    pub tables: Vec<String>,
    /// Leave tables alone that the site has and the backup has not.
    pub keep_new_tables: bool,
    /// Restore the files below this folder instead of where they were.
    pub target_dir: Option<PathBuf>,
    /// WordPress' `.maintenance` file, written while the site changes.
    pub maintenance: Option<PathBuf>,
    /// Back up what is about to be replaced.
    pub safety: bool,
    /// The settings of now, for the safety backup.
    pub config: Document,
    /// What shall be different from the backup.
    pub rewrite: Wanted,
}

impl Request {
    /// Restores all that `backup` has, to where it was, into `database`.
    pub fn all(backup: BackupId, database: Option<Opts>) -> Self {
        Self {
            backup,
            components: vec![Component::Database, Component::Files, Component::Config],
            database,
            tables: Vec::new(),
            keep_new_tables: false,
            target_dir: None,
            maintenance: None,
            safety: true,
            config: Document::default(),
            rewrite: Wanted::default(),
        }
    }
}

/// What a restore would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Tables that exist and are replaced.
    pub replaced_tables: Vec<String>,
    /// Tables that are missing and come back.
    pub added_tables: Vec<String>,
    /// Tables that the backup does not have and that go.
    pub removed_tables: Vec<String>,
    /// Rows that are loaded.
    pub rows: u64,
    /// Files that are unpacked.
    pub files: u64,
    /// Bytes of SQL and files that are read.
    pub bytes: u64,
    /// Names of the options that are set.
    pub options: Vec<String>,
    /// Rows that are not as in the backup, where something shall be different.
    #[serde(default)]
    pub rewritten_rows: u64,
    /// Values that should have been rewritten and are malformed, so that they stay as they were.
    #[serde(default)]
    pub malformed_values: u64,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// As it was foreseen.
    pub preview: Preview,
    /// The backup of what was replaced.
    pub safety: Option<BackupId>,
    /// The settings to apply through the host, when the configuration was asked for. They stay in this
    /// process: those of an encrypted backup hold secrets, and an outcome is written into a report.
    #[serde(skip)]
    pub config: Option<Document>,
    /// What could not be tidied up.
    pub warnings: Vec<String>,
}

/// A restore that was thought through and has changed nothing.
pub struct Plan<'a> {
    request: &'a Request,
    chain: Chain,
    roots: Vec<Root>,
    config: Option<Document>,
    aside: Vec<String>,
    rewrite: Option<Rewrite>,
    /// What it will do.
    pub preview: Preview,
}

impl<'a> Plan<'a> {
    /// Finds out what `request` comes to.
    ///
    /// # Errors
    /// As [`Chain::open`], or the server cannot take it.
    pub fn new(store: &Store, request: &'a Request) -> Result<Self> {
        let mut plan = Self {
            request,
            roots: Vec::new(),
            config: None,
            aside: Vec::new(),
            rewrite: None,
            preview: Preview::default(),
            chain: Chain::open(store, &request.backup)?,
        };
        plan.plan_rewrite()?;
        plan.plan_database()?;
        plan.plan_files()?;
        plan.plan_config()?;
        Ok(plan)
    }

    /// Does it.
    ///
    /// # Errors
    /// The site is as it was.
    pub fn execute(self, locked: &Locked<'_>, clock: &dyn Clock) -> Result<Outcome> {
        self.execute_announced(locked, clock, &mut |_| {})
    }

    /// As [`Plan::execute`], and tells `announce` the id as soon as there is a report on it.
    pub fn execute_announced(
        self,
        locked: &Locked<'_>,
        clock: &dyn Clock,
        announce: &mut dyn FnMut(&BackupId),
    ) -> Result<Outcome> {
        let progress = Progress::begin(locked, "restore", self.chain.id(), clock)?;
        announce(self.chain.id());
        let outcome = self.run(locked, clock, &progress);
        if let Ok(outcome) = &outcome {
            progress.set_result(&outcome);
        }
        progress.end(&outcome);
        outcome
    }

    fn run(self, store: &Store, clock: &dyn Clock, progress: &Progress<'_>) -> Result<Outcome> {
        if Journal::read(store)?.is_some() {
            return Err(fault("a restore was interrupted and has to be recovered first"));
        }
        let mut run = Run::begin(self, store, clock, progress)?;
        match run.change() {
            Ok(safety) => Ok(run.commit(safety)),
            Err(error) => Err(run.give_up(error)),
        }
    }

    /// Reads the rows through, and tells in [`Plan::preview`] how many would be rewritten.
    ///
    /// # Errors
    /// The backup is damaged.
    pub fn count_rewrites(&mut self) -> Result<()> {
        let (Some(rewrite), Some(part)) = (&self.rewrite, self.database()) else { return Ok(()) };
        for table in self.tables(part) {
            database::count_rewrites(&self.chain, table, rewrite)?;
        }
        let tally = rewrite.tally();
        (self.preview.rewritten_rows, self.preview.malformed_values) = (tally.rows, tally.malformed);
        Ok(())
    }

    fn plan_rewrite(&mut self) -> Result<()> {
        let wanted = &self.request.rewrite;
        if *wanted == Wanted::default() {
            return Ok(());
        }
        let part = self
            .database()
            .ok_or_else(|| fault("addresses and table names are in the database, which is not restored"))?;
        let has_settings = self.chain.manifest().components.contains(&Component::Config);
        let document: Option<Document> = has_settings.then(|| self.chain.document(DOCUMENT)).transpose()?;
        let rewrite = Rewrite::new(wanted, part, document.as_ref())?;
        self.rewrite = rewrite;
        Ok(())
    }

    fn new_name(&self, name: &str) -> String {
        self.rewrite.as_ref().map_or_else(|| name.to_owned(), |rewrite| rewrite.name(name))
    }

    /// The tables of the site that is restored.
    fn filter(&self, part: &DatabasePart) -> TableFilter {
        self.rewrite.as_ref().map_or_else(|| part.filter.clone(), |rewrite| rewrite.filter(&part.filter))
    }

    fn plan_database(&mut self) -> Result<()> {
        let Some(part) = self.database() else { return Ok(()) };
        let opts = self.opts()?;
        let tables = self.tables(part);
        let present = database::table_names(opts)?;
        let (replaced, added): (Vec<_>, Vec<_>) =
            tables.iter().map(|table| self.new_name(&table.name)).partition(|name| present.contains(name));
        let new =
            |name: &&String| part.filter.takes(name) && !part.tables.iter().any(|table| table.name == **name);
        // Under another prefix the tables that are there may be another site's.
        let renames = self.rewrite.as_ref().is_some_and(Rewrite::renames);
        let all = self.request.tables.is_empty() && !self.request.keep_new_tables && !renames;
        let mut removed: Vec<String> = present.iter().filter(new).filter(|_| all).cloned().collect();
        removed.sort();
        let rows: u64 = tables.iter().map(|table| table.rows).sum();
        let bytes: u64 = tables.iter().map(|table| table.bytes).sum();
        let limit = database::longest_statement(opts)?;
        if part.largest_statement >= limit {
            let message = format!(
                "the server's max_allowed_packet is {limit}, the backup has a statement of {} bytes",
                part.largest_statement
            );
            return Err(fault(message));
        }
        self.preview.rows += rows;
        self.preview.bytes += bytes;
        self.aside.clone_from(&removed);
        self.preview.replaced_tables = replaced;
        self.preview.added_tables = added;
        self.preview.removed_tables = removed;
        Ok(())
    }

    fn plan_files(&mut self) -> Result<()> {
        let Some(part) = self.files() else { return Ok(()) };
        let (files, bytes) = (part.files, part.bytes);
        self.roots = part.roots.clone();
        if let Some(folder) = &self.request.target_dir {
            self.roots = relocated(&self.roots, folder);
        }
        self.preview.files += files;
        self.preview.bytes += bytes;
        Ok(())
    }

    fn plan_config(&mut self) -> Result<()> {
        let wanted = self.request.components.contains(&Component::Config);
        if !wanted || !self.chain.manifest().components.contains(&Component::Config) {
            return Ok(());
        }
        let document: Document = self.chain.document(DOCUMENT)?;
        self.preview.options = document.options.keys().cloned().collect();
        self.config = Some(document);
        Ok(())
    }

    fn database(&self) -> Option<&DatabasePart> {
        let wanted = self.request.components.contains(&Component::Database);
        self.chain.database().filter(|_| wanted)
    }

    fn files(&self) -> Option<&FilesPart> {
        let wanted = self.request.components.contains(&Component::Files);
        self.chain.files().filter(|_| wanted)
    }

    fn tables<'b>(&self, part: &'b DatabasePart) -> Vec<&'b TablePart> {
        let filter = match self.request.tables.as_slice() {
            [] => TableFilter::All,
            names => TableFilter::Named(names.to_vec()),
        };
        part.tables.iter().filter(|table| filter.takes(&table.name)).collect()
    }

    fn opts(&self) -> Result<&'a Opts> {
        self.request.database.as_ref().ok_or_else(|| fault("no database is configured"))
    }
}

/// A restore that is going on.
struct Run<'a> {
    plan: Plan<'a>,
    store: &'a Store,
    clock: &'a dyn Clock,
    progress: &'a Progress<'a>,
    journal: Journal,
}

impl<'a> Run<'a> {
    fn begin(
        plan: Plan<'a>,
        store: &'a Store,
        clock: &'a dyn Clock,
        progress: &'a Progress<'a>,
    ) -> Result<Self> {
        let token = token(clock, plan.chain.id());
        let tables = plan.database().map(|part| plan.tables(part)).unwrap_or_default();
        let shadows = tables
            .iter()
            .enumerate()
            .map(|(number, table)| Shadow::new(table, &token, number, plan.rewrite.as_ref()))
            .collect();
        let aside = plan
            .aside
            .iter()
            .enumerate()
            .map(|(n, name)| (name.clone(), format!("{RESTORE_TABLES}{token}_gone_{n}")));
        let mut roots = plan.roots.clone();
        for root in &mut roots {
            create_public_folder(&root.path)?;
            root.path = root.path.canonicalize().map_err(file("find", &root.path))?;
        }
        let journal = Journal {
            backup: plan.chain.id().clone(),
            phase: Phase::Loading,
            database: plan.database().map(|_| plan.opts()).transpose()?.map(database::name_of),
            swap: Swap { shadows, aside: aside.collect(), ..Swap::default() },
            exchanges: Vec::new(),
            staging: roots.iter().map(|root| root.path.join(format!("{STAGING}{token}"))).collect(),
            maintenance: None,
        };
        journal.write(store)?;
        let mut run = Self { plan, store, clock, progress, journal };
        run.plan.roots = roots;
        Ok(run)
    }

    /// Everything up to the commit. On an error [`Run::give_up`] takes it back.
    fn change(&mut self) -> Result<Option<BackupId>> {
        self.progress.step("database");
        self.load_tables()?;
        self.progress.step("files");
        self.stage_files()?;
        self.close_site()?;
        self.progress.step("safety backup");
        let safety = self.take_safety_backup()?;
        self.note_definitions()?;
        self.progress.step("swap");
        self.journal.enter(self.store, Phase::Swapping)?;
        for exchange in &self.journal.exchanges {
            exchange.apply()?;
        }
        if self.plan.database().is_some() {
            let mut conn = database::sole_writer(self.plan.opts()?, &self.journal.swap.shadows)?;
            self.journal.swap.apply(&mut conn)?;
        }
        self.journal.enter(self.store, Phase::Committed)?;
        Ok(safety)
    }

    fn commit(self, safety: Option<BackupId>) -> Outcome {
        let opts = self.plan.request.database.as_ref();
        let warnings = match settle(&self.journal, self.store, opts) {
            Ok(()) => Vec::new(),
            Err(error) => vec![error.context("the restore is complete, but not tidied up").to_string()],
        };
        let mut preview = self.plan.preview;
        if let Some(tally) = self.plan.rewrite.as_ref().map(Rewrite::tally) {
            (preview.rewritten_rows, preview.malformed_values) = (tally.rows, tally.malformed);
        }
        Outcome { preview, safety, config: self.plan.config, warnings }
    }

    fn give_up(self, cause: crate::error::Error) -> crate::error::Error {
        match settle(&self.journal, self.store, self.plan.request.database.as_ref()) {
            Ok(()) => cause,
            Err(error) => cause.context(format!("the next run has to take this back ({error})")),
        }
    }

    fn load_tables(&self) -> Result<()> {
        let Some(part) = self.plan.database() else { return Ok(()) };
        let tables: Vec<(&TablePart, &Shadow)> =
            self.plan.tables(part).into_iter().zip(&self.journal.swap.shadows).collect();
        let opts = self.plan.opts()?;
        let (chain, rewrite) = (&self.plan.chain, self.plan.rewrite.as_ref());
        database::Load { opts, chain, tables, progress: self.progress, rewrite }.run()
    }

    fn stage_files(&mut self) -> Result<()> {
        let Some(part) = self.plan.files() else { return Ok(()) };
        let mut targets = Vec::new();
        for (root, staging) in self.plan.roots.iter().zip(&self.journal.staging) {
            create_folder(&staging.join("new"))?;
            targets.push((root.name.as_str(), staging.join("new")));
        }
        stage(&self.plan.chain, &targets)?;
        let mut places = self.journal.staging.clone();
        places.push(self.store.root().canonicalize().map_err(file("find", self.store.root()))?);
        let keep = Keep { exclude: &part.exclude, places: &places };
        let mut exchanges = Vec::new();
        for (root, staging) in self.plan.roots.iter().zip(&self.journal.staging) {
            exchanges.push(Exchange::plan(root, staging.join("new"), staging.join("old"), &keep)?);
        }
        self.journal.exchanges = exchanges;
        Ok(())
    }

    fn close_site(&mut self) -> Result<()> {
        if let Some(path) = &self.plan.request.maintenance {
            // Noted first: a file that is not there is no harm, one that nobody removes is.
            self.journal.maintenance = Some(path.clone()).filter(|path| !path.exists());
            self.journal.write(self.store)?;
            maintenance::enter(path, self.store, self.clock.now())?;
        }
        Ok(())
    }

    /// A complete backup of what is about to be replaced. It builds on no other, because what it
    /// would build on may be what is broken.
    fn take_safety_backup(&self) -> Result<Option<BackupId>> {
        let (database, files) = (self.plan.database(), self.plan.files());
        let mut components: Vec<Component> = Vec::new();
        components.extend(database.map(|_| Component::Database));
        components.extend(files.map(|_| Component::Files));
        components.extend(self.plan.config.as_ref().map(|_| Component::Config));
        if !self.plan.request.safety || components.is_empty() {
            return Ok(None);
        }
        let request = create::Request {
            kind: BackupType::Full,
            purpose: Purpose::Safety,
            database: self.plan.request.database.clone(),
            tables: database.map_or(TableFilter::All, |part| self.plan.filter(part)),
            files: Source {
                roots: self.plan.roots.clone(),
                exclude: files.map(|part| part.exclude.clone()).unwrap_or_default(),
            },
            config: self.plan.request.config.clone(),
            ..create::Request::full(&components)
        };
        let quiet = Progress::silent(self.clock);
        let taken = create::Plan::new(self.store, &request, self.clock);
        let taken = taken.and_then(|plan| plan.execute(self.store, self.clock, &quiet));
        taken.map(|manifest| Some(manifest.id)).map_err(|error| error.context("the safety backup"))
    }

    /// What is defined now and what will be. A restore of some tables leaves all but their triggers
    /// alone; routines and events that the backup does not know are never dropped.
    fn note_definitions(&mut self) -> Result<()> {
        let Some(part) = self.plan.database() else { return Ok(()) };
        let shadows = &self.journal.swap.shadows;
        let all = self.plan.request.tables.is_empty();
        let ours = |object: &Object| {
            let of_table = |table: &String| shadows.iter().any(|shadow| shadow.table == *table);
            all || (object.kind == ObjectKind::Trigger && object.about.iter().all(of_table))
        };
        let new = |object: &Object| {
            self.plan.rewrite.as_ref().map_or_else(|| object.clone(), |rewrite| rewrite.object(object))
        };
        let after: Vec<_> = part.objects.iter().map(new).filter(|object| ours(object)).collect();
        let same = |a: &Object, b: &Object| (a.kind, &a.name) == (b.kind, &b.name);
        let mut before = database::objects(self.plan.opts()?, &self.plan.filter(part))?;
        before.retain(|object| {
            let by_table = matches!(object.kind, ObjectKind::View | ObjectKind::Trigger);
            ours(object) && (by_table || after.iter().any(|new| same(new, object)))
        });
        self.journal.swap.before = before;
        self.journal.swap.after = after;
        Ok(())
    }
}

/// Whether a restore goes on, or died. Who holds the lock and sees one knows that it died.
pub fn is_under_way(store: &Store) -> bool {
    Journal::exists(store)
}

/// The name of the database that a restore which died was changing; `None` when none died, or it was
/// of files alone.
pub fn interrupted_database(store: &Store) -> Result<Option<String>> {
    Ok(Journal::read(store)?.and_then(|journal| journal.database))
}

/// Ends a restore that died: takes it back or finishes it. `None` when there was none.
///
/// # Errors
/// The journal is of another database, or the database refuses; the journal stays.
pub fn recover(store: &Store, database: Option<&Opts>) -> Result<Option<BackupId>> {
    let Some(journal) = Journal::read(store)? else { return Ok(None) };
    settle(&journal, store, database)?;
    Ok(Some(journal.backup))
}

fn settle(journal: &Journal, store: &Store, opts: Option<&Opts>) -> Result<()> {
    if let Some(name) = &journal.database {
        let opts =
            opts.ok_or_else(|| fault(format!("a restore into the database {name} has to be ended")))?;
        if database::name_of(opts) != *name {
            return Err(fault(format!("an interrupted restore is of the database {name}")));
        }
        let mut conn = database::sole_writer(opts, &journal.swap.shadows)?;
        match journal.phase {
            Phase::Loading => database::drop_shadows(&mut conn, &journal.swap.shadows)?,
            Phase::Swapping => journal.swap.undo(&mut conn)?,
            Phase::Committed => journal.swap.finish(&mut conn)?,
        }
    }
    if journal.phase == Phase::Swapping {
        for exchange in journal.exchanges.iter().rev() {
            exchange.undo()?;
        }
    }
    for folder in &journal.staging {
        remove_folder(folder)?;
    }
    if let Some(path) = &journal.maintenance {
        maintenance::leave(path)?;
    }
    Journal::remove(store)
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// A folder of the site itself, with the usual permissions.
fn create_public_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(file("create", path))
}

/// Eight digits that no other restore uses.
pub(crate) fn token(clock: &dyn Clock, id: &BackupId) -> String {
    let seed = format!("{} {} {id}", clock.now().nanos(), std::process::id());
    hex(blake3::hash(seed.as_bytes()).as_bytes().get(..4).unwrap_or_default())
}
