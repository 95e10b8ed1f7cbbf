//! The cache through its facade: one contract for every combination of layers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

#[path = "cache/coherence.rs"]
mod coherence;
#[path = "cache/contract.rs"]
mod contract;
#[path = "cache/outage.rs"]
mod outage;
#[path = "cache/stampede.rs"]
mod stampede;
#[path = "cache/tokens.rs"]
mod tokens;
#[path = "cache/world.rs"]
mod world;
