//! What is in a backup's folder, apart from the verbs that write and read it.
//!
//! ```text
//! <id>/manifest.json            what it is, what it contains, on what it builds
//! <id>/SHA256SUMS               of every other file; `sha256sum -c SHA256SUMS` works
//! <id>/RESTORE.txt restore.sh   restoring by hand with sh, tar, gunzip and the mariadb client
//! <id>/db/CHAIN                 ids to apply in order, this one last
//! <id>/db/000-pre.sql.gz        drops and creates
//! <id>/db/050-delete.sql.gz     only when building on a parent: the key ranges to empty first
//! <id>/db/100-<table>.sql.gz    rows; one gzip member for each key range that is stored here
//! <id>/db/100-<table>.ranges.gz every key range of the table: its hash and who stores it
//! <id>/db/990-post.sql.gz       views, triggers, routines, events, counters
//! <id>/files/CHAIN              as for the database
//! <id>/files/files.tar.gz       files, folders and links that differ from the parent's
//! <id>/files/deleted.lst        paths that the parent had and this has not, NUL after each
//! <id>/files/index.gz           every path: its hash and who stores it
//! <id>/config/config.json       options, versions, constants by name
//! ```
//!
//! With encryption every file but `manifest.json`, `SHA256SUMS`, the guides and the chains has `.age` at
//! its end, tables have numbers for names, and two files are new: `contents.json.age`, the part of the
//! manifest that names tables and folders, and `SHA256SUMS.age`, which no one without a key can adapt to
//! files that were changed. In the clear are the times, sizes and ids that listing, retention and a copy
//! to another place need.
//!
//! `gunzip -c db/*.sql.gz | mariadb NAME` restores a full backup, because the names sort in
//! restore order.

mod entries;
mod guide;
mod lines;
mod manifest;
mod ranges;
mod sums;

pub use entries::{ArchivePath, Entry, EntryKind, EntryReader};
pub use guide::{RESTORE_SCRIPT, restore_text};
pub use lines::{LineReader, LineWriter};
pub use manifest::{
    BackupType, Component, Contents, DatabasePart, Encryption, FORMAT, FilesPart, Lineage, Manifest, Object,
    ObjectKind, Purpose, TablePart,
};
pub use ranges::{Range, RangeReader, Stored};
pub use sums::{Sum, is_inside, parse_sums, render_sums};

/// The manifest's file name. It is written last.
pub const MANIFEST: &str = "manifest.json";
/// Where an encrypted backup has what its manifest does not tell.
pub const CONTENTS: &str = "contents.json";
/// How the names of lists of ranges end.
pub(crate) const RANGES: &str = ".ranges.gz";
/// The checksums' file name.
pub const SUMS: &str = "SHA256SUMS";
/// Where SQL that goes before the rows is.
pub const PRE: &str = "db/000-pre.sql.gz";
/// Where the deletes of changed ranges are.
pub const DELETES: &str = "db/050-delete.sql.gz";
/// Where SQL that goes after the rows is.
pub const POST: &str = "db/990-post.sql.gz";

/// The statements that every SQL file begins with, so that each can be loaded alone.
pub const SQL_HEADER: &str = "\
SET NAMES utf8mb4;
SET time_zone='+00:00';
SET foreign_key_checks=0;
SET unique_checks=0;
SET sql_mode='NO_AUTO_VALUE_ON_ZERO';
/*M!100200 SET check_constraint_checks=0 */;
";
