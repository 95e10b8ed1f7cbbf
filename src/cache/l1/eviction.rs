//! Who stays: the S3-FIFO policy.
//!
//! Owns: making room. New entries go to the small log (a tenth of the shard); when they reach its
//! tail having been read more than once they move to the main log, else they are forgotten and leave a
//! ghost, which sends them straight to the main log if they come back soon. In the main log an entry
//! that was read since it got there goes round once more. While the main log has room, everybody stays.
//!
//! (Yang, Zhang, Qiu, Yue, Vigfusson: "FIFO queues are all you need for cache eviction", SOSP 2023.)

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::*, fence};

use super::super::meta::Age;
use super::entry::{Draft, Header};
use super::ring::{Oldest, Ring};
use super::shard::{Outcome, Shard};
use crate::clock::Timestamp;

/// Second chances given per insertion: what bounds the time under the lock.
const MAX_SECOND_CHANCES: usize = 32;

/// Who is told of what leaves, and asked who may stay.
pub(super) trait Ledger {
    /// Words of an entry of `site` that no longer count.
    fn left(&self, site: u16, words: usize);
    /// Whether `site` uses more than its share.
    fn is_over_quota(&self, site: u16) -> bool;
    /// Whether an entry belongs to generations that are gone.
    fn is_outdated(&self, header: &Header, words: &[AtomicU64]) -> bool;
}

