//! Which backups go: pure policy over the list of backups.
//!
//! Age is counted from the newest good backup, not from now: when the schedule stalls or a clock
//! runs ahead, the last backups do not expire one by one until none is left. A backup that a kept
//! one builds on is kept, the newest is always kept, and what goes goes in an order in which no
//! backup is ever without its base.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::format::{Manifest, Purpose};
use super::id::BackupId;

const DAY: u64 = 86_400;

/// How long backups are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Days for every backup.
    pub days: u32,
    /// Months of 31 days for monthly backups.
    pub monthly_months: u32,
    /// The newest so many are kept whatever their age.
    pub at_least: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { days: 30, monthly_months: 12, at_least: 3 }
    }
}

/// What retention needs to know of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: BackupId,
    /// Its place in the store.
    pub sequence: u64,
    /// When it was made, seconds since the epoch.
    pub created_at: u64,
    /// What for.
    pub purpose: Purpose,
    /// Every backup it needs, itself included.
    pub needs: Vec<BackupId>,
}

impl From<&Manifest> for Candidate {
    fn from(manifest: &Manifest) -> Self {
        Self {
            id: manifest.id.clone(),
            sequence: manifest.sequence,
            created_at: manifest.created_at,
            purpose: manifest.purpose,
            needs: manifest.needs(),
        }
    }
}

/// Why a backup is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is one of the newest.
    Newest,
    /// It is not old enough.
    Recent,
    /// It is a monthly backup, kept longer.
    Monthly,
    /// This backup builds on it.
    NeededBy(BackupId),
}

/// What happens to each backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Those that stay and why.
    pub keep: BTreeMap<BackupId, Reason>,
    /// Those that go, in the order in which they can.
    pub delete: Vec<BackupId>,
}

/// Applies `policy`.
pub fn judge(policy: Policy, backups: &[Candidate]) -> Verdict {
    let mut newest_first: Vec<&Candidate> = backups.iter().collect();
    newest_first.sort_by_key(|backup| std::cmp::Reverse(backup.sequence));
    let of_the_site = |backup: &&&Candidate| !matches!(backup.purpose, Purpose::Safety | Purpose::Drill);
    let reference = newest_first.iter().find(of_the_site).map_or(0, |backup| backup.created_at);
    let newest: BTreeSet<&BackupId> = newest_first
        .iter()
        .filter(of_the_site)
        .take(policy.at_least.max(1))
        .map(|backup| &backup.id)
        .collect();

    let mut verdict = Verdict::default();
    for backup in &newest_first {
        let days = reference.saturating_sub(backup.created_at) / DAY;
        let reason = if newest.contains(&backup.id) {
            Some(Reason::Newest)
        } else if backup.purpose == Purpose::Monthly && days <= u64::from(policy.monthly_months) * 31 {
            Some(Reason::Monthly)
        } else if days <= u64::from(policy.days) {
            Some(Reason::Recent)
        } else {
            None
        };
        if let Some(reason) = reason {
            verdict.keep.insert(backup.id.clone(), reason);
        }
    }
    for backup in &newest_first {
        if verdict.keep.contains_key(&backup.id) {
            for needed in &backup.needs {
                verdict.keep.entry(needed.clone()).or_insert_with(|| Reason::NeededBy(backup.id.clone()));
            }
        }
    }
    let goes = newest_first.iter().filter(|backup| !verdict.keep.contains_key(&backup.id));
    verdict.delete = goes.map(|backup| backup.id.clone()).collect();
    verdict
}

/// The backups that build on `id`, newest first: it cannot go before them.
pub fn dependents(id: &BackupId, backups: &[Candidate]) -> Vec<BackupId> {
    let mut found: Vec<&Candidate> =
        backups.iter().filter(|backup| backup.id != *id && backup.needs.contains(id)).collect();
    found.sort_by_key(|backup| std::cmp::Reverse(backup.sequence));
    found.into_iter().map(|backup| backup.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> BackupId {
        BackupId::parse(&format!("b{n}")).unwrap()
    }

    /// `chain` says on which earlier backup each builds.
    fn history(days: &[(u64, Purpose, Option<usize>)]) -> Vec<Candidate> {
        let mut made: Vec<Candidate> = Vec::new();
        for (n, (day, purpose, parent)) in days.iter().enumerate() {
            let mut needs = parent.and_then(|at| made.get(at)).map(|b| b.needs.clone()).unwrap_or_default();
            needs.push(id(n));
            made.push(Candidate {
                id: id(n),
                sequence: n as u64,
                created_at: day * DAY,
                purpose: *purpose,
                needs,
            });
        }
        made
    }

    #[test]
    fn old_backups_go_but_not_what_newer_ones_need() {
        use Purpose::{Daily, Monthly};
        let backups = history(&[
            (0, Monthly, None),
            (1, Daily, None),
            (60, Daily, None),
            (100, Daily, Some(2)),
            (101, Daily, None),
            (102, Daily, None),
            (103, Daily, None),
        ]);
        let verdict = judge(Policy::default(), &backups);
        assert_eq!(verdict.delete, [id(1)]);
        assert_eq!(verdict.keep.get(&id(0)), Some(&Reason::Monthly));
        assert_eq!(verdict.keep.get(&id(2)), Some(&Reason::NeededBy(id(3))));
    }

    #[test]
    fn a_schedule_that_stalled_loses_nothing() {
        let backups = history(&[(0, Purpose::Daily, None), (1, Purpose::Daily, Some(0))]);
        assert!(judge(Policy { days: 1, monthly_months: 0, at_least: 1 }, &backups).delete.is_empty());
    }

    fn any_history() -> impl Strategy<Value = Vec<Candidate>> {
        let purpose =
            prop::sample::select(vec![Purpose::Manual, Purpose::Daily, Purpose::Monthly, Purpose::Safety]);
        let one = (0u64..400, purpose, prop::option::of(0usize..40));
        prop::collection::vec(one, 0..40).prop_map(|days| {
            let sane: Vec<_> = days
                .iter()
                .enumerate()
                .map(|(n, (d, p, parent))| (*d, *p, parent.filter(|at| *at < n)))
                .collect();
            history(&sane)
        })
    }

    proptest! {
        #[test]
        fn what_is_kept_can_be_restored(backups in any_history(), days in 0u32..60, at_least in 0usize..5) {
            let verdict = judge(Policy { days, monthly_months: 2, at_least }, &backups);
            prop_assert_eq!(verdict.keep.len() + verdict.delete.len(), backups.len());
            for backup in backups.iter().filter(|backup| verdict.keep.contains_key(&backup.id)) {
                prop_assert!(backup.needs.iter().all(|needed| verdict.keep.contains_key(needed)));
            }
            let newest = backups.iter().rev().find(|b| !matches!(b.purpose, Purpose::Safety | Purpose::Drill));
            prop_assert!(newest.is_none_or(|backup| verdict.keep.contains_key(&backup.id)));
        }

        #[test]
        fn at_no_moment_is_a_backup_without_its_base(backups in any_history(), days in 0u32..60) {
            let verdict = judge(Policy { days, monthly_months: 2, at_least: 1 }, &backups);
            let mut left: BTreeSet<_> = backups.iter().map(|backup| backup.id.clone()).collect();
            for gone in &verdict.delete {
                left.remove(gone);
                for backup in backups.iter().filter(|backup| left.contains(&backup.id)) {
                    prop_assert!(!backup.needs.contains(gone), "{} still needs {gone}", backup.id);
                }
            }
        }
    }
}
