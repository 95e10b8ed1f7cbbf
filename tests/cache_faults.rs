//! The cache under fire: workers that are killed at any instruction.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    unsafe_code
)]

mod common;

#[path = "cache_faults/increments.rs"]
mod increments;
#[path = "cache_faults/kills.rs"]
mod kills;
#[path = "cache_faults/leases.rs"]
mod leases;
#[path = "support/processes.rs"]
mod processes;
#[path = "cache/world.rs"]
#[allow(dead_code)] // each suite uses a part of it
mod world;
