//! The name of a backup.
//!
//! An id is also a folder name, so it is the one thing from outside that touches a path: it is a
//! [`BackupId`] only after it matched `[a-z0-9_-]{1,64}`. No dot and no slash can be in it, which
//! keeps `..`, absolute names and the `.partial` folders of unfinished backups out of reach.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike};
use serde::{Deserialize, Serialize};

use super::format::BackupType;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A valid backup id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// `text` as an id; anything else is a misuse of the argument `backup_id`.
    pub fn parse(text: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid("backup_id", "expected 1 to 64 of a-z, 0-9, '_' and '-'"))
    }

    /// The id of a backup begun at `now`: it sorts by time and reads as what it is. `attempt` is 0
    /// unless the name was taken.
    pub(crate) fn at(now: Timestamp, kind: BackupType, attempt: u32) -> Self {
        let time = DateTime::from_timestamp(now.secs() as i64, 0).unwrap_or_default();
        let (date, clock) = (time.date_naive(), time.time());
        let mut id = format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}-{}",
            date.year(),
            date.month(),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            kind.name(),
        );
        if attempt > 0 {
            id.push_str(&format!("-{}", attempt + 1));
        }
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BackupId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_a_path() {
        for text in ["", ".", "..", "../etc", "/etc", "a/b", "a\0", "a.partial", "A", "é", &"a".repeat(65)] {
            assert!(BackupId::parse(text).is_err(), "{text:?}");
        }
        assert!(BackupId::parse("20260724-091530-full").is_ok());
    }

    #[test]
    fn an_id_says_when_and_what() {
        let at = Timestamp::from_secs(1_753_348_530);
        assert_eq!(BackupId::at(at, BackupType::Full, 0).as_str(), "20250724-091530-full");
        assert_eq!(BackupId::at(at, BackupType::Full, 1).as_str(), "20250724-091530-full-2");
    }
}
