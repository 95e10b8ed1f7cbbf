//! Sessions through their facade: one contract for every store, and for stores in a chain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

#[path = "session/contract.rs"]
mod contract;
#[path = "session/failover.rs"]
mod failover;
#[path = "session/poison.rs"]
mod poison;
#[path = "session/world.rs"]
mod world;
