//! The limiter through its public face, over real shared memory and real Redis servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

#[path = "limiter/clients.rs"]
mod clients;
#[path = "limiter/exactness.rs"]
mod exactness;
#[path = "limiter/facade.rs"]
mod facade;
#[path = "limiter/headers.rs"]
mod headers;
#[path = "limiter/lists.rs"]
mod lists;
#[path = "limiter/outage.rs"]
mod outage;
#[path = "limiter/script.rs"]
mod script;
#[path = "limiter/settings.rs"]
mod settings;
#[path = "limiter/stores.rs"]
mod stores;
#[path = "limiter/support.rs"]
mod support;
