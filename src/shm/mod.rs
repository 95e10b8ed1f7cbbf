//! The memory that all workers share.
//!
//! Owns: one mapping, its header, and the tables that live in it:
//!
//! | what | type | for | cost |
//! |---|---|---|---|
//! | words by key | [`WordTable`] | one `u64` of state per client and rule, updated by compare-and-swap | 13 ns hot, 58 ns cold, 126 ns to claim and remove |
//! | records by key | [`RecordTable`] | lists and bans: read without a lock, written under one | 23 ns absent, 42 ns found hot, 0.2 µs cold, 0.3 µs to put and remove |
//! | named words | [`Cells`] | generations, flags, breaker states | 4 ns by name, one load when kept |
//! | leases | [`Leases`] | "one worker does this": single flight, half-open probes | 63 ns to take and return |
//! | event counts | [`Counters`] | what `slbp_info()` and the metrics show | 2 ns |
//! | a raw region | [`Region`] | what a domain builds itself (the cache) from atomics and [`Locks`] | 12 ns to lock and unlock |
//! | keys | [`Hasher`] | 128 bits of keyed hash | 24 ns for 48 bytes, 2.4 ns for a number |
//!
//! Measured by `tests/bench/shm.rs` with 131,072 slots half full and 117,964 of 131,072 records; in
//! the same run an atomic add took 2.2 ns, a `std::sync::Mutex` 5 ns, a clock read 31 ns and a
//! `Mutex<HashMap>` of 10,000 keys in one process 19 ns a key (ours: 26 ns).
//!
//! Refuses to do: know what a key, a state or a record means; call PHP.
//!
//! Invariant: a worker may be killed at any instruction. Each table says which single store makes
//! a change visible, so that a change is either there or not; a lock whose owner died is taken
//! over by the next one who wants it, who repairs that shard and no more ([`RobustMutex`]). All
//! waiting is bounded. Nobody destroys a segment: a process lets go of it by dropping
//! [`Segment`], which only unmaps.
//!
//! Everything is addressed by offsets, so that a file-backed segment can be mapped anywhere, and
//! zeroed memory is a valid empty table. Linux only: robust mutexes and `/proc` are used.
//!
//! This is, with `binding`, the only place of the crate where `unsafe` is allowed: it is needed to
//! map memory, to place typed atomics in it and to call the pthread functions. The tables
//! themselves have none.
#![allow(unsafe_code)]

mod cells;
mod counters;
mod file;
mod hash;
mod header;
mod layout;
mod leases;
mod lock;
mod map;
mod process;
mod records;
pub(crate) mod region;
mod segment;
mod thread;
mod words;

pub use cells::{Cell, Cells};
pub use counters::{Counter, Counters};
pub use hash::{Hasher, Key};
pub use layout::{Plan, RegionKind};
pub use leases::{Acquired, Lease, Leases};
pub use lock::{Guard, Locks, RobustMutex};
pub use process::Owner;
pub use records::{GROUPS, PAYLOAD_BYTES, Record, RecordTable, Written};
pub use region::{Carver, Region, Shared, load_bytes, store_bytes};
pub use segment::{Info, Mode, Place, RegionInfo, Segment};
pub use thread::{spawn_quietly, spawn_quietly_with_stack};
pub use words::{Decision, WordTable};

use crate::error::{Error, Kind};

/// Why a table did not take a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No room is left where this key may go, and nothing there may be forgotten yet.
    Full,
    /// Another process held the lock for too long (it is stopped, not dead: a dead one is taken over).
    Busy,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Error::new(Kind::SharedMemory, "the shared table is full"),
            Refused::Busy => {
                Error::new(Kind::SharedMemory, "a shared table is locked by a process that does not move")
            }
        }
    }
}
