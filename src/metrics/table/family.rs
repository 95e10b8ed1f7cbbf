//! A family's slot: its definition, as every process must read it.
//!
//! Two processes may register different definitions under one name at once. The signature is a hash
//! of everything in it, and the first to store one decides: only who has the same definition writes
//! the rest, so that whoever helps writes the same bytes.

use std::sync::atomic::{AtomicU64, Ordering::*};

use crate::metrics::definition::{Definition, HELP_BYTES, LABEL_NAME_BYTES, MAX_BOUNDS, NAME_BYTES};
use crate::metrics::model::Kind;
use crate::shm::{load_bytes, store_bytes};

crate::shm::region::shared_struct! {
    /// Zeros are a free slot.
    pub struct FamilySlot {
        pub key: AtomicU64,
        /// Hash of the whole definition.
        signature: AtomicU64,
        /// [`Sizes`], 0 until the rest is written.
        sizes: AtomicU64,
        /// The site's tag.
        pub site: AtomicU64,
        /// Series that were claimed, without the overflow series.
        pub members: AtomicU64,
        scale: AtomicU64,
        spare: [AtomicU64; 2],
        bounds: [AtomicU64; MAX_BOUNDS],
        name: [AtomicU64; NAME_BYTES / 8],
        help: [AtomicU64; HELP_BYTES / 8],
        labels: [AtomicU64; LABEL_NAME_BYTES / 8],
    }
}

/// The kind and how much of each array is in use, in one word that is never 0.
#[derive(Clone, Copy)]
struct Sizes {
    kind: Kind,
    name: usize,
    help: usize,
    labels: usize,
    bounds: usize,
}

impl Sizes {
    fn pack(self) -> u64 {
        [self.help, self.labels, self.name, self.bounds]
            .into_iter()
            .fold(self.kind as u64, |word, size| word << 12 | (size as u64 & 0xFFF))
    }

    fn unpack(word: u64) -> Option<Self> {
        let size = |shift: u32| (word >> shift) as usize & 0xFFF;
        let kind = Kind::from_number(word >> 48)?;
        Some(Self { kind, help: size(36), labels: size(24), name: size(12), bounds: size(0) })
    }
}

impl FamilySlot {
    /// Writes the definition into the slot, or finds that somebody else's is there: false when that
    /// one is not finished, and may never be, because its maker died.
    pub fn settle(&self, definition: &Definition, signature: u64, site: u64) -> bool {
        match self.signature.compare_exchange(0, signature, AcqRel, Acquire) {
            Ok(_) => self.write(definition, site),
            Err(found) if found == signature && self.sizes.load(Acquire) == 0 => self.write(definition, site),
            Err(_) => {}
        }
        self.is_settled()
    }

    /// Whether the definition is there.
    pub fn is_settled(&self) -> bool {
        self.sizes.load(Acquire) != 0
    }

    fn write(&self, definition: &Definition, site: u64) {
        let labels = definition.labels.join("\0");
        store_bytes(&self.name, definition.name.as_bytes());
        store_bytes(&self.help, definition.help.as_bytes());
        store_bytes(&self.labels, labels.as_bytes());
        for (word, bound) in self.bounds.iter().zip(&definition.bounds) {
            word.store(bound.to_bits(), Relaxed);
        }
        self.scale.store(definition.scale(), Relaxed);
        self.site.store(site, Relaxed);
        let sizes = Sizes {
            kind: definition.kind,
            name: definition.name.len(),
            help: definition.help.len(),
            labels: labels.len(),
            bounds: definition.bounds.len(),
        };
        self.sizes.store(sizes.pack(), Release);
    }

    /// The definition; `None` while it is not finished.
    pub fn read(&self) -> Option<Definition> {
        let sizes = Sizes::unpack(self.sizes.load(Acquire))?;
        let labels = text(&self.labels, sizes.labels);
        Some(Definition {
            name: text(&self.name, sizes.name),
            kind: sizes.kind,
            help: text(&self.help, sizes.help),
            labels: labels.split('\0').filter(|label| !label.is_empty()).map(str::to_owned).collect(),
            bounds: self.bounds().take(sizes.bounds).collect(),
        })
    }

    /// The bucket into which `value` falls, counted from 0; beyond the last bound the number of bounds.
    pub fn bucket_of(&self, value: f64) -> usize {
        let count = Sizes::unpack(self.sizes.load(Acquire)).map_or(0, |sizes| sizes.bounds);
        self.bounds().take(count).take_while(|bound| *bound < value).count()
    }

    /// How many parts of a unit a sum counts.
    pub fn scale(&self) -> f64 {
        self.scale.load(Relaxed).max(1) as f64
    }

    fn bounds(&self) -> impl Iterator<Item = f64> {
        self.bounds.iter().map(|word| f64::from_bits(word.load(Relaxed)))
    }
}

fn text(words: &[AtomicU64], len: usize) -> String {
    let mut bytes = vec![0; len.min(words.len() * 8)];
    load_bytes(words, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
