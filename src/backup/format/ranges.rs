//! `db/<stem>.ranges`: every key range of a table, one JSON object a line, in key order.
//!
//! It lists all ranges of the table, also those whose rows an older backup stores, so the newest
//! backup alone says where each row is. It is read and written line by line: a table of any size
//! takes constant memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::super::database::key::Bound;
use super::super::fault::{fault, file, malformed};
use super::super::id::BackupId;
use crate::error::Result;

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

/// Writes ranges.
pub struct RangeWriter<W: Write>(W);

impl<W: Write> RangeWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self(inner)
    }

    /// Appends `range`.
    pub fn push(&mut self, range: &Range) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, range)?;
        self.0.write_all(b"\n")
    }

    /// Gives the inner writer back.
    pub fn into_inner(self) -> W {
        self.0
    }
}

/// Reads ranges in key order.
pub struct RangeReader {
    lines: io::Lines<BufReader<File>>,
    name: String,
}

impl RangeReader {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = File::open(path).map_err(file("open", path))?;
        Ok(Self { lines: BufReader::new(opened).lines(), name: path.display().to_string() })
    }
}

impl Iterator for RangeReader {
    type Item = Result<Range>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.lines.next()? {
            Ok(line) => line,
            Err(error) => return Some(Err(fault(format!("cannot read {}: {error}", self.name)))),
        };
        Some(serde_json::from_str(&line).map_err(malformed(&self.name)))
    }
}

mod hex {
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hash.to_hex().as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        Hash::from_hex(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
