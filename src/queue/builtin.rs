//! The types of task that come with the queue, as far as they are not WordPress.
//!
//! Owns: what they read and write in the site's tables, in pieces of bounded size, and what they do
//! when they are run twice or die in the middle. Refuses to do: charge, mail or call a filter; where
//! a type needs the host in the middle it is two functions, one before and one after, so that
//! nothing of ours is on the stack while PHP runs.

pub mod billing_run;
pub mod campaign;
pub mod cleanup;
pub mod export;
pub mod notifications;
pub mod renewal;

use serde_json::Value;

use crate::config::lax;
use crate::ports::{Database, DatabaseFault};

use super::sql;

/// A whole number in a payload, also as text.
fn number(data: &Value, key: &str) -> Option<u64> {
    data.get(key).and_then(|value| lax::u64(value.clone()).ok())
}

/// A text in a payload.
fn text<'d>(data: &'d Value, key: &str) -> Option<&'d str> {
    data.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The columns of a table of the site, in their order; none when there is no such table.
fn columns(db: &dyn Database, table: &str) -> Result<Vec<String>, DatabaseFault> {
    let rows = db.query(&format!(
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        sql::text(table)
    ))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Column names as they stand in a SELECT.
fn quoted(columns: &[String]) -> String {
    columns.iter().map(|name| format!("`{}`", name.replace('`', "``"))).collect::<Vec<_>>().join(", ")
}
