//! Sessions that several hosts share and that no update is lost from.
//!
//! Owns: who may write a session when. Opening one validates its id, takes its lock, reads it and
//! prolongs it in one exchange with the store; closing it compares, writes and unlocks in another.
//! Refuses to do: know how PHP writes `$_SESSION`; keep a session id: stores see a keyed hash of it.
//!
//! Four stores ([`store`]): shared memory, Redis, Memcached, the database. What is decided is decided
//! in one place ([`policy`]), which Redis has once more as two scripts; one contract suite
//! (`tests/session.rs`) runs over all of them.
//!
//! Invariants:
//! - A lock always ends: with its holder's close, or after its lifetime. It carries a random token, and
//!   every write moves the session's version, so whoever was overtaken finds out and writes nothing.
//! - An update that was answered with [`facade::Saved::Yes`] is in every later read, or the session is gone.
//! - A destroyed session stays dead: what it leaves is a tombstone with a version, which a writer who
//!   comes late does not match.
//! - Of two copies of a session the one with the higher version wins, whichever store was down in
//!   between ([`chain`]).
//!
//! php-redis with locking needs five or six exchanges for what takes two here.

pub mod address;
pub mod backoff;
pub mod chain;
pub mod facade;
pub mod handler;
pub mod name;
pub mod policy;
pub mod seal;
pub mod settings;
pub mod store;
