//! Backup and restore against a real MariaDB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod encrypted;
mod files;
mod fixture;
mod full;
mod incremental;
mod remote;
mod restore;
mod upkeep;
