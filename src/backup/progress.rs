//! How far a backup or restore is, in a small file that anyone may look at.
//!
//! `<store>/progress/<id>.json` is replaced at most twice a second while work goes on, and once
//! at its end with the outcome, so a failed run leaves its reason behind. A report that says
//! "in progress" is believed only as long as somebody holds the store's lock.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::{file, malformed};
use super::id::BackupId;
use super::lock::Locked;
use super::store::{Store, create_folder, write_atomically};
use crate::clock::{Clock, NANOS_PER_SEC, Timestamp};
use crate::error::Result;

/// The least time between two writes of the file.
const INTERVAL_NANOS: u64 = NANOS_PER_SEC / 2;

/// Whether work goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It goes on.
    #[default]
    InProgress,
    /// It is done.
    Completed,
    /// It ended without a result.
    Failed,
}

/// A report of work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The backup that is made, restored or tested.
    pub id: Option<BackupId>,
    /// `create`, `restore`, `verify` or `drill`.
    pub work: String,
    /// Whether it goes on.
    pub status: State,
    /// What it is doing, for people.
    pub step: String,
    /// Bytes done, of SQL and files.
    pub done_bytes: u64,
    /// Bytes in all, as far as it is known; 0 when it is not.
    pub total_bytes: u64,
    /// Tables and roots done.
    pub done_parts: u64,
    /// Tables and roots in all.
    pub total_parts: u64,
    /// 0 to 100; below 100 until it is completed.
    pub percent: u8,
    /// Seconds left, as far as it is known.
    pub eta_seconds: Option<u64>,
    /// When it began, seconds since the epoch.
    pub started_at: u64,
    /// When this was written, seconds since the epoch.
    pub updated_at: u64,
    /// The reason of a failure.
    pub message: String,
    /// What came of a restore or a test.
    #[serde(default)]
    pub result: Value,
}

/// Where work reports to. Threads add up without a lock; whoever comes after the interval writes.
pub struct Progress<'a> {
    clock: &'a dyn Clock,
    locked: Option<&'a Locked<'a>>,
    path: Option<PathBuf>,
    report: Mutex<Report>,
    done_bytes: AtomicU64,
    done_parts: AtomicU64,
    next_write: AtomicU64,
}

impl<'a> Progress<'a> {
    /// Begins a report on `work` at the backup `id`.
    pub fn begin(locked: &'a Locked<'a>, work: &str, id: &BackupId, clock: &'a dyn Clock) -> Result<Self> {
        create_folder(&locked.root().join("progress"))?;
        let started_at = clock.now().secs();
        let report = Report { id: Some(id.clone()), work: work.to_owned(), started_at, ..Report::default() };
        let progress = Self {
            clock,
            locked: Some(locked),
            path: Some(path(locked, id)),
            report: Mutex::new(report),
            done_bytes: AtomicU64::new(0),
            done_parts: AtomicU64::new(0),
            next_write: AtomicU64::new(0),
        };
        progress.write(clock.now())?;
        Ok(progress)
    }

    /// A report that nobody reads.
    pub fn silent(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            locked: None,
            path: None,
            report: Mutex::default(),
            done_bytes: AtomicU64::new(0),
            done_parts: AtomicU64::new(0),
            next_write: AtomicU64::new(u64::MAX),
        }
    }

    /// What is going on now.
    pub fn step(&self, step: &str) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).step = step.to_owned();
        self.tick();
    }

    /// So much more is to be done.
    pub fn expect(&self, bytes: u64, parts: u64) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.total_bytes += bytes;
        report.total_parts += parts;
    }

    /// So many bytes are done.
    pub fn add(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tick();
    }

    /// A table or root is done.
    pub fn part_done(&self) {
        self.done_parts.fetch_add(1, Ordering::Relaxed);
        self.tick();
    }

    /// What came of the work, for whoever reads the report of its end.
    pub fn set_result(&self, result: &impl Serialize) {
        // Nothing of ours has a key that is not a string, which is all that could fail.
        let value = serde_json::to_value(result).unwrap_or_default();
        self.report.lock().unwrap_or_else(PoisonError::into_inner).result = value;
    }

    /// Ends the report with the outcome of the work.
    pub fn end<T>(&self, outcome: &Result<T>) {
        {
            let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
            report.status = if outcome.is_ok() { State::Completed } else { State::Failed };
            report.message = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        }
        // The outcome itself is returned to the caller; a report that cannot be written is less.
        let _ = self.write(self.clock.now());
    }

    fn tick(&self) {
        let now = self.clock.now();
        let due = self.next_write.load(Ordering::Relaxed);
        let next = now.nanos().saturating_add(INTERVAL_NANOS);
        let mine = now.nanos() >= due
            && self.next_write.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            // Work goes on without a report when, say, the disk is full: it fails by itself then.
            let _ = self.write(now);
        }
    }

    fn write(&self, now: Timestamp) -> Result<()> {
        let text = {
            let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
            report.done_bytes = self.done_bytes.load(Ordering::Relaxed);
            report.done_parts = self.done_parts.load(Ordering::Relaxed);
            report.updated_at = now.secs();
            report.estimate();
            serde_json::to_vec(&*report).map_err(malformed("the report"))?
        };
        if let Some(locked) = self.locked {
            locked.renew(now)?;
        }
        self.path.as_ref().map_or(Ok(()), |path| write_atomically(path, &text))
    }
}

