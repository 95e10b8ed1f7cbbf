//! `manifest.json`: a backup without its data.

use serde::{Deserialize, Serialize};

use super::super::database::TableFilter;
use super::super::database::column::Column;
use super::super::files::Root;
use super::super::id::BackupId;

/// The version of the folder's format: 1, and 2 where it is encrypted. A reader refuses a newer one.
pub const FORMAT: u32 = 2;

/// What a backup builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupType {
    /// Nothing: it is complete in itself.
    Full,
    /// The newest backup of any type.
    Incremental,
    /// The newest full backup.
    Differential,
}

impl BackupType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Full, Self::Incremental, Self::Differential];

    /// The type's name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Differential => "differential",
        }
    }
}

/// What a backup is for. Retention keeps each kind by a rule of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Someone asked for it.
    #[default]
    Manual,
    /// The daily backup.
    Daily,
    /// The weekly backup.
    Weekly,
    /// The monthly backup, kept longer.
    Monthly,
    /// Taken before a restore, of what it replaces.
    Safety,
    /// Taken by a disaster recovery test.
    Drill,
}

/// A part of a site that can be backed up and restored alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Tables, views, triggers, routines and events.
    Database,
    /// Files below the configured roots.
    Files,
    /// Options, constants by name, versions.
    Config,
}

impl Component {
    /// Every component.
    pub const ALL: [Self; 3] = [Self::Database, Self::Files, Self::Config];

    /// Their names, as error messages list them.
    pub const NAMES: &str = "'database', 'files' or 'config'";

    /// The component's name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Files => "files",
            Self::Config => "config",
        }
    }
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1, or 2 with [`Manifest::encryption`].
    pub format: u32,
    /// The backup's id, also its folder's name.
    pub id: BackupId,
    /// Its place in the store: later backups have larger numbers, whatever the clock did.
    pub sequence: u64,
    /// What it builds on.
    #[serde(rename = "type")]
    pub kind: BackupType,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
    /// The components in it.
    pub components: Vec<Component>,
    /// When the backup began: seconds since the epoch, UTC.
    pub created_at: u64,
    /// When it was complete: seconds since the epoch, UTC.
    pub completed_at: u64,
    /// Bytes of its files, but for this one and the checksums.
    pub size: u64,
    /// The version of slbp that wrote it.
    pub tool: String,
    /// How it is encrypted; the two parts below are then in [`Contents`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The database component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabasePart>,
    /// The files component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesPart>,
}

/// What an encrypted backup tells everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encryption {
    /// The recipients, abbreviated: which key is wanted.
    pub recipients: Vec<String>,
    /// On what the database builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Lineage>,
    /// On what the files build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Lineage>,
    /// How many files could not be read.
    #[serde(default)]
    pub unreadable_count: u64,
}

/// What an encrypted backup tells who has a key: `contents.json.age`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// The database component.
    pub database: Option<DatabasePart>,
    /// The files component.
    pub files: Option<FilesPart>,
}

impl Manifest {
    /// On what `component` builds; `None` when it is not in this backup.
    pub fn lineage(&self, component: Component) -> Option<&Lineage> {
        let told = self.encryption.as_ref();
        match component {
            Component::Database => {
                let part = self.database.as_ref().map(|part| &part.lineage);
                part.or_else(|| told?.database.as_ref())
            }
            Component::Files => {
                let part = self.files.as_ref().map(|part| &part.lineage);
                part.or_else(|| told?.files.as_ref())
            }
            Component::Config => None,
        }
    }

    /// How many files could not be read. With one of them the backup is partial.
    pub fn unreadable_count(&self) -> u64 {
        let told = self.encryption.as_ref().map(|told| told.unreadable_count);
        self.files.as_ref().map(|files| files.unreadable_count).or(told).unwrap_or(0)
    }

    /// What of it is told to everybody when the backup is encrypted for `recipients`, and what is not.
    pub fn split(self, recipients: Vec<String>) -> (Self, Contents) {
        let encryption = Encryption {
            recipients,
            database: self.lineage(Component::Database).cloned(),
            files: self.lineage(Component::Files).cloned(),
            unreadable_count: self.unreadable_count(),
        };
        let (database, files) = (self.database, self.files);
        let clear = Self { encryption: Some(encryption), database: None, files: None, ..self };
        (clear, Contents { database, files })
    }

