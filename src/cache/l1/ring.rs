//! A circular log of entries: what comes first goes first.
//!
//! Owns: where the next entry goes and which one is the oldest. Positions count words and only
//! grow; what they mean is their remainder by the length of the log. An entry is never cut by the
//! end: a [`SKIP`] fills the gap.
//!
//! Invariant, at every instruction: the words from `tail` to `head` are whole entries and skips.
//! Words are written beyond `head` before `head` moves over them, so a writer that dies leaves
//! either nothing or a complete entry.

use std::sync::atomic::{AtomicU64, Ordering::*};

use super::entry::{HEADER_WORDS, Header, SKIP};

/// One of a shard's logs. Everything but reading positions is done under the shard's lock.
#[derive(Clone, Copy)]
pub(super) struct Ring<'a> {
    pub head: &'a AtomicU64,
    pub tail: &'a AtomicU64,
    /// The words of the whole shard, so that places in both its logs are named alike.
    pub words: &'a [AtomicU64],
    /// Where the log begins among them.
    pub base: usize,
    pub capacity: usize,
}

/// What is at the tail.
pub(super) enum Oldest {
    /// An entry, where it lies and its size in words.
    Entry { at: usize, header: Header },
    /// The rest of the log up to its end.
    Gap(usize),
}

impl<'a> Ring<'a> {
    pub(super) fn used(&self) -> usize {
        let used = self.head.load(Relaxed).wrapping_sub(self.tail.load(Relaxed));
        usize::try_from(used).unwrap_or(usize::MAX).min(self.capacity)
    }

    /// Whether `size` words fit at the head now, with the gap that they may need.
    pub(super) fn has_room(&self, size: usize) -> bool {
        let gap = self.gap_before(size);
        self.capacity - self.used() >= gap + size
    }

    /// The place for an entry of `size` words, which must fit; it exists only after [`Self::publish`].
    pub(super) fn place(&self, size: usize) -> Option<(usize, &'a [AtomicU64])> {
        let mut at = self.base + self.offset(self.head);
        if self.gap_before(size) > 0 {
            self.words.get(at)?.store(SKIP, Relaxed);
            at = self.base;
        }
        Some((at, self.words.get(at..at + size)?))
    }

    /// Makes what was written at the last [`Self::place`] part of the log.
    pub(super) fn publish(&self, size: usize) {
        let moved = (self.gap_before(size) + size) as u64;
        self.head.store(self.head.load(Relaxed) + moved, Release);
    }

    /// What is at the tail; `None` when the log is empty, or broken.
    pub(super) fn oldest(&self) -> Option<Oldest> {
        let used = self.used();
        if used == 0 {
            return None;
        }
        let at = self.base + self.offset(self.tail);
        let rest = self.words.get(at..self.base + self.capacity)?;
        if rest.first()?.load(Relaxed) == SKIP {
            return (rest.len() <= used).then_some(Oldest::Gap(rest.len()));
        }
        let header = Header::read(rest)?;
        let size = header.words();
        (size > HEADER_WORDS && size <= rest.len() && size <= used).then_some(Oldest::Entry { at, header })
    }

    /// Gives up the `size` words at the tail.
    pub(super) fn release(&self, size: usize) {
        self.tail.store(self.tail.load(Relaxed) + size as u64, Release);
    }

    /// Empties the log.
    pub(super) fn reset(&self) {
        self.tail.store(0, Release);
        self.head.store(0, Release);
    }

    /// Whether the log is whole: entry by entry from tail to head.
    pub(super) fn is_whole(&self) -> bool {
        let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
        if head.checked_sub(tail).is_none_or(|used| used > self.capacity as u64) {
            return false;
        }
        let walker = AtomicU64::new(tail);
        let copy = Ring { tail: &walker, ..*self };
        while let Some(oldest) = copy.oldest() {
            copy.release(match oldest {
                Oldest::Entry { header, .. } => header.words(),
                Oldest::Gap(size) => size,
            });
        }
        walker.into_inner() == head
    }

    fn gap_before(&self, size: usize) -> usize {
        let left = self.capacity - self.offset(self.head);
        if size <= left { 0 } else { left }
    }

    fn offset(&self, position: &AtomicU64) -> usize {
        (position.load(Relaxed) % self.capacity.max(1) as u64) as usize
    }
}
