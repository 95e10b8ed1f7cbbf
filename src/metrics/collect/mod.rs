//! What is read at the moment of a scrape, one file for each place it is read from.
//!
//! Refuses to do: ask a database or another server. What only those know is sampled by the tick and
//! kept in the registry.

mod cgroup;
pub mod counters;
pub mod php;
pub mod site;
pub mod system;
pub mod workers;
