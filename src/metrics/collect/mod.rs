//! What is read at the moment of a scrape, one file for each place it is read from.
//!
//! Refuses to do: ask a database or another server. What only those know is sampled by the tick and
//! kept in the registry.

pub mod counters;
pub mod system;