impl<'a> Shard<'a> {
    /// The log for an entry of `size` words.
    pub(super) fn choose_ring(&self, draft: &Draft<'_>, size: usize, ledger: &impl Ledger) -> Ring<'a> {
        let (small, main) = (self.small(), self.main());
        if size > small.capacity / 4 {
            return main;
        }
        let known = self
            .find(draft.hash, draft.site, draft.key)
            .is_some_and(|(slot, _, _)| slot.position().is_some_and(|at| at >= self.main().base));
        let proven = known || self.is_ghost(draft.hash);
        if proven && !ledger.is_over_quota(draft.site) { main } else { small }
    }

    /// Frees `size` words of `ring`, and some more, so that not every insertion has to.
    pub(super) fn make_room(
        &self,
        ring: Ring<'a>,
        size: usize,
        now: Timestamp,
        ledger: &impl Ledger,
    ) -> Outcome {
        if ring.base == self.main().base {
            return self.make_room_in_main(size, now, ledger);
        }
        let small = self.small();
        if small.has_room(size) {
            return Ok(());
        }
        let wanted = size + small.capacity / 16;
        while !small.has_room(wanted) && small.used() > 0 {
            match small.oldest() {
                Some(Oldest::Gap(gap)) => small.release(gap),
                Some(Oldest::Entry { at, header }) => {
                    if self.deserves_main(at, &header, now, ledger) {
                        self.make_room_in_main(header.words(), now, ledger)?;
                        self.move_to_main(at, &header)?;
                    } else if self.is_worth_keeping(at, &header, now, ledger)
                        && self.main_has_spare_room(header.words(), now, ledger)
                    {
                        self.move_to_main(at, &header)?;
                    }
                    self.forget(at, &header, now, ledger);
                    small.release(header.words());
                }
                None => return Err(self.drop_all()),
            }
        }
        self.will_overwrite();
        Ok(())
    }

    fn make_room_in_main(&self, size: usize, now: Timestamp, ledger: &impl Ledger) -> Outcome {
        let main = self.main();
        // Room that insertions leave alone, so that an entry at the tail can go round again.
        let reserve = main.capacity / 16;
        if main.has_room(size + reserve) {
            return Ok(());
        }
        let mut chances = MAX_SECOND_CHANCES;
        while !main.has_room(size + 2 * reserve) && main.used() > 0 {
            match main.oldest() {
                Some(Oldest::Gap(gap)) => main.release(gap),
                Some(Oldest::Entry { at, header }) => {
                    if chances > 0 && self.deserves_another_round(at, &header, now, ledger) {
                        chances -= 1;
                        self.move_to_main(at, &header)?;
                    }
                    self.forget(at, &header, now, ledger);
                    main.release(header.words());
                }
                None => return Err(self.drop_all()),
            }
        }
        self.will_overwrite();
        Ok(())
    }

    /// Whether the main log can take `size` words without forgetting anything alive: while the cache
    /// fills, and after much was flushed, nobody has to leave.
    fn main_has_spare_room(&self, size: usize, now: Timestamp, ledger: &impl Ledger) -> bool {
        let main = self.main();
        let mut reclaimed = 0;
        while reclaimed < MAX_SECOND_CHANCES && !main.has_room(size + main.capacity / 16) {
            match main.oldest() {
                Some(Oldest::Gap(gap)) => main.release(gap),
                Some(Oldest::Entry { at, header }) if !self.is_worth_keeping(at, &header, now, ledger) => {
                    self.forget(at, &header, now, ledger);
                    main.release(header.words());
                }
                _ => break,
            }
            reclaimed += 1;
        }
        if reclaimed > 0 {
            self.will_overwrite();
        }
        main.has_room(size + main.capacity / 16)
    }

    /// Words that readers may have reached are about to change: whoever reads now starts again.
    pub(super) fn will_overwrite(&self) {
        self.epoch.count.fetch_add(1, Release);
        fence(Release);
    }

    fn deserves_main(&self, at: usize, header: &Header, now: Timestamp, ledger: &impl Ledger) -> bool {
        self.index.slot_of(header.hash, at).is_some_and(|slot| slot.frequency() > 1)
            && self.is_worth_keeping(at, header, now, ledger)
    }

    fn deserves_another_round(
        &self,
        at: usize,
        header: &Header,
        now: Timestamp,
        ledger: &impl Ledger,
    ) -> bool {
        let Some(slot) = self.index.slot_of(header.hash, at) else { return false };
        let frequency = slot.frequency();
        if frequency == 0 || !self.main().has_room(header.words()) {
            return false;
        }
        slot.set_frequency(frequency - 1);
        self.is_worth_keeping(at, header, now, ledger)
    }

    /// Whether the entry at `at` is in the index, and anybody could still be served with it.
    fn is_worth_keeping(&self, at: usize, header: &Header, now: Timestamp, ledger: &impl Ledger) -> bool {
        let words = self.words.get(at..).unwrap_or(&[]);
        self.index.slot_of(header.hash, at).is_some()
            && header.times.age(now) != Age::Over
            && !ledger.is_over_quota(header.site)
            && !ledger.is_outdated(header, words)
    }

    /// Copies the entry at `at` to the head of the main log and lets its slot point there.
    fn move_to_main(&self, at: usize, header: &Header) -> Outcome {
        let (main, size) = (self.main(), header.words());
        let slot = self.index.slot_of(header.hash, at).ok_or_else(|| self.drop_all())?;
        self.will_overwrite();
        let (to, target) = main.place(size).ok_or_else(|| self.drop_all())?;
        let source = self.words.get(at..at + size).unwrap_or(&[]);
        target.iter().zip(source).for_each(|(to, from)| to.store(from.load(Relaxed), Relaxed));
        main.publish(size);
        if at < main.base {
            slot.set_frequency(0);
        }
        slot.point_to(header.hash, to);
        Ok(())
    }

    /// Unlinks the entry at `at` if a slot still names it.
    fn forget(&self, at: usize, header: &Header, now: Timestamp, ledger: &impl Ledger) {
        let Some(slot) = self.index.slot_of(header.hash, at) else { return };
        self.unlink(slot, header, ledger);
        if header.times.age(now) == Age::Over {
            self.head.expirations.fetch_add(1, Relaxed);
            return;
        }
        self.head.evictions.fetch_add(1, Relaxed);
        if at < self.main().base {
            self.leave_ghost(header.hash);
        }
    }

    fn ghost(&self, hash: u64) -> Option<(&'a AtomicU16, u16)> {
        let ghost = self.ghosts.get((hash % self.ghosts.len().max(1) as u64) as usize)?;
        Some((ghost, ((hash >> 32) as u16).max(1)))
    }

    fn is_ghost(&self, hash: u64) -> bool {
        self.ghost(hash).is_some_and(|(ghost, mark)| ghost.load(Relaxed) == mark)
    }

    fn leave_ghost(&self, hash: u64) {
        if let Some((ghost, mark)) = self.ghost(hash) {
            ghost.store(mark, Relaxed);
        }
    }
}
