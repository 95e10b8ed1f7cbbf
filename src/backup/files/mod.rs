//! The files component: folders of the site as one archive, and their way back.

mod archive;
mod compare;
mod exchange;
mod replay;
mod stage;
mod walk;

pub(crate) use archive::{FileBackup, archive};
pub use compare::Differences;
pub(crate) use compare::{compare, relocated};
pub(crate) use exchange::{Exchange, Keep};
pub(crate) use replay::replay;
pub(crate) use stage::stage;
pub(crate) use walk::STAGING;
pub use walk::{Root, Source};

/// The archive's name in a backup.
pub const ARCHIVE: &str = "files/files.tar.gz";
/// The index's name in a backup.
pub const INDEX: &str = "files/index.gz";
/// Paths that the parent had and this backup has not, NUL after each.
pub const DELETED: &str = "files/deleted.lst";
