//! Backups of a site that are proven to restore.
//!
//! Owns: full, incremental and differential backups of the database, the files and the
//! configuration; their verification, restore, retention and schedule. A backup is a folder that
//! `sh`, `tar`, `gunzip` and the `mariadb` client can restore without this extension ([`format`]).
//! Refuses to do: anything that needs PHP or WordPress, and anything by the shell.
//!
//! Each verb has a file of its own and is planned before it is executed; what the folder looks
//! like is apart from the verbs.

pub mod age;
pub mod catalog;
pub mod chain;
pub mod config;
pub mod create;
pub mod database;
pub mod drill;
pub mod export;
mod fault;
pub mod files;
pub mod format;
mod glob;
mod gzip;
mod id;
pub mod job;
mod journal;
pub mod lineage;
mod lock;
pub mod progress;
pub mod remote;
pub mod restore;
pub mod retention;
pub mod rewrite;
pub mod schedule;
pub mod settings;
mod space;
mod store;
pub mod verify;

pub use chain::Chain;
pub use id::BackupId;
pub use lock::{Holder, Locked};
pub use store::Store;
