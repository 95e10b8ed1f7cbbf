//! The cache through its facade: one contract for every combination of layers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

#[path = "cache/contract.rs"]
mod contract;
#[path = "cache/world.rs"]
mod world;
