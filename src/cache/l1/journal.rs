//! What the second layer has still to be told.
//!
//! Owns: the deletions and generations that could not be sent while it was away, in eight kilobytes
//! of the site's block: some 250 keys of 24 bytes. A journal that runs over remembers only that it did; then the whole site is
//! flushed when the store is back.
//!
//! Everything is done under one lock. The length is written last, so a writer that dies leaves the
//! journal as it was, or, in [`Journal::forget`], one that has run over.

use std::sync::atomic::{AtomicU64, Ordering::*};

use crate::shm::region::shared_struct;
use crate::shm::{load_bytes, store_bytes};

const WORDS: usize = 1024;
const OVERFLOWED: u64 = 1 << 63;
const SLOT_RECORD: u64 = 1 << 32;

shared_struct! {
    /// The journal of a site.
    pub(super) struct Journal {
        /// Words in use, and [`OVERFLOWED`].
        state: AtomicU64,
        words: [AtomicU64; WORDS],
    }
}

/// Something the second layer has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// This key is to be deleted.
    Key(Vec<u8>),
    /// A generation is to begin in this slot.
    Slot(u16),
}

/// What is in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// In the order in which they happened.
    pub records: Vec<Record>,
    /// There were more, of which nothing is known.
    pub overflowed: bool,
}

impl Pending {
    /// Whether what the second layer has under `key` may be out of date.
    pub fn concerns(&self, key: &[u8]) -> bool {
        self.overflowed
            || self.records.iter().any(|record| match record {
                Record::Key(pending) => pending == key,
                Record::Slot(_) => true,
            })
    }
}

impl Journal {
    pub(super) fn is_empty(&self) -> bool {
        self.state.load(Acquire) == 0
    }

    /// Under the lock.
    pub(super) fn push(&self, record: &Record) {
        if self.read().records.contains(record) {
            return;
        }
        let state = self.state.load(Relaxed);
        let used = (state & !OVERFLOWED) as usize;
        match self.write(used, record) {
            Some(used) => self.state.store(used as u64 | state & OVERFLOWED, Release),
            None => self.overflow(),
        }
    }

    /// Writes `record` behind the first `used` words; how many are used then, if it fits.
    fn write(&self, used: usize, record: &Record) -> Option<usize> {
        let (head, bytes): (u64, &[u8]) = match record {
            Record::Key(key) => (key.len() as u64, key),
            Record::Slot(slot) => (SLOT_RECORD | u64::from(*slot), &[]),
        };
        let end = used + 1 + bytes.len().div_ceil(8);
        let (first, rest) = self.words.get(used..end)?.split_first()?;
        first.store(head, Relaxed);
        store_bytes(rest, bytes).then_some(end)
    }

    /// Something happened that is not written down.
    pub(super) fn overflow(&self) {
        self.state.fetch_or(OVERFLOWED, AcqRel);
    }

    /// Under the lock.
    pub(super) fn read(&self) -> Pending {
        let state = self.state.load(Acquire);
        let used = (state & !OVERFLOWED) as usize;
        let mut pending = Pending { records: Vec::new(), overflowed: state & OVERFLOWED != 0 };
        let mut rest = self.words.get(..used).unwrap_or_else(|| {
            pending.overflowed = true;
            &[]
        });
        while let Some((first, after)) = rest.split_first() {
            let head = first.load(Relaxed);
            if head & SLOT_RECORD != 0 {
                pending.records.push(Record::Slot(head as u16));
                rest = after;
                continue;
            }
            let mut key = vec![0; (head as usize).min(after.len() * 8)];
            load_bytes(after, &mut key);
            rest = after.get(key.len().div_ceil(8)..).unwrap_or(&[]);
            pending.records.push(Record::Key(key));
        }
        pending
    }

    /// Drops what was read as `pending`, but for `left`, and keeps what came after. Under the lock.
    pub(super) fn forget(&self, pending: &Pending, left: &[Record]) {
        let now = self.read();
        let later = now.records.get(pending.records.len()..).unwrap_or(&[]);
        let overflowed = now.overflowed && !pending.overflowed;
        // Whoever dies while this is rewritten leaves a journal that has run over.
        self.state.store(OVERFLOWED, Release);
        let mut words = 0;
        for record in left.iter().chain(later) {
            words = self.write(words, record).unwrap_or(words);
        }
        self.state.store(words as u64 | if overflowed { OVERFLOWED } else { 0 }, Release);
    }

    pub(super) fn clear(&self) {
        self.state.store(0, Release);
    }
}
