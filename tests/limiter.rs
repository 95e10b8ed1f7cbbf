//! The limiter through its public face, over real shared memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "limiter/facade.rs"]
mod facade;
#[path = "limiter/lists.rs"]
mod lists;
#[path = "limiter/support.rs"]
mod support;
