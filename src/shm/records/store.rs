//! The shared bytes of the record table: one record, the table's head, and the writer's note.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};

use super::{GROUPS, PAYLOAD_BYTES, Record};
use crate::shm::Key;
use crate::shm::region::{load_bytes, shared_struct, store_bytes};

shared_struct! {
    pub(super) struct Head {
        /// Moves when a write begins and when it ends.
        pub version: AtomicU64,
        /// What the writer is about to swing; see [`Intent`].
        pub intent: AtomicU64,
        /// The next record to look at for expiry.
        pub hand: AtomicU64,
        /// The second in which all records were last looked at for expiry.
        pub swept: AtomicU64,
        /// Where the search for a free record goes on.
        pub cursor: AtomicU64,
        pub total: AtomicU32,
        pub groups: [AtomicU32; GROUPS],
    }
}

impl Head {
    pub fn begin(&self) {
        self.version.fetch_add(1, AcqRel);
    }

    pub fn end(&self) {
        self.version.fetch_add(1, AcqRel);
    }

    /// Counts a record that is about to appear. Counts are never below what the index holds, so
    /// that a reader can trust a zero.
    pub fn count(&self, group: u16) {
        let group = self.groups.get(usize::from(group));
        [Some(&self.total), group].into_iter().flatten().for_each(|count| _ = count.fetch_add(1, AcqRel));
    }

    /// Counts a record that has gone.
    pub fn discount(&self, group: u16) {
        let group = self.groups.get(usize::from(group));
        for count in [Some(&self.total), group].into_iter().flatten() {
            let _ = count.fetch_update(AcqRel, Acquire, |count| count.checked_sub(1));
        }
    }

    /// Whether nothing was written since `version` was read.
    pub fn is_at(&self, version: u64) -> bool {
        fence(Acquire);
        self.version.load(Relaxed) == version
    }
}

/// What a writer is about to do, in one word, so that it is noted whole or not at all: `position`
/// of the index is going to point to `fresh` (or nothing) instead of `old` (or nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub position: usize,
    pub fresh: Option<usize>,
    pub old: Option<usize>,
}

impl Intent {
    /// Records are numbered below this, so that the three fields fit.
    pub const MAX_RECORDS: usize = 1 << 20;

    /// The word of "nothing is going on".
    pub const NONE: u64 = 0;

    pub fn pack(self) -> u64 {
        let number = |number: Option<usize>| number.map_or(0, |number| number as u64 + 1);
        (self.position as u64 + 1) << 42 | number(self.fresh) << 21 | number(self.old)
    }

    pub fn unpack(word: u64) -> Option<Self> {
        let number = |bits: u64| (bits as usize & ((1 << 21) - 1)).checked_sub(1);
        let position = ((word >> 42) as usize).checked_sub(1)?;
        Some(Self { position, fresh: number(word >> 21), old: number(word) })
    }
}

shared_struct! {
    pub(super) struct Entry {
        /// Even while the record may be read, odd (or 0) while it is free or being written.
        sequence: AtomicU64,
        high: AtomicU64,
        low: AtomicU64,
        /// Expiry in seconds (0: never), group, payload length: 32, 16 and 16 bits.
        meta: AtomicU64,
        payload: [AtomicU64; PAYLOAD_BYTES / 8],
    }
}

/// What a reader found behind an index word.
pub(super) enum Seen {
    Wanted(Record),
    /// Another key with the same half hash.
    Other,
    /// Freed, or freed and used again, meanwhile.
    Moved,
}

impl Entry {
    /// The record, if it has this key.
    pub fn look(&self, key: Key) -> Seen {
        let sequence = self.sequence.load(Acquire);
        let is_wanted = self.high.load(Relaxed) == key.high && self.low.load(Relaxed) == key.low;
        let record = if is_wanted { self.copy(key) } else { None };
        fence(Acquire);
        let is_whole = sequence & 1 == 0 && sequence != 0 && self.sequence.load(Relaxed) == sequence;
        match record {
            _ if !is_whole => Seen::Moved,
            Some(record) => Seen::Wanted(record),
            None => Seen::Other,
        }
    }

    /// The record, whatever its key, unless it is free or changes.
    pub fn read(&self) -> Option<Record> {
        let key = Key { high: self.high.load(Acquire), low: self.low.load(Acquire) };
        match self.look(key) {
            Seen::Wanted(record) => Some(record),
            Seen::Other | Seen::Moved => None,
        }
    }

    /// Fills a free record. Writer only.
    pub fn write(&self, record: &Record) {
        let odd = self.sequence.load(Relaxed) | 1;
        self.sequence.store(odd, Relaxed);
        fence(Release);
        self.high.store(record.key.high, Relaxed);
        self.low.store(record.key.low, Relaxed);
        let expires = record.expires.map_or(0, |at| u32::try_from(at).unwrap_or(u32::MAX).max(1));
        let meta = u64::from(expires) << 32 | u64::from(record.group) << 16 | record.len as u64;
        self.meta.store(meta, Relaxed);
        store_bytes(&self.payload, record.payload());
        self.sequence.store(odd.wrapping_add(1), Release);
    }

    /// Makes the record unreadable. Writer only.
    pub fn retire(&self) {
        self.sequence.store(self.sequence.load(Relaxed) | 1, Release);
    }

    /// `None` when the bytes are those of a record being written.
    fn copy(&self, key: Key) -> Option<Record> {
        let meta = self.meta.load(Relaxed);
        let len = meta as usize & 0xffff;
        let mut payload = [0; PAYLOAD_BYTES];
        load_bytes(&self.payload, payload.get_mut(..len)?);
        let expires = (meta >> 32 != 0).then_some(meta >> 32);
        Some(Record { key, group: (meta >> 16) as u16, expires, payload, len })
    }
}