    /// Every backup that restoring this one reads, oldest first, its own id last.
    pub fn needs(&self) -> Vec<BackupId> {
        let lineages =
            [Component::Database, Component::Files].into_iter().filter_map(|part| self.lineage(part));
        let mut ids: Vec<BackupId> = lineages.flat_map(|lineage| lineage.chain.clone()).collect();
        ids.sort();
        ids.dedup();
        ids.retain(|id| *id != self.id);
        ids.push(self.id.clone());
        ids
    }
}

/// On what a component of a backup builds. Components have lineages of their own, because a daily
/// backup of the database may lie between two backups of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The backup it was compared with; `None` when it is complete in itself.
    pub parent: Option<BackupId>,
    /// Every backup that must be applied in order to get here, its own id last.
    pub chain: Vec<BackupId>,
}

impl Lineage {
    /// The lineage of `id`, which builds on `parent`.
    pub fn of(id: &BackupId, parent: Option<&Lineage>) -> Self {
        let mut chain = parent.map(|parent| parent.chain.clone()).unwrap_or_default();
        let parent = chain.last().cloned();
        chain.push(id.clone());
        Self { parent, chain }
    }

    /// The complete backup at the start of the chain.
    pub fn base(&self) -> Option<&BackupId> {
        self.chain.first()
    }
}

/// The database component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabasePart {
    /// On what it builds.
    pub lineage: Lineage,
    /// The database's name where it was taken.
    pub name: String,
    /// Which tables it has.
    pub filter: TableFilter,
    /// The server's version.
    pub server: String,
    /// The instant of the snapshot on the server's clock: seconds since the epoch, UTC.
    pub snapshot_at: u64,
    /// The binary log's file and position at the snapshot, where the server told it.
    pub binlog: Option<(String, u64)>,
    /// How every table came to be read at the same instant.
    pub consistency: String,
    /// The longest statement in it, in bytes; the target's `max_allowed_packet` must be larger.
    pub largest_statement: u64,
    /// Tables, by name.
    pub tables: Vec<TablePart>,
    /// Views, triggers, routines and events.
    pub objects: Vec<Object>,
}

/// The files component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilesPart {
    /// On what it builds.
    pub lineage: Lineage,
    /// The folders that were backed up.
    pub roots: Vec<Root>,
    /// What was left out of them.
    pub exclude: Vec<String>,
    /// Regular files in them.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Files, folders and links that this backup's archive has.
    pub stored_files: u64,
    /// Bytes of the files that this backup's archive has.
    pub stored_bytes: u64,
    /// Paths that the parent had and this has not.
    pub deleted: u64,
    /// Files that changed while they were read.
    pub torn: u64,
    /// The first files that could not be read.
    pub unreadable: Vec<String>,
    /// How many could not be read. With one of them the backup is partial.
    pub unreadable_count: u64,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TablePart {
    /// Its name.
    pub name: String,
    /// Its files are `db/<stem>.sql.gz` (absent when no range is stored here) and `db/<stem>.ranges`.
    pub stem: String,
    /// Its storage engine.
    pub engine: String,
    /// Its `CREATE TABLE`, without the auto-increment counter.
    pub create: String,
    /// The auto-increment counter.
    pub auto_increment: Option<u64>,
    /// The columns that are stored, in the order of the literals.
    pub columns: Vec<Column>,
    /// The columns of the key that ranges are cut by; empty when no key will do.
    pub key: Vec<String>,
    /// The size at which a range was closed, in bytes of SQL.
    pub range_size: u64,
    /// Rows in the table.
    pub rows: u64,
    /// Bytes of the SQL that inserts them all.
    pub bytes: u64,
    /// Bytes of gzip that this backup stores for it.
    pub stored: u64,
    /// Whether this backup drops and creates it, rather than changing what its parent left.
    pub recreated: bool,
    /// Whether it was read in the snapshot. Only transactional engines can be.
    pub in_snapshot: bool,
}

/// What kind of thing an [`Object`] is, in the order in which they are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A stored function.
    Function,
    /// A stored procedure.
    Procedure,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// An event.
    Event,
}

impl ObjectKind {
    /// The kind's keyword in `DROP` and `SHOW CREATE`.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Event => "EVENT",
        }
    }
}

/// A thing that is defined, not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// Its `CREATE` statement.
    pub create: String,
    /// The `sql_mode` it was created under.
    pub sql_mode: String,
    /// `character_set_client` and `collation_connection` it was created under.
    pub charset: Option<(String, String)>,
    /// The time zone that an event's schedule is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// A view's columns, or the table a trigger belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
}
