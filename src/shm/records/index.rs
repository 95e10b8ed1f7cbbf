//! What readers and writers of the record table do, and the order in which a writer changes things
//! so that it may die after any of them.

use std::sync::atomic::Ordering::*;

use super::store::{Intent, Seen};
use super::tags::Place;
use super::{GROUPS, Look, Record, RecordTable};
use crate::shm::Key;

impl RecordTable<'_> {
    /// Looks for `key` without a lock.
    pub(super) fn look(&self, key: Key) -> Look {
        for place in self.index.candidates(key) {
            match self.entries.get(place.number).map(|entry| entry.look(key)) {
                Some(Seen::Wanted(record)) => return Look::Found(record),
                Some(Seen::Moved) => return Look::Moved,
                Some(Seen::Other) | None => {}
            }
        }
        Look::Absent
    }

    /// Where the index holds `key`. Writer only.
    pub(super) fn place_of(&self, key: Key) -> Option<Place> {
        self.index.candidates(key).find(|place| {
            self.entries.get(place.number).is_some_and(|entry| matches!(entry.look(key), Seen::Wanted(_)))
        })
    }

    /// Whether one more key fits, after dropping what has expired if need be. Writer only.
    pub(super) fn has_room(&self, now: u64) -> bool {
        if self.used() < self.capacity() {
            return true;
        }
        // Not again in the same second, or a full table would cost every writer a full look.
        if self.head.swept.load(Relaxed) != now {
            self.sweep(now, self.entries.len());
            self.head.swept.store(now, Relaxed);
        }
        self.used() < self.capacity()
    }

    /// The number of a free record. Writer only.
    pub(super) fn free_number(&self) -> Option<usize> {
        let words = self.used.len();
        let start = self.head.cursor.load(Relaxed) as usize;
        let (at, used) = (0..words)
            .map(|step| (start + step) % words)
            .filter_map(|at| Some((at, self.used.get(at)?.load(Relaxed))))
            .find(|(at, used)| {
                at * 64 + (used.trailing_ones() as usize) < self.entries.len() && *used != u64::MAX
            })?;
        self.head.cursor.store(at as u64, Relaxed);
        Some(at * 64 + used.trailing_ones() as usize)
    }

    /// Fills record `fresh` and makes the index point to it at `position`, where it points to `old`
    /// or to nothing. Writer only.
    pub(super) fn publish(&self, position: usize, fresh: usize, old: Option<usize>, record: &Record) {
        let Some(entry) = self.entries.get(fresh) else { return };
        self.head.intent.store(Intent { position, fresh: Some(fresh), old }.pack(), Release);
        self.mark_used(fresh);
        entry.write(record);
        self.head.count(record.group);
        self.index.point(position, record.key, fresh);
        if let Some(old) = old {
            self.free(old);
        }
        self.head.intent.store(Intent::NONE, Release);
    }

    /// Makes the index forget what it holds at `place`, and frees the record. Writer only.
    pub(super) fn withdraw(&self, place: Place) {
        let Place { position, number } = place;
        self.head.intent.store(Intent { position, fresh: None, old: Some(number) }.pack(), Release);
        self.index.clear(position);
        self.free(number);
        self.head.intent.store(Intent::NONE, Release);
    }

    /// Withdraws the record `number` of `key`; false when the index does not hold it.
    pub(super) fn withdraw_record(&self, key: Key, number: usize) -> bool {
        let place = self.place_of(key).filter(|place| place.number == number);
        place.map(|place| self.withdraw(place)).is_some()
    }

    /// Drops expired records among the next `count` ones. Writer only.
    pub(super) fn sweep(&self, now: u64, count: usize) {
        let records = self.entries.len().max(1);
        let hand = self.head.hand.load(Relaxed) as usize;
        for number in (0..count.min(records)).map(|step| (hand + step) % records) {
            if let Some(record) = self.record(number).filter(|record| !record.is_live(now)) {
                self.withdraw_record(record.key, number);
            }
        }
        self.head.hand.store(((hand + count) % records) as u64, Relaxed);
    }

    /// The record `number`, if it is in use.
    pub(super) fn record(&self, number: usize) -> Option<Record> {
        let used = self.used.get(number / 64)?.load(Relaxed);
        if used >> (number % 64) & 1 == 0 {
            return None;
        }
        self.entries.get(number)?.read()
    }

    /// Undoes or completes what a dead writer was at, and counts the groups again.
    pub(super) fn repair(&self) {
        self.head.begin();
        if let Some(intent) = Intent::unpack(self.head.intent.load(Acquire)) {
            let pointed = self.index.number_at(intent.position);
            for number in [intent.fresh, intent.old].into_iter().flatten() {
                if pointed != Some(number) {
                    self.free(number);
                }
            }
            self.head.intent.store(Intent::NONE, Release);
        }
        self.recount();
        self.head.end();
    }

    fn recount(&self) {
        let mut counts = vec![0u32; GROUPS];
        self.for_each(0, |record| {
            if let Some(count) = counts.get_mut(usize::from(record.group)) {
                *count += 1;
            }
        });
        self.head.total.store(counts.iter().sum(), Release);
        self.head.groups.iter().zip(counts).for_each(|(group, count)| group.store(count, Release));
    }

    fn mark_used(&self, number: usize) {
        if let Some(word) = self.used.get(number / 64) {
            word.fetch_or(1 << (number % 64), AcqRel);
        }
    }

    /// Gives record `number` back. Does nothing to one that is free already.
    fn free(&self, number: usize) {
        let (Some(entry), Some(used)) = (self.entries.get(number), self.used.get(number / 64)) else {
            return;
        };
        let group = entry.read().map(|record| record.group);
        entry.retire();
        used.fetch_and(!(1 << (number % 64)), AcqRel);
        if let Some(group) = group {
            self.head.discount(group);
        }
    }
}
