//! Making a backup.

use mysql::Opts;

use super::database::{Dump, TableFilter, dump};
use super::fault::fault;
use super::format::{BackupType, Component, FORMAT, MANIFEST, Manifest, RESTORE_SCRIPT, restore_text};
use super::gzip::{LEVEL, Pool};
use super::id::BackupId;
use super::store::{Draft, Store};
use crate::clock::Clock;
use crate::error::Result;

/// What to back up.
#[derive(Clone, Debug)]
pub struct Request {
    /// On what it builds.
    pub kind: BackupType,
    /// The parts of the site.
    pub components: Vec<Component>,
    /// The database, for [`Component::Database`].
    pub database: Option<Opts>,
    /// The tables that belong to the site.
    pub tables: TableFilter,
    /// The gzip level, 1 to 9.
    pub level: u32,
}

impl Request {
    /// A full backup of `components`, with the defaults of everything else.
    pub fn full(components: &[Component]) -> Self {
        Self {
            kind: BackupType::Full,
            components: components.to_vec(),
            database: None,
            tables: TableFilter::All,
            level: LEVEL,
        }
    }
}

/// Makes the backup that `request` asks for and returns its manifest. On an error nothing is left.
pub fn create(store: &Store, request: &Request, clock: &dyn Clock) -> Result<Manifest> {
    let started = clock.now();
    let (id, mut draft) = begin(store, request.kind, clock)?;
    let pool = Pool::new(request.level)?;
    let mut manifest = Manifest {
        format: FORMAT,
        id: id.clone(),
        kind: request.kind,
        parent: None,
        base: id.clone(),
        chain: vec![id.clone()],
        components: request.components.clone(),
        created_at: started.secs(),
        completed_at: 0,
        tool: format!("slbp {}", env!("CARGO_PKG_VERSION")),
        database: None,
    };
    if request.components.contains(&Component::Database) {
        let opts = request.database.as_ref().ok_or_else(|| fault("no database is configured"))?;
        let work = Dump { opts, filter: &request.tables, id: &id, pool: &pool };
        manifest.database = Some(dump(&work, &mut draft)?);
    }
    manifest.completed_at = clock.now().secs();
    write_guides(&mut draft, &manifest)?;
    let text = serde_json::to_vec_pretty(&manifest).map_err(super::fault::malformed(MANIFEST))?;
    draft.write(MANIFEST, &text)?;
    draft.commit()?;
    Ok(manifest)
}

fn begin(store: &Store, kind: BackupType, clock: &dyn Clock) -> Result<(BackupId, Draft)> {
    for attempt in 0..100 {
        let id = BackupId::at(clock.now(), kind, attempt);
        if let Some(draft) = store.begin(&id)? {
            return Ok((id, draft));
        }
    }
    Err(fault("a hundred backups of this second exist"))
}

fn write_guides(draft: &mut Draft, manifest: &Manifest) -> Result<()> {
    let chain: String = manifest.chain.iter().map(|id| format!("{id}\n")).collect();
    draft.write("CHAIN", chain.as_bytes())?;
    draft.write("restore.sh", RESTORE_SCRIPT.as_bytes())?;
    draft.write("RESTORE.txt", restore_text(manifest).as_bytes())
}
