//! A series' slot: its value on a cache line of its own, so that two busy counters do not slow each
//! other down, and what never changes on the lines behind it.

use std::sync::atomic::{AtomicU64, Ordering::*};

use crate::metrics::labels::{self, Encoded};
use crate::metrics::model::Kind;
use crate::shm::{load_bytes, store_bytes};

crate::shm::region::shared_struct! {
    /// Zeros are a free slot.
    pub struct SeriesSlot {
        /// A counter's whole part, or a gauge's bits.
        value: AtomicU64,
        /// The bits of what a counter was added in fractions.
        fraction: AtomicU64,
        spare: [AtomicU64; 6],
        pub key: AtomicU64,
        /// [`Head`], 0 until the labels are written.
        head: AtomicU64,
        /// The number of its block of buckets, from 1.
        pub block: AtomicU64,
        /// Milliseconds since the epoch.
        created: AtomicU64,
        labels: [AtomicU64; labels::BYTES / 8],
    }
}

const _: () = assert!(size_of::<SeriesSlot>() == 256);

/// What a series is, in one word that is never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    pub family: usize,
    label_bytes: usize,
}

impl Head {
    fn pack(self) -> u64 {
        (self.kind as u64) << 48 | (self.family as u64 & 0xFFFF_FFFF) << 16 | self.label_bytes as u64
    }

    fn unpack(word: u64) -> Option<Self> {
        let kind = Kind::from_number(word >> 48)?;
        let family = (word >> 16 & 0xFFFF_FFFF) as usize;
        Some(Self { kind, family, label_bytes: (word & 0xFFFF) as usize })
    }
}

/// The largest whole number up to which every whole float is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl SeriesSlot {
    /// What the series is; `None` while its labels are not written.
    pub fn head(&self) -> Option<Head> {
        Head::unpack(self.head.load(Acquire))
    }

    /// Writes what follows from the key. Whoever finds the slot without it may do this: all write the
    /// same, only the first time counts.
    pub fn settle(&self, kind: Kind, family: usize, labels: &Encoded, now_ms: u64) {
        if self.head.load(Acquire) != 0 {
            return;
        }
        let _ = self.created.compare_exchange(0, now_ms, Relaxed, Relaxed);
        store_bytes(&self.labels, labels.bytes());
        let head = Head { kind, family, label_bytes: labels.bytes().len() };
        self.head.store(head.pack(), Release);
    }

    /// Label values in the order of the family's names.
    pub fn labels(&self, head: Head) -> Vec<String> {
        let mut bytes = vec![0; head.label_bytes.min(labels::BYTES)];
        load_bytes(&self.labels, &mut bytes);
        labels::decode(&bytes)
    }

    /// When it was claimed, in milliseconds since the epoch.
    pub fn created_ms(&self) -> u64 {
        self.created.load(Relaxed)
    }

    /// Adds to a counter: whole numbers in one step.
    pub fn count(&self, by: f64) {
        if by.fract() == 0.0 && by < EXACT {
            self.value.fetch_add(by as u64, Relaxed);
        } else {
            add_float(&self.fraction, by);
        }
    }

    /// Takes over a count that somebody else keeps.
    pub fn take_over(&self, count: u64) {
        self.value.store(count, Relaxed);
    }

    /// The counter's value.
    pub fn counted(&self) -> f64 {
        self.value.load(Relaxed) as f64 + f64::from_bits(self.fraction.load(Relaxed))
    }

    /// Sets a gauge: the last one who does so is right.
    pub fn set(&self, value: f64) {
        self.value.store(value.to_bits(), Relaxed);
    }

    /// Adds to a gauge.
    pub fn change(&self, by: f64) {
        add_float(&self.value, by);
    }

    /// The gauge's value.
    pub fn gauge(&self) -> f64 {
        f64::from_bits(self.value.load(Relaxed))
    }
}

/// Somebody gets through in every round, so this ends.
fn add_float(word: &AtomicU64, by: f64) {
    let add = |bits| Some((f64::from_bits(bits) + by).to_bits());
    let _ = word.fetch_update(Relaxed, Relaxed, add);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_comes_back_and_is_never_zero(family in 0usize..100_000, label_bytes in 0usize..=labels::BYTES) {
            for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram] {
                let head = Head { kind, family, label_bytes };
                prop_assert_ne!(head.pack(), 0);
                prop_assert_eq!(Head::unpack(head.pack()), Some(head));
            }
        }

        #[test]
        fn any_word_can_be_unpacked(word: u64) {
            Head::unpack(word);
        }
    }
}
