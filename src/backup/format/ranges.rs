//! `db/<stem>.ranges.gz`: every key range of a table, in key order.
//!
//! It lists all ranges of the table, also those whose rows an older backup stores, so the newest
//! backup alone says where each row is.

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::super::database::key::Bound;
use super::super::id::BackupId;
use super::lines::{LineReader, hex};

/// Reads the ranges of a table.
pub type RangeReader = LineReader<Range>;

/// One range `[lower, next range's lower)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The key it begins with; `None` for the first range, which is open below.
    pub lower: Option<Bound>,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the statement that inserts them; 0 without rows.
    pub bytes: u64,
    /// BLAKE3 of that statement.
    #[serde(with = "hex")]
    pub hash: Hash,
    /// Where the statement is; `None` without rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

/// A gzip member in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The backup that has it.
    pub backup: BackupId,
    /// The stem of the file there.
    pub stem: String,
    /// Where the member begins.
    pub offset: u64,
    /// Its length.
    pub length: u64,
}
