//! Making a backup.

use mysql::Opts;

use super::chain::Chain;
use super::config::{DOCUMENT, Document};
use super::database::{Dump, TableFilter, dump};
use super::fault::{fault, malformed};
use super::files::{FileBackup, Source, archive};
use super::format::{
    BackupType, CONTENTS, Component, MANIFEST, Manifest, Purpose, RESTORE_SCRIPT, restore_text,
};
use super::gzip::{LEVEL, Pool};
use super::id::BackupId;
use super::lineage::parent;
use super::lock::Locked;
use super::progress::Progress;
use super::space;
use super::store::{Draft, Store};
use crate::clock::Clock;
use crate::error::Result;

/// The default of [`Request::max_chain`]: a month of daily incrementals.
pub const MAX_CHAIN: usize = 32;

/// What to back up.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id it shall have; one is made from the time when there is none.
    pub id: Option<BackupId>,
    /// On what it builds.
    pub kind: BackupType,
    /// What it is for.
    pub purpose: Purpose,
    /// The parts of the site.
    pub components: Vec<Component>,
    /// The database, for [`Component::Database`].
    pub database: Option<Opts>,
    /// The tables that belong to the site.
    pub tables: TableFilter,
    /// The folders, for [`Component::Files`].
    pub files: Source,
    /// The document, for [`Component::Config`].
    pub config: Document,
    /// The gzip level, 1 to 9.
    pub level: u32,
    /// How many backups may build on one another before a component is written whole again.
    pub max_chain: usize,
}

impl Request {
    /// A full backup of `components`, with the defaults of everything else.
    pub fn full(components: &[Component]) -> Self {
        Self {
            id: None,
            kind: BackupType::Full,
            purpose: Purpose::Manual,
            components: components.to_vec(),
            database: None,
            tables: TableFilter::All,
            files: Source::default(),
            config: Document::default(),
            level: LEVEL,
            max_chain: MAX_CHAIN,
        }
    }
}

/// What a request comes to, given the backups that exist.
#[derive(Debug)]
pub struct Plan<'a> {
    request: &'a Request,
    sequence: u64,
    expected: u64,
    /// The id it will have.
    pub id: BackupId,
    /// The type it will have: a full when there is nothing that any component could build on.
    pub kind: BackupType,
    /// The backup that the database is compared with.
    pub database_parent: Option<Chain>,
    /// The backup that the files are compared with.
    pub files_parent: Option<Chain>,
}

impl<'a> Plan<'a> {
    /// Decides on what the new backup builds.
    pub fn new(store: &Store, request: &'a Request, clock: &dyn Clock) -> Result<Self> {
        let existing = store.manifests()?;
        let parent_of = |component| {
            let wanted = request.components.contains(&component);
            let found = parent(request.kind, component, &existing, request.max_chain).filter(|_| wanted);
            found
                .filter(|found| continues(store, found))
                .map(|found| Chain::open(store, &found.id))
                .transpose()
        };
        let database_parent = parent_of(Component::Database)?;
        let files_parent = parent_of(Component::Files)?;
        let complete = database_parent.is_none() && files_parent.is_none();
        let kind = if complete { BackupType::Full } else { request.kind };
        let id = match &request.id {
            Some(id) if store.is_taken(id) => return Err(fault(format!("there is a backup {id} already"))),
            Some(id) => id.clone(),
            None => free_id(store, kind, clock)?,
        };
        let alike = |manifest: &&Manifest| manifest.kind == kind && manifest.components == request.components;
        let expected = space::expected(existing.iter().find(alike));
        let sequence = existing.first().map_or(1, |newest| newest.sequence + 1);
        Ok(Self { request, sequence, expected, id, kind, database_parent, files_parent })
    }

