//! Shared memory under fire: workers that are killed, stopped and raced at any instruction.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    unsafe_code
)]

#[path = "shm_faults/every_state.rs"]
mod every_state;
#[path = "shm_faults/kills.rs"]
mod kills;
#[path = "shm_faults/locks.rs"]
mod locks;
#[path = "support/processes.rs"]
mod processes;
#[path = "shm_faults/races.rs"]
mod races;
