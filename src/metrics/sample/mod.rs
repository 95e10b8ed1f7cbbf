//! What only a database knows: read at most once a minute by whoever holds the lease, and kept in the
//! registry until the next time. A scrape shows what was kept.
//!
//! Every statement is bounded: it reads counters of the server, or a limited number of rows at the end
//! of a table.

pub mod business;
pub mod database;
