//! Rate limiting: who may do what how often.
//!
//! Owns: quotas and their arithmetic, the rules that choose them, lists and bans, the identity of a
//! client, and how a decision is told. Refuses to do: speak PHP or WordPress, start a thread, or
//! refuse a visitor because a helper of ours is down.
//!
//! Read in this order: [`policy`] (pure integers over one 64-bit word), [`store`] (where the words
//! are kept), [`rules`] and [`settings`], [`lists`], [`client`], [`abuse`], [`headers`], and the
//! facade [`Limiter`], which only puts them together.
//!
//! Invariant: a limit is exact across everything that shares the store, on every interleaving of its
//! processes, because a client's whole state under a quota is one word that is replaced by one
//! compare-and-swap (in Redis: by one script).

pub mod abuse;
pub mod client;
mod describe;
mod facade;
mod glob;
pub mod headers;
pub mod keys;
pub mod lists;
pub mod policy;
pub mod rules;
pub mod settings;
pub mod store;

pub use facade::{Check, Host, Limiter, Reason, Request, Violation};
