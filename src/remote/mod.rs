//! Connections to the stores that hosts share (Redis, Memcached, the site's database), and HTTP calls.
//!
//! Owns: how a server is named, reached, given up on and tried again. One connection per worker,
//! opened when first needed, never carried across a fork and never used again after a time-out or
//! an error in the middle of a reply: the next reply on it would be somebody else's answer
//! (phpredis#1418 returned another key's value). Refuses to do: know what the bytes mean; key
//! names, scripts and encodings belong to the domains.
//!
//! Every wait is bounded, and [`breaker`] makes one worker's failure the knowledge of all.

pub mod breaker;
mod cluster;
pub mod database;
mod fault;
pub mod http;
pub mod memcached;
pub mod push;
pub mod redis;
mod sentinel;
pub mod settings;
mod socket;
mod wire;

pub use fault::{Fault, FaultKind};
