//! What the second layer has still to be told.
//!
//! Owns: the deletions and generations that could not be sent while it was away, in a few kilobytes
//! of the site's block. A journal that runs over remembers only that it did; then the whole site is
//! flushed when the store is back.
//!
//! Everything is done under one lock. The length is written last, so a writer that dies leaves the
//! journal as it was; [`Journal::forget`] marks it as run over while it moves records.

use std::sync::atomic::{AtomicU64, Ordering::*};

use crate::shm::region::shared_struct;
use crate::shm::{load_bytes, store_bytes};

const WORDS: usize = 256;
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
    state: u64,
}

impl Journal {
    pub(super) fn is_empty(&self) -> bool {
        self.state.load(Acquire) == 0
    }

    /// Under the lock.
    pub(super) fn push(&self, record: &Record) {
        let state = self.state.load(Relaxed);
        let used = (state & !OVERFLOWED) as usize;
        let (head, bytes): (u64, &[u8]) = match record {
            Record::Key(key) => (key.len() as u64, key),
            Record::Slot(slot) => (SLOT_RECORD | u64::from(*slot), &[]),
        };
        let size = 1 + bytes.len().div_ceil(8);
        match self.words.get(used..used + size).and_then(<[AtomicU64]>::split_first) {
            Some((first, rest)) if store_bytes(rest, bytes) => {
                first.store(head, Relaxed);
                self.state.store(state + size as u64, Release);
            }
            _ => self.overflow(),
        }
    }

    /// Something happened that is not written down.
    pub(super) fn overflow(&self) {
        self.state.fetch_or(OVERFLOWED, AcqRel);
    }

    /// Under the lock.
    pub(super) fn read(&self) -> Pending {
        let state = self.state.load(Acquire);
        let used = (state & !OVERFLOWED) as usize;
        let mut pending = Pending { records: Vec::new(), overflowed: state & OVERFLOWED != 0, state };
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

    /// Drops what was read as `pending`, and keeps what came after. Under the lock.
    pub(super) fn forget(&self, pending: &Pending) {
        let (now, done) = (self.state.load(Relaxed), (pending.state & !OVERFLOWED) as usize);
        let used = (now & !OVERFLOWED) as usize;
        let overflowed = now & OVERFLOWED & !pending.state;
        if used > done {
            self.state.store(now | OVERFLOWED, Release);
            let later: Vec<u64> =
                self.words.get(done..used).unwrap_or(&[]).iter().map(|w| w.load(Relaxed)).collect();
            self.words.iter().zip(&later).for_each(|(word, value)| word.store(*value, Relaxed));
        }
        self.state.store(used.saturating_sub(done) as u64 | overflowed, Release);
    }

    pub(super) fn clear(&self) {
        self.state.store(0, Release);
    }
}