    /// Makes the backup and returns its manifest as everybody may read it.
    ///
    /// # Errors
    /// Nothing is left of it.
    pub fn execute(self, store: &Store, clock: &dyn Clock, progress: &Progress<'_>) -> Result<Manifest> {
        let request = self.request;
        let id = &self.id;
        let created_at = clock.now().secs();
        space::check(store, self.expected)?;
        let mut draft = store.begin(id)?;
        let pool = Pool::new(request.level)?;
        let mut manifest = Manifest {
            format: 1,
            id: id.clone(),
            sequence: self.sequence,
            kind: self.kind,
            purpose: request.purpose,
            components: request.components.clone(),
            created_at,
            completed_at: 0,
            size: 0,
            tool: format!("slbp {}", env!("CARGO_PKG_VERSION")),
            encryption: None,
            database: None,
            files: None,
        };
        if request.components.contains(&Component::Database) {
            progress.step("database");
            let opts = request.database.as_ref().ok_or_else(|| fault("no database is configured"))?;
            let parent = self.database_parent.as_ref();
            let work = Dump { opts, filter: &request.tables, id, pool: &pool, parent, progress };
            manifest.database = Some(dump(&work, &mut draft)?);
        }
        if request.components.contains(&Component::Files) {
            progress.step("files");
            let parent = self.files_parent.as_ref();
            let work = FileBackup { source: &request.files, id, pool: &pool, store, parent, progress };
            manifest.files = Some(archive(&work, &mut draft)?);
        }
        if request.components.contains(&Component::Config) {
            let text = serde_json::to_vec_pretty(&request.config).map_err(malformed(DOCUMENT))?;
            draft.write(DOCUMENT, &text)?;
        }
        write_guides(&mut draft, &manifest)?;
        let told = match store.keys() {
            None => manifest,
            Some(keys) => {
                let (told, contents) = Manifest { format: 2, ..manifest }.split(keys.names());
                let text = serde_json::to_vec_pretty(&contents).map_err(malformed(CONTENTS))?;
                draft.write(CONTENTS, &text)?;
                told
            }
        };
        let told = Manifest { size: draft.size(), completed_at: clock.now().secs(), ..told };
        let text = serde_json::to_vec_pretty(&told).map_err(malformed(MANIFEST))?;
        draft.write_clear(MANIFEST, &text)?;
        draft.commit()?;
        Ok(told)
    }
}

/// Plans and makes the backup that `request` asks for.
pub fn create(locked: &Locked<'_>, request: &Request, clock: &dyn Clock) -> Result<Manifest> {
    create_announced(locked, request, clock, &mut |_| {})
}

/// As [`create`], and tells `announce` the id as soon as there is a report on it.
pub fn create_announced(
    locked: &Locked<'_>,
    request: &Request,
    clock: &dyn Clock,
    announce: &mut dyn FnMut(&BackupId),
) -> Result<Manifest> {
    let plan = Plan::new(locked, request, clock)?;
    let progress = Progress::begin(locked, "create", &plan.id, clock)?;
    announce(&plan.id);
    let outcome = plan.execute(locked, clock, &progress);
    progress.end(&outcome);
    outcome
}

/// An id that nothing has.
pub fn free_id(store: &Store, kind: BackupType, clock: &dyn Clock) -> Result<BackupId> {
    let mut ids = (0..1000).map(|attempt| BackupId::at(clock.now(), kind, attempt));
    ids.find(|id| !store.is_taken(id)).ok_or_else(|| fault("a thousand backups of this second exist"))
}

/// Whether a backup of now can build on `parent`: encrypted alike, and what is sealed in it can be read.
fn continues(store: &Store, parent: &Manifest) -> bool {
    match (store.keys(), &parent.encryption) {
        (None, None) => true,
        (Some(keys), Some(encryption)) => keys.names() == encryption.recipients && keys.open_their_own(),
        _ => false,
    }
}

fn write_guides(draft: &mut Draft, manifest: &Manifest) -> Result<()> {
    for (folder, component) in [("db", Component::Database), ("files", Component::Files)] {
        if let Some(lineage) = manifest.lineage(component) {
            let chain: String = lineage.chain.iter().map(|id| format!("{id}\n")).collect();
            draft.write_clear(&format!("{folder}/CHAIN"), chain.as_bytes())?;
        }
    }
    draft.write_clear("restore.sh", RESTORE_SCRIPT.as_bytes())?;
    draft.write_clear("RESTORE.txt", restore_text(manifest, draft.is_encrypted()).as_bytes())
}
