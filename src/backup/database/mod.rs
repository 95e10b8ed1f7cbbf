//! The database component: a consistent snapshot read in key order, and its way back.

pub mod column;
mod dump;
pub mod key;
mod read;
mod schema;
mod session;
mod snapshot;
mod sql_file;
mod table;

pub(crate) use dump::{Dump, dump};
pub use schema::TableFilter;
pub(crate) use table::ranges_path;
