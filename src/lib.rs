//! slbp: a native PHP extension that makes a WordPress billing site fast, scalable and hard to kill.
//!
//! The crate has three floors, and calls only go down:
//! `binding` (the PHP boundary) → the domains (`limiter`, …) → `ports`, `config`, `shm`, `remote` →
//! `error`, `clock`. No domain knows PHP; no domain imports another. `tests/architecture.rs` holds
//! both rules, and CONTRIBUTING.md is the map of the house.

pub mod alerts;
pub mod assets;
pub mod backup;
pub mod cache;
pub mod clock;
pub mod config;
pub mod error;
pub mod health;
pub mod limiter;
pub mod metrics;
pub mod ports;
pub mod query;
pub mod queue;
pub mod remote;
pub mod session;
pub mod shm;

#[cfg(feature = "php")]
mod binding;
