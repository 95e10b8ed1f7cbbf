//! The database component: a consistent snapshot read in key order, and its way back.

pub mod column;
mod definition;
mod dump;
pub mod key;
mod read;
mod schema;
mod session;
mod shadow;
mod snapshot;
mod sql_file;
mod swap;
mod table;

use std::collections::HashSet;

use mysql::Opts;
use mysql::prelude::Queryable;

use super::fault::database;
use super::format::Object;
use crate::error::Result;

pub(crate) use dump::{Dump, dump};
pub(crate) use schema::RESTORE_TABLES;
pub use schema::TableFilter;
pub(crate) use session::reader;
pub(crate) use shadow::{Load, Shadow, count_rewrites, drop_shadows, is_exact, sole_writer};
pub(crate) use swap::Swap;
pub(crate) use table::ranges_path;

/// Names of the tables that are there, views left out.
pub(crate) fn table_names(opts: &Opts) -> Result<HashSet<String>> {
    swap::table_names(&mut session::reader(opts)?)
}

/// What is defined on the tables that `filter` takes.
pub(crate) fn objects(opts: &Opts, filter: &TableFilter) -> Result<Vec<Object>> {
    schema::objects(&mut session::reader(opts)?, filter)
}

/// The longest statement the server takes, in bytes.
pub(crate) fn longest_statement(opts: &Opts) -> Result<u64> {
    let limit = session::reader(opts)?.query_first("SELECT @@max_allowed_packet");
    Ok(limit.map_err(database("reading max_allowed_packet"))?.unwrap_or(u64::MAX))
}

/// The name of the database that `opts` connect to.
pub(crate) fn name_of(opts: &Opts) -> String {
    opts.get_db_name().unwrap_or_default().to_owned()
}
