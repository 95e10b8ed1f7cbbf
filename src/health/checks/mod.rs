//! The checks: each a small file. What only the host can see it hands in as a number or a closure.

pub mod backup;
pub mod cache;
pub mod cron;
pub mod database;
pub mod disk;
pub mod external;
pub mod filesystem;
pub mod memory;
pub mod node;
pub mod php;
pub mod queue;
