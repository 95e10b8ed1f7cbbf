//! Sessions in the memory that php-fpm's workers share: one host, and gone with its restart.

use std::sync::Arc;

use super::Receipt;
use super::arena::Arena;
use super::cells::{Cells, Loaded, Next};
use crate::clock::Clock;
use crate::error::Result as CrateResult;
use crate::remote::{Fault, FaultKind};
use crate::session::name::Name;
use crate::shm::{Hasher, Key, Refused, RegionKind, Segment};

/// The sessions of a segment that one realm has.
pub struct ShmCells {
    arena: Arena<'static>,
    hasher: Hasher,
    clock: Arc<dyn Clock>,
}

impl ShmCells {
    /// The sessions in `segment`.
    ///
    /// # Errors
    /// A shared-memory error when the segment has no room for any.
    pub fn new(segment: &'static Segment, clock: Arc<dyn Clock>) -> CrateResult<Self> {
        let arena = Arena::open(segment.region(RegionKind::Sessions))?;
        Ok(Self { arena, hasher: segment.hasher(), clock })
    }

    fn key(&self, name: &Name) -> Key {
        self.hasher.key(name.as_bytes())
    }

    fn millis(&self) -> u64 {
        self.clock.now().nanos() / 1_000_000
    }
}

impl Cells for ShmCells {
    fn load(&self, name: &Name) -> Result<Loaded, Fault> {
        let now = self.millis();
        let entry = self.arena.load(self.key(name), now).map_err(fault)?;
        Ok(Loaded { now, unique: 0, entry })
    }

    fn swap(&self, name: &Name, was: Option<Receipt>, next: Option<&Next<'_>>) -> Result<Option<u64>, Fault> {
        let was = was.map(|was| was.head);
        let swapped = self.arena.swap(self.key(name), was, next, self.millis()).map_err(fault)?;
        Ok(swapped.then_some(0))
    }

    fn collect(&self) -> Result<u64, Fault> {
        Ok(self.arena.sweep(self.millis()))
    }

    fn count(&self) -> Result<Option<u64>, Fault> {
        Ok(Some(self.arena.count(self.millis())))
    }

    fn name(&self) -> &str {
        "shared memory"
    }
}

fn fault(refused: Refused) -> Fault {
    let why = match refused {
        Refused::Full => "the shared memory for sessions is full (slbp.shm_size)",
        Refused::Busy => "the shared memory for sessions is locked by a process that does not move",
    };
    Fault::new(FaultKind::Command, why)
}
