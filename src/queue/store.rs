//! The queue in the database: every statement, over any connection.
//!
//! Owns: the SQL. Each file is one moment in a task's life. Refuses to do: decide; what becomes of
//! a task is judged by the pure modules beside this one, and here it is written down.
//!
//! Invariants:
//! - Every change of state asks in its WHERE for the state it comes from
//!   ([`State::entered_from`](super::state::State::entered_from)), and a worker's for its lease
//!   token too. A worker that lost its lease changes nothing.
//! - Time is the database's: workers with wrong clocks agree on every lease.
//! - Rows are locked by a claim on the index in its own order, or by primary key; transactions
//!   are short and hold nothing while PHP runs.

mod adopt;
mod claim;
mod control;
mod counters;
mod enqueue;
mod finish;
mod gate;
mod inspect;
mod ledger;
mod promote;
mod prune;
mod recover;
mod settle;

pub use claim::{Claim, Claimed};
pub use enqueue::Enqueued;
pub use finish::{Finish, Finished};
pub use gate::{Gate, Pace, Rate};
pub use inspect::{BatchSummary, Stats, TaskFilter};
pub use ledger::{Charge, LedgerEntry};
pub use prune::Retention;

use std::sync::OnceLock;

use super::schedule::Zone;
use super::schema::Tables;
use super::sql::{self, NOW};
use crate::clock::{Clock, SystemClock};
use crate::ports::{Database, DatabaseFault};

/// The queue's tables on one connection.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    pub(super) db: &'a dyn Database,
    pub(super) tables: &'a Tables,
    pub(super) zone: Zone,
    pub(super) origin: &'a OnceLock<String>,
}

impl Store<'_> {
    /// The site's clock now, as an expression for the public columns.
    fn local_now(&self) -> String {
        let micros = i64::try_from(SystemClock.now().nanos() / 1000).unwrap_or(i64::MAX);
        format!("UTC_TIMESTAMP() + INTERVAL {} SECOND", self.zone.offset_at(micros))
    }

    /// What sets this queue's idempotency keys apart from those of another site that uses the same
    /// payment gateway: a random number that the tables were created with.
    pub(in crate::queue) fn origin(&self) -> Result<&str, DatabaseFault> {
        if let Some(origin) = self.origin.get() {
            return Ok(origin);
        }
        let rows = self
            .db
            .query(&format!("SELECT n FROM {} WHERE name = 'origin' AND slot = 0", self.tables.counters))?;
        let number: u64 = sql::first(&rows)?.unwrap_or_default();
        Ok(self.origin.get_or_init(|| format!("slbp{number:016x}")))
    }

    /// The database's clock, microseconds since the epoch.
    pub fn now(&self) -> Result<i64, DatabaseFault> {
        Ok(sql::first(&self.db.query(&format!("SELECT {NOW}"))?)?.unwrap_or_default())
    }
}
