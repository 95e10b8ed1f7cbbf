//! A table of words on this process' heap.
//!
//! For what needs no sharing: tests, a program without a segment, and the last resort when the
//! shared table is full. Its size is bounded: when it is full, the word that is idle first makes room.
//! Whoever spends much is idle late, so a crowd of addresses that come once cannot make it forget the
//! one that comes all the time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Words, Write};
use crate::clock::Timestamp;
use crate::error::Result;

/// A bounded table of words, behind one lock.
pub struct LocalWords {
    table: Mutex<HashMap<u128, Write>>,
    capacity: usize,
}

impl LocalWords {
    /// A table for at most `capacity` words.
    pub fn new(capacity: usize) -> Self {
        Self { table: Mutex::default(), capacity }
    }
}

impl Words for LocalWords {
    fn update(&self, key: u128, now: Timestamp, step: &mut dyn FnMut(u64) -> Option<Write>) -> Result<()> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = table.get(&key).filter(|kept| kept.idle_at > now);
        let Some(write) = step(kept.map_or(0, |kept| kept.word)) else { return Ok(()) };
        if table.len() >= self.capacity && !table.contains_key(&key) {
            let first = table.iter().min_by_key(|(_, kept)| kept.idle_at).map(|(key, _)| *key);
            first.and_then(|key| table.remove(&key));
        }
        table.insert(key, write);
        Ok(())
    }

    fn remove(&self, key: u128) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
