//! Backup and restore against a real MariaDB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "how many were killed, and what could not be tried"
)]

#[path = "../common/mod.rs"]
mod common;
mod crafted;
mod encrypted;
mod faults;
mod files;
mod fixture;
mod full;
mod incremental;
mod moved;
mod remote;
mod restore;
mod upkeep;
