//! The index of the record table: where keys are found, and the order in which a writer changes
//! things so that it may die after any of them.

use std::sync::atomic::Ordering::*;

use super::store::{Intent, Seen};
use super::{GROUPS, Look, Record, RecordTable, add, subtract};
use crate::shm::Key;

/// An index word that never held a key: a search ends here.
const EMPTY: u64 = 0;

/// An index word whose key was removed: a search goes on.
const REMOVED: u64 = u32::MAX as u64;

/// The word of `key` in record `number`.
fn word(key: Key, number: usize) -> u64 {
    half_hash(key) | (number as u64 + 1)
}

fn half_hash(key: Key) -> u64 {
    key.high & !u64::from(u32::MAX)
}

pub(super) fn number_in(word: u64) -> Option<usize> {
    if word == REMOVED { None } else { (word as u32 as usize).checked_sub(1) }
}

impl RecordTable<'_> {
    /// Looks for `key` without a lock.
    pub(super) fn look(&self, key: Key) -> Look {
        for word in self.chain(key).map_while(|position| self.word_at(position)) {
            let Some(entry) = self.candidate(key, word).and_then(|number| self.entries.get(number)) else {
                continue;
            };
            match entry.look(key) {
                Seen::Wanted(record) => return Look::Found(record),
                Seen::Moved => return Look::Moved,
                Seen::Other => {}
            }
        }
        Look::Absent
    }

    /// Where the index holds `key`, and its record's number. Writer only.
    pub(super) fn position(&self, key: Key) -> Option<(usize, usize)> {
        self.chain(key).map_while(|position| Some((position, self.word_at(position)?))).find_map(
            |(position, word)| {
                let number = self.candidate(key, word)?;
                matches!(self.entries.get(number)?.look(key), Seen::Wanted(_)).then_some((position, number))
            },
        )
    }

    /// The first place of the index where `key` may be put. Writer only.
    pub(super) fn free_position(&self, key: Key) -> Option<usize> {
        self.chain(key).find(|position| self.word_at(*position).is_none_or(|word| word == REMOVED))
    }

    /// A free record's number, after dropping what has expired if there is none. Writer only.
    pub(super) fn allocate(&self, now: u64) -> Option<usize> {
        if let Some(number) = self.free_number() {
            return Some(number);
        }
        // Not again in the same second, or a full table would cost every writer a full look.
        if self.head.swept.swap(now, Relaxed) == now {
            return None;
        }
        self.sweep(now, self.entries.len());
        self.free_number()
    }

    fn free_number(&self) -> Option<usize> {
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

    /// Fills record `fresh` and makes the index point to it instead of to `old`. Writer only.
    pub(super) fn publish(&self, position: usize, fresh: usize, old: Option<usize>, record: &Record) {
        let (Some(place), Some(entry)) = (self.index.get(position), self.entries.get(fresh)) else { return };
        self.head.intent.store(Intent { position, fresh: Some(fresh), old }.pack(), Release);
        self.mark_used(fresh);
        entry.write(record);
        add(self.head.groups.get(usize::from(record.group)), 1);
        place.store(word(record.key, fresh), Release);
        if let Some(old) = old {
            self.free(old);
        }
        self.head.intent.store(Intent::NONE, Release);
    }

    /// Makes the index forget record `number` at `position`. Writer only.
    pub(super) fn withdraw(&self, position: usize, number: usize) {
        self.head.intent.store(Intent { position, fresh: None, old: Some(number) }.pack(), Release);
        self.clear(position);
        self.free(number);
        self.head.intent.store(Intent::NONE, Release);
    }

    /// Withdraws the record `number` of `key`; false when the index does not hold it.
    pub(super) fn withdraw_record(&self, key: Key, number: usize) -> bool {
        match self.position(key) {
            Some((position, found)) if found == number => {
                self.withdraw(position, number);
                true
            }
            _ => false,
        }
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
            let pointed = self.word_at(intent.position).and_then(number_in);
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
            subtract(self.head.groups.get(usize::from(group)), 1);
        }
    }

    /// Takes the word at `position` out of its chain, and removed ones before it that now lead nowhere.
    fn clear(&self, position: usize) {
        let mask = self.index.len() - 1;
        let leads_on = self.word_at((position + 1) & mask).is_some();
        let Some(place) = self.index.get(position) else { return };
        place.store(if leads_on { REMOVED } else { EMPTY }, Release);
        let removed_before = (1..=mask)
            .filter_map(|step| self.index.get(position.wrapping_sub(step) & mask))
            .take_while(|word| !leads_on && word.load(Relaxed) == REMOVED);
        removed_before.for_each(|word| word.store(EMPTY, Release));
    }

    /// Positions in the order in which `key` is looked for.
    fn chain(&self, key: Key) -> impl Iterator<Item = usize> + use<> {
        let mask = self.index.len() - 1;
        let home = key.low as usize & mask;
        (0..=mask).map(move |step| (home + step) & mask)
    }

    /// The index word at `position`; `None` where a search ends.
    fn word_at(&self, position: usize) -> Option<u64> {
        self.index.get(position).map(|word| word.load(Acquire)).filter(|word| *word != EMPTY)
    }

    /// The record that `word` points to, if it may be that of `key`.
    fn candidate(&self, key: Key, word: u64) -> Option<usize> {
        if word & !u64::from(u32::MAX) != half_hash(key) { None } else { number_in(word) }
    }
}
