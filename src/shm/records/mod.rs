//! Small records by key: allow and deny lists, bans.
//!
//! Owns: up to 131,072 records of at most [`PAYLOAD_BYTES`] bytes, each in a group with a count.
//! Readers take no lock and wait for nobody, alive or dead; a writer's change is seen by every
//! process as soon as it returns. A lookup that misses reads one cache line (23 ns), so a CIDR lookup
//! may probe every prefix length: all 33 of IPv4 cost 0.6 µs with their hashes, among 117,964 records.
//!
//! How: an *index* that is at most half full says which record a key has, and the records lie
//! beside it. A record is never changed while the index points to it:
//! a writer fills a free one, then swings the index, then frees the old one. So a reader that
//! follows the index finds a whole record, and its sequence number tells when it was freed and
//! used again under the reader's eyes; a reader that found nothing looks again if any write began
//! or ended meanwhile.
//!
//! Writers hold one robust lock and note in one word what they are about to swing. The next writer
//! after a death reads that note, frees whichever record the index does not point to, and counts
//! the groups anew. Nothing else is touched.

mod index;
mod store;
mod tags;

use std::sync::atomic::{AtomicU64, Ordering::*};

use store::{Entry, Head, Intent};
use tags::{Index, LANES};

use super::hash::Key;
use super::lock::{Guard, Locks};
use super::region::Region;
use super::{Counter, Counters, Refused};
use crate::error::{Error, Kind, Result};

/// How many bytes a record can hold.
pub const PAYLOAD_BYTES: usize = 128;

/// Groups are numbered below this.
pub const GROUPS: usize = 1024;

/// How often a reader looks again before it waits for the writers to be done.
const RETRIES: u32 = 100;

/// A record that no new key gets, so that a known key can be replaced in a full table.
const SPARE: usize = 1;

/// How many records a writer looks at for expired ones, besides its own work.
const SWEEP: usize = 8;

pub(super) const fn bytes(capacity: usize) -> usize {
    size_of::<Head>()
        + used_words(capacity + SPARE) * size_of::<AtomicU64>()
        + tags::bytes(index_groups(capacity))
        + (capacity + SPARE) * size_of::<Entry>()
        + 64
}

const fn used_words(capacity: usize) -> usize {
    capacity.div_ceil(64)
}

/// The index is at most half full.
const fn index_groups(capacity: usize) -> usize {
    (capacity * 2).div_ceil(LANES).next_power_of_two()
}

/// A record, copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Key,
    /// Its group, below [`GROUPS`].
    pub group: u16,
    /// Unix time in seconds after which it counts as absent; `None` for never.
    pub expires: Option<u64>,
    payload: [u8; PAYLOAD_BYTES],
    len: usize,
}

impl Record {
    /// A record to be written.
    ///
    /// # Errors
    /// [`crate::error::Kind::InvalidArgument`] when `payload` or `group` is too large.
    pub fn new(key: Key, group: u16, expires: Option<u64>, payload: &[u8]) -> Result<Self> {
        if usize::from(group) >= GROUPS {
            return Err(Error::invalid("group", format!("expected less than {GROUPS}, got {group}")));
        }
        let mut bytes = [0; PAYLOAD_BYTES];
        match bytes.get_mut(..payload.len()) {
            Some(start) => start.copy_from_slice(payload),
            None => {
                let got = payload.len();
                return Err(Error::invalid(
                    "payload",
                    format!("expected at most {PAYLOAD_BYTES} bytes, got {got}"),
                ));
            }
        }
        Ok(Self { key, group, expires, payload: bytes, len: payload.len() })
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        self.payload.get(..self.len).unwrap_or(&[])
    }

    fn is_live(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The key was new (or had expired).
    Inserted,
    /// The key had another record, which is gone.
    Replaced,
}

/// Handle to the table.
#[derive(Clone, Copy)]
pub struct RecordTable<'a> {
    head: &'a Head,
    used: &'a [AtomicU64],
    index: Index<'a>,
    entries: &'a [Entry],
    locks: Locks<'a>,
    counters: Counters<'a>,
}

impl<'a> RecordTable<'a> {
    pub(super) fn new(region: Region<'a>, capacity: usize, counters: Counters<'a>) -> Result<Self> {
        if capacity > Intent::MAX_RECORDS {
            return Err(Error::new(Kind::SharedMemory, "too many list entries for the table"));
        }
        let mut carve = region.carve();
        Ok(Self {
            head: carve.one()?,
            used: carve.slice(used_words(capacity + SPARE))?,
            index: Index::new(&mut carve, index_groups(capacity))?,
            entries: carve.slice(capacity + SPARE)?,
            locks: region.locks(),
            counters,
        })
    }

