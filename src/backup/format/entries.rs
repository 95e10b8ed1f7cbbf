//! `files/index.gz`: every file, folder and symbolic link of the site, in the archive's order.
//!
//! Like the ranges of a table, it lists all entries, also those whose bytes an older backup has.

use std::cmp::Ordering;

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::super::id::BackupId;
use super::lines::{LineReader, hex};

/// Reads an index of files.
pub type EntryReader = LineReader<Entry>;

/// A path inside the archive: relative, `/` between parts, any bytes but NUL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ArchivePath {
    /// A path that is text.
    Text(String),
    /// A path that is not UTF-8.
    Bytes {
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

impl ArchivePath {
    /// The path of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { bytes: bytes.to_vec() },
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes { bytes } => bytes,
        }
    }

    /// Whether it stays inside the folder that it is relative to: no empty, `.` or `..` part.
    pub fn is_inside(&self) -> bool {
        let bytes = self.as_bytes();
        let part_is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
        !bytes.is_empty() && !bytes.contains(&0) && bytes.split(|byte| *byte == b'/').all(part_is_name)
    }
}

/// The order of a walk: a folder right before what is in it, names by their bytes.
impl Ord for ArchivePath {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = |path: &'_ Self| {
            path.as_bytes().split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        parts(self).cmp(&parts(other))
    }
}

impl PartialOrd for ArchivePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One file, folder or symbolic link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is.
    pub path: ArchivePath,
    /// What it is.
    #[serde(flatten)]
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Last change of the contents, nanoseconds since the epoch.
    pub mtime: i64,
    /// Last change of the inode, nanoseconds since the epoch. Unlike `mtime` it cannot be set.
    pub ctime: i64,
    /// The inode's number.
    pub inode: u64,
    /// The backup whose archive has it.
    pub backup: BackupId,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// BLAKE3 of its contents.
        #[serde(with = "hex")]
        hash: Hash,
        /// Whether it changed while it was read, so that it may be of no single moment.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        torn: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// What it points to.
        target: ArchivePath,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ArchivePath {
        ArchivePath::new(text.as_bytes())
    }

    #[test]
    fn the_order_is_that_of_a_walk() {
        let walk = ["a", "a/b", "a/b/c", "a-b", "a.b", "b"];
        assert!(
            walk.windows(2).all(|pair| path(pair[0]) < path(pair[1])),
            "a folder comes right before its contents"
        );
    }

    #[test]
    fn paths_that_leave_the_folder_are_known() {
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", ".", "./a", "a/.", "a\0b"] {
            assert!(!path(bad).is_inside(), "{bad:?}");
        }
        assert!(path("a/..b/...").is_inside());
        assert!(ArchivePath::new(b"caf\xe9").is_inside());
    }

    #[test]
    fn a_path_that_is_not_text_survives_json() {
        for bytes in [&b"caf\xe9"[..], b"plain", "ü".as_bytes()] {
            let json = serde_json::to_string(&ArchivePath::new(bytes)).unwrap();
            assert_eq!(serde_json::from_str::<ArchivePath>(&json).unwrap().as_bytes(), bytes);
        }
    }
}
