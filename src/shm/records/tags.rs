//! The index of the record table: an open-addressed table in the manner of SwissTable.
//!
//! Owns: from a key to the numbers of the few records that may be its. Eight places form a group,
//! whose eight tags (a set bit and seven bits of the key) are one word, compared at once. A search
//! that misses normally reads that one word, and all tags of 131,072 records are 256 KiB, so the 33
//! probes of a CIDR lookup stay in the second-level cache.
//!
//! A place is pointed somewhere by one store that makes it visible: of the number where a key's
//! record is replaced, of the tag where a key is new or goes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use crate::error::Result;
use crate::shm::{Carver, Key};

/// Places in a group.
pub(super) const LANES: usize = 8;

/// A place that no search goes beyond. Zero, so that zeroed memory is an empty index.
const EMPTY: u8 = 0x00;

/// A place whose key went, in a group that was full: searches go on.
const DELETED: u8 = 0x7f;

/// The highest bit of every tag: set where the place is taken.
const TAKEN: u64 = 0x8080_8080_8080_8080;
const ONES: u64 = 0x0101_0101_0101_0101;

pub(super) const fn bytes(groups: usize) -> usize {
    groups * (size_of::<AtomicU64>() + LANES * size_of::<AtomicU32>())
}

/// A place of the index and the record that it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub position: usize,
    pub number: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Index<'a> {
    tags: &'a [AtomicU64],
    numbers: &'a [AtomicU32],
}

impl<'a> Index<'a> {
    /// An index of `groups` groups, a power of two.
    pub fn new(carve: &mut Carver<'a>, groups: usize) -> Result<Self> {
        Ok(Self { tags: carve.slice(groups)?, numbers: carve.slice(groups * LANES)? })
    }

    /// The places that may be `key`'s, among them the one that is.
    pub fn candidates(&self, key: Key) -> impl Iterator<Item = Place> + use<'a> {
        let index = *self;
        let mut ended = false;
        let groups = self.chain(key).map_while(move |group| {
            let tags = index.tags.get(group)?.load(Acquire);
            (!std::mem::replace(&mut ended, has_empty(tags))).then_some((group, tags))
        });
        groups.flat_map(move |(group, tags)| {
            lanes(equal(tags, tag_of(key))).filter_map(move |lane| {
                let position = group * LANES + lane;
                Some(Place { position, number: index.numbers.get(position)?.load(Acquire) as usize })
            })
        })
    }

    /// The first place where `key` may be put. Writer only.
    pub fn vacancy(&self, key: Key) -> Option<usize> {
        self.chain(key).find_map(|group| {
            let free = !self.tags.get(group)?.load(Relaxed) & TAKEN;
            lanes(free).next().map(|lane| group * LANES + lane)
        })
    }

    /// Points `position` to record `number` of `key`. Writer only.
    pub fn point(&self, position: usize, key: Key, number: usize) {
        if let Some(place) = self.numbers.get(position) {
            place.store(number as u32, Release);
            self.set_tag(position, tag_of(key));
        }
    }

    /// Makes `position` point nowhere. Writer only.
    pub fn clear(&self, position: usize) {
        let tags = self.tags.get(position / LANES).map_or(0, |word| word.load(Relaxed));
        self.set_tag(position, if has_empty(tags) { EMPTY } else { DELETED });
    }

    /// The record that `position` points to.
    pub fn number_at(&self, position: usize) -> Option<usize> {
        let tags = self.tags.get(position / LANES)?.load(Acquire);
        let is_taken = tags & TAKEN & (0xff << (position % LANES * 8)) != 0;
        is_taken.then_some(self.numbers.get(position)?.load(Acquire) as usize)
    }

    /// Every record that the index points to.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + use<'a> {
        let index = *self;
        (0..self.numbers.len()).filter_map(move |position| index.number_at(position))
    }

    fn set_tag(&self, position: usize, tag: u8) {
        if let Some(word) = self.tags.get(position / LANES) {
            let shift = position % LANES * 8;
            let others = word.load(Relaxed) & !(0xff << shift);
            word.store(others | u64::from(tag) << shift, Release);
        }
    }

    /// Groups in the order in which `key` is looked for.
    fn chain(&self, key: Key) -> impl Iterator<Item = usize> + use<> {
        let mask = self.tags.len().wrapping_sub(1);
        let home = key.low as usize;
        (0..self.tags.len()).map(move |step| home.wrapping_add(step) & mask)
    }
}

fn tag_of(key: Key) -> u8 {
    0x80 | (key.high >> 57) as u8
}

/// Marks the lanes that hold `tag`, and now and then one above such a lane that does not.
fn equal(tags: u64, tag: u8) -> u64 {
    let zero_where_equal = tags ^ (ONES * u64::from(tag));
    zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & TAKEN
}

/// Whether a lane is [`EMPTY`], which is the only tag with its two highest bits clear.
fn has_empty(tags: u64) -> bool {
    !tags & (!tags << 1) & TAKEN != 0
}

/// The lanes marked in a word of [`TAKEN`] bits, lowest first.
fn lanes(mut marks: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (marks != 0).then(|| marks.trailing_zeros() as usize / 8)?;
        marks &= marks - 1;
        Some(lane)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_are_compared_as_eight_bytes(bytes: [u8; 8], tag in 0x80u8..) {
            let tags = u64::from_le_bytes(bytes);
            let found: Vec<usize> = lanes(equal(tags, tag)).collect();
            for (lane, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte == tag) {
                prop_assert!(found.contains(&lane), "lane {lane} holds {byte:x}");
            }
        }

        #[test]
        fn an_empty_lane_is_seen_and_nothing_else_is(lanes in proptest::array::uniform8(prop_oneof![
            Just(EMPTY), Just(DELETED), 0x80u8..
        ])) {
            prop_assert_eq!(has_empty(u64::from_le_bytes(lanes)), lanes.contains(&EMPTY));
        }
    }
}
