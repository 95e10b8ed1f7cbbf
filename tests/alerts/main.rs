//! Alerts: rules, states, who is told what, and the channels against real sockets and a real
//! Alertmanager.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod channels;
mod delivery;
mod history;
mod rules;
mod shelves;
mod world;
