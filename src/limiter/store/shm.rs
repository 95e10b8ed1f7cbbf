//! The table of words in shared memory: exact across every worker of this host.

use super::{Words, Write};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::shm::{Decision, Key, WordTable};

/// The segment's words.
pub struct SharedWords(WordTable<'static>);

impl SharedWords {
    /// Counts in `table`.
    pub fn new(table: WordTable<'static>) -> Self {
        Self(table)
    }
}

impl Words for SharedWords {
    fn update(&self, key: u128, now: Timestamp, step: &mut dyn FnMut(u64) -> Option<Write>) -> Result<()> {
        let decide = |state: Option<u64>| {
            let write = step(state.unwrap_or(0));
            let expires = write.map_or(0, |write| write.idle_at.secs().saturating_add(1));
            Decision { new: write.map(|write| write.word), expires, result: () }
        };
        Ok(self.0.update(Key::from_bits(key), now.secs(), decide)?)
    }

    fn remove(&self, key: u128) {
        self.0.remove(Key::from_bits(key));
    }
}
