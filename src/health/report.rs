//! The answer to "how is it", from the findings of the checks that were asked.

use super::check::Profile;
use super::finding::Finding;
use super::state::{Group, State};
use crate::clock::Timestamp;

/// One check and what it found.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The check.
    pub profile: Profile,
    /// What it found.
    pub finding: Finding,
}

/// All checks of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Who asked.
    pub group: Group,
    /// The whole.
    pub state: State,
    /// When it was put together.
    pub at: Timestamp,
    /// The parts.
    pub entries: Vec<Entry>,
}

impl Report {
    /// The report of `entries`.
    pub fn new(group: Group, at: Timestamp, entries: Vec<Entry>) -> Self {
        let weighed = entries.iter().map(|entry| entry.finding.outcome.state.weighed(entry.profile.critical));
        let state = weighed.max().unwrap_or_default();
        Self { group, state, at, entries }
    }

    /// The HTTP status of the answer.
    pub fn http_status(&self) -> u16 {
        self.state.http_status()
    }
}