impl Report {
    fn estimate(&mut self) {
        let elapsed = self.updated_at.saturating_sub(self.started_at);
        if self.status == State::Completed {
            (self.percent, self.eta_seconds) = (100, Some(0));
        } else if self.total_bytes > 0 && self.done_bytes > 0 {
            let share = (self.done_bytes as f64 / self.total_bytes as f64).min(0.99);
            self.percent = (share * 100.0) as u8;
            self.eta_seconds = Some((elapsed as f64 * (1.0 - share) / share).ceil() as u64);
        }
    }
}

impl Store {
    /// The report on `id`; `None` when nothing was ever reported. Work whose process is gone has
    /// failed.
    pub fn progress(&self, id: &BackupId, clock: &dyn Clock) -> Result<Option<Report>> {
        let path = path(self, id);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file("read", &path)(error)),
        };
        let mut report: Report = serde_json::from_slice(&text).map_err(malformed(path.display()))?;
        if report.status == State::InProgress && self.holder(clock)?.is_none() {
            report.status = State::Failed;
            report.message = "the process ended before its work did".to_owned();
        }
        Ok(Some(report))
    }

    /// Every report, newest first.
    pub fn reports(&self, clock: &dyn Clock) -> Result<Vec<Report>> {
        let Ok(entries) = fs::read_dir(self.root().join("progress")) else { return Ok(Vec::new()) };
        let mut reports = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| BackupId::parse(name.strip_suffix(".json")?).ok());
            if let Some(id) = id {
                reports.extend(self.progress(&id, clock)?);
            }
        }
        reports.sort_by_key(|report| std::cmp::Reverse(report.started_at));
        Ok(reports)
    }

    /// Forgets the report on `id`.
    pub(crate) fn forget_progress(&self, id: &BackupId) {
        // A report that stays behind does no harm.
        let _ = fs::remove_file(path(self, id));
    }
}

fn path(store: &Store, id: &BackupId) -> PathBuf {
    store.root().join("progress").join(format!("{id}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::error::Error;

    #[test]
    fn a_report_estimates_and_keeps_the_reason_of_a_failure() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(1000));
        let id = BackupId::parse("x").unwrap();
        let locked = store.lock("create", &clock).unwrap();
        let progress = Progress::begin(&locked, "create", &id, &clock).unwrap();
        progress.expect(1000, 2);
        clock.set(Timestamp::from_secs(1010));
        progress.add(250);
        let report = store.progress(&id, &clock).unwrap().unwrap();
        assert_eq!((report.percent, report.eta_seconds, report.status), (25, Some(30), State::InProgress));
        progress.end(&Err::<(), _>(Error::store("the server is gone")));
        let report = store.progress(&id, &clock).unwrap().unwrap();
        assert_eq!((report.status, report.message.as_str()), (State::Failed, "the server is gone"));
    }

    #[test]
    fn work_whose_process_is_gone_has_failed() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(1000));
        let id = BackupId::parse("x").unwrap();
        let locked = store.lock("create", &clock).unwrap();
        Progress::begin(&locked, "create", &id, &clock).unwrap();
        assert_eq!(store.progress(&id, &clock).unwrap().unwrap().status, State::InProgress);
        drop(locked);
        assert_eq!(store.progress(&id, &clock).unwrap().unwrap().status, State::Failed);
        assert_eq!(store.reports(&clock).unwrap().len(), 1);
    }
}