    /// The record of `key`, unless it has none or it has expired at `now` (Unix seconds).
    pub fn get(&self, key: Key, now: u64) -> Option<Record> {
        for _ in 0..RETRIES {
            let version = self.head.version.load(Acquire);
            match self.look(key) {
                Look::Found(record) => return record.is_live(now).then_some(record),
                Look::Absent if self.head.is_at(version) => return None,
                Look::Absent | Look::Moved => std::hint::spin_loop(),
            }
        }
        // Writers come faster than this reader can look: it takes its place among them.
        let _guard = self.lock();
        match self.look(key) {
            Look::Found(record) => record.is_live(now).then_some(record),
            Look::Absent | Look::Moved => None,
        }
    }

    /// Records in `group`, counting expired ones that were not swept yet.
    pub fn len(&self, group: u16) -> usize {
        self.head.groups.get(usize::from(group)).map_or(0, |count| count.load(Acquire) as usize)
    }

    /// Records in all groups.
    pub fn used(&self) -> usize {
        self.head.total.load(Acquire) as usize
    }

    /// How many records fit.
    pub fn capacity(&self) -> usize {
        self.entries.len() - SPARE
    }

    /// Shows every record that has not expired at `now` to `visit`, in no order. Each one is whole;
    /// one that is written meanwhile may be seen or not.
    pub fn for_each(&self, now: u64, mut visit: impl FnMut(&Record)) {
        for number in self.index.numbers() {
            if let Some(record) = self.record(number).filter(|record| record.is_live(now)) {
                visit(&record);
            }
        }
    }

    /// Writes `record`, in the place of the one that its key has.
    ///
    /// # Errors
    /// [`Refused`] when the table is full, also of expired records, or locked for too long.
    pub fn put(&self, record: &Record, now: u64) -> std::result::Result<Written, Refused> {
        let _guard = self.lock().ok_or_else(|| self.count(Refused::Busy))?;
        self.head.begin();
        self.sweep(now, SWEEP);
        let outcome = self.replace(record, now);
        self.head.end();
        outcome.ok_or_else(|| self.count(Refused::Full))
    }

    /// Removes the record of `key`; whether there was one, expired or not.
    ///
    /// # Errors
    /// [`Refused::Busy`] when the table is locked for too long.
    pub fn remove(&self, key: Key) -> std::result::Result<bool, Refused> {
        let _guard = self.lock().ok_or_else(|| self.count(Refused::Busy))?;
        self.head.begin();
        let found = self.place_of(key);
        if let Some(place) = found {
            self.withdraw(place);
        }
        self.head.end();
        Ok(found.is_some())
    }

    /// Removes every record that `doomed` says; how many. `doomed` runs under the lock.
    ///
    /// # Errors
    /// As [`RecordTable::remove`].
    pub fn remove_if(&self, mut doomed: impl FnMut(&Record) -> bool) -> std::result::Result<usize, Refused> {
        let _guard = self.lock().ok_or_else(|| self.count(Refused::Busy))?;
        self.head.begin();
        let mut removed = 0;
        for number in 0..self.entries.len() {
            if let Some(record) = self.record(number).filter(&mut doomed) {
                removed += usize::from(self.withdraw_record(record.key, number));
            }
        }
        self.head.end();
        Ok(removed)
    }

    fn replace(&self, record: &Record, now: u64) -> Option<Written> {
        match self.place_of(record.key) {
            Some(old) => {
                let fresh = self.free_number()?;
                let was_live = self.record(old.number).is_some_and(|old| old.is_live(now));
                self.publish(old.position, fresh, Some(old.number), record);
                Some(if was_live { Written::Replaced } else { Written::Inserted })
            }
            None if self.has_room(now) => {
                self.publish(self.index.vacancy(record.key)?, self.free_number()?, None, record);
                Some(Written::Inserted)
            }
            None => None,
        }
    }

    fn lock(&self) -> Option<Guard<'a>> {
        self.locks.lock(0, Locks::PATIENCE, || self.repair())
    }

    fn count(&self, refused: Refused) -> Refused {
        let counter = match refused {
            Refused::Full => Counter::TableFull,
            Refused::Busy => Counter::TableBusy,
        };
        self.counters.add(counter, 1);
        refused
    }
}

/// What a reader saw.
enum Look {
    Found(Record),
    Absent,
    /// A record was freed under the reader's eyes.
    Moved,
}
