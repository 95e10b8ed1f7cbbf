//! Draining: no new traffic, while what was begun is finished.
//!
//! Owns: a flag per site in shared memory that all workers see, and a file that stands for it, so
//! that a shell can set it where no command line shares the memory. Refuses to do: end anything.
//!
//! The flag lives as long as the memory: after a restart of php-fpm the node takes traffic again.

use std::path::Path;

use super::{GROUP, Site};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::shm::{Key, Record, Segment};

/// The flag of one site.
pub struct Drain<'a> {
    segment: &'a Segment,
    key: Key,
    clock: &'a dyn Clock,
}

impl<'a> Drain<'a> {
    /// The flag of `site`.
    pub fn new(segment: &'a Segment, site: Site, clock: &'a dyn Clock) -> Self {
        Self { segment, key: segment.hasher().key_of(&[b"health drain", &site.bytes()]), clock }
    }

    /// Raises or lowers the flag.
    ///
    /// # Errors
    /// The shared table is full, or locked for too long.
    pub fn set(&self, draining: bool) -> Result<()> {
        let (table, now) = (self.segment.records()?, self.clock.now());
        if draining {
            if self.since().is_none() {
                table.put(&Record::new(self.key, GROUP, None, &now.nanos().to_le_bytes())?, now.secs())?;
            }
        } else {
            table.remove(self.key).map_err(Error::from)?;
        }
        Ok(())
    }

    /// Since when it is up.
    pub fn since(&self) -> Option<Timestamp> {
        let record = self.segment.records().ok()?.get(self.key, self.clock.now().secs())?;
        record.payload().first_chunk().map(|nanos| Timestamp::from_nanos(u64::from_le_bytes(*nanos)))
    }

    /// Whether the flag is up, or `file` is there.
    pub fn is_on(&self, file: Option<&Path>) -> bool {
        self.since().is_some() || file.is_some_and(Path::exists)
    }
}
