//! Types that may not always start: paused, at their concurrency limit, or at their rate.
//!
//! Tasks of such a type wait in a lane of their own and enter a claim only as far as there is room.
//! The room is found with the type's row locked until the claim commits, so that two workers cannot
//! both take the last place. What runs is counted, not remembered: a worker that dies gives its
//! place back when its lease ends, and nothing can leak.

use super::{Claim, Store};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ports::DatabaseFault;
use crate::queue::sql::{self, Columns};
use crate::queue::state::State;
use crate::queue::task::Task;

/// How many tasks of a type may start in how many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tasks.
    pub limit: u32,
    /// Seconds.
    pub window: u32,
}

/// The arithmetic of rates: the rate limiter's, which the host puts in here.
///
/// `word` is the state that is kept per type; 0 when there is none yet. `now` is the database's.
pub trait Pace: Send + Sync {
    /// How many tasks may start at `now`.
    fn available(&self, rate: Rate, word: u64, now: Timestamp) -> u32;
    /// The state after `count` of them have started.
    fn charge(&self, rate: Rate, word: u64, now: Timestamp, count: u32) -> u64;
}

/// What is set for a type that may not always start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The type.
    pub task_type: String,
    /// Whether none may start.
    pub paused: bool,
    /// How many may run at once.
    pub concurrency: Option<u32>,
    /// How many may start in a time.
    pub rate: Option<Rate>,
}

impl Gate {
    /// Whether it is this task's.
    pub fn is_for(&self, task: &Task) -> bool {
        self.task_type == task.task_type
    }

    fn is_open(&self) -> bool {
        !self.paused && self.concurrency.is_none() && self.rate.is_none()
    }
}

/// A gate whose row is locked, and how many tasks fit through it now.
pub(super) struct Admitted<'g> {
    pub task_type: &'g str,
    pub room: u32,
    rate: Option<Rate>,
    word: u64,
    now: Timestamp,
}

impl Store<'_> {
    /// The gates that are not open.
    pub fn gates(&self) -> Result<Vec<Gate>, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT task_type, paused, concurrency, rate_limit, rate_window FROM {}",
            self.tables.types
        ))?;
        let mut gates: Vec<Gate> = rows.iter().map(read).collect::<Result<_, DatabaseFault>>()?;
        gates.retain(|gate| !gate.is_open());
        Ok(gates)
    }

    /// Sets how many tasks of a type may run at once and start in a time.
    ///
    /// # Errors
    /// Invalid argument for a limit of nothing; else the database's fault.
    pub fn limit_type(&self, task_type: &str, concurrency: Option<u32>, rate: Option<Rate>) -> Result<()> {
        if concurrency == Some(0) || rate.is_some_and(|rate| rate.limit == 0 || rate.window == 0) {
            return Err(Error::invalid(
                task_type,
                "expected concurrency and rate of at least 1; pause() stops a type",
            ));
        }
        let (concurrency, limit, window) = (
            sql::optional(concurrency),
            sql::optional(rate.map(|rate| rate.limit)),
            sql::optional(rate.map(|rate| rate.window)),
        );
        self.set_type(
            task_type,
            &format!("concurrency = {concurrency}, rate_limit = {limit}, rate_window = {window}"),
        )
        .map_err(Error::from)
    }

    /// Stops a type from starting, or lets it start again; false when it was so already.
    pub fn pause_type(&self, task_type: &str, paused: bool) -> Result<bool, DatabaseFault> {
        let is_paused = self.gates()?.iter().any(|gate| gate.task_type == task_type && gate.paused);
        if is_paused != paused {
            self.set_type(task_type, &format!("paused = {}", u8::from(paused)))?;
        }
        Ok(is_paused != paused)
    }

    fn set_type(&self, task_type: &str, changes: &str) -> Result<(), DatabaseFault> {
        let (types, name) = (&self.tables.types, sql::text(task_type));
        self.db.execute(&format!("INSERT IGNORE INTO {types} (task_type) VALUES ({name})"))?;
        self.db.execute(&format!("UPDATE {types} SET {changes} WHERE task_type = {name}")).map(drop)
    }

    /// The gates through which tasks fit, each locked until the commit. One that another worker is
    /// at is left to it.
    pub(super) fn admit<'g>(&self, claim: &Claim<'g>) -> Result<Vec<Admitted<'g>>, DatabaseFault> {
        let mut admitted = Vec::new();
        for gate in claim.gates.iter().filter(|gate| !gate.paused) {
            if self.is_awaited(gate)? {
                admitted.extend(self.admit_through(gate, claim)?);
            }
        }
        admitted.retain(|gate| gate.room > 0);
        Ok(admitted)
    }

    /// Charges each gate's rate for the tasks that went through it.
    pub(super) fn charge(
        &self,
        admitted: &[Admitted<'_>],
        tasks: &[Task],
        pace: &dyn Pace,
    ) -> Result<(), DatabaseFault> {
        for gate in admitted {
            let count = tasks.iter().filter(|task| task.task_type == gate.task_type).count() as u32;
            if let (Some(rate), 1..) = (gate.rate, count) {
                let word = pace.charge(rate, gate.word, gate.now, count);
                self.db.execute(&format!(
                    "UPDATE {} SET rate_word = {word} WHERE task_type = {}",
                    self.tables.types,
                    sql::text(gate.task_type)
                ))?;
            }
        }
        Ok(())
    }

    fn is_awaited(&self, gate: &Gate) -> Result<bool, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT 1 FROM {} WHERE state = {} AND lane = {} LIMIT 1",
            self.tables.tasks,
            State::Gated.code(),
            sql::text(&gate.task_type)
        ))?;
        Ok(!rows.is_empty())
    }

    fn admit_through<'g>(
        &self,
        gate: &'g Gate,
        claim: &Claim<'g>,
    ) -> Result<Option<Admitted<'g>>, DatabaseFault> {
        let lock = if claim.skip_locked { "FOR UPDATE SKIP LOCKED" } else { "FOR UPDATE" };
        let rows = self.db.query(&format!(
            "SELECT rate_word FROM {} WHERE task_type = {} {lock}",
            self.tables.types,
            sql::text(&gate.task_type)
        ))?;
        let Some(word) = sql::first(&rows)? else { return Ok(None) };
        let now = Timestamp::from_nanos(self.now()?.unsigned_abs().saturating_mul(1000));
        let mut room = claim.limit;
        if let Some(most) = gate.concurrency {
            room = room.min(most.saturating_sub(self.running(&gate.task_type)?));
        }
        if let Some(rate) = gate.rate {
            room = room.min(claim.pace.available(rate, word, now));
        }
        Ok(Some(Admitted { task_type: &gate.task_type, room, rate: gate.rate, word, now }))
    }

    fn running(&self, task_type: &str) -> Result<u32, DatabaseFault> {
        let rows = self.db.query(&format!(
            "SELECT COUNT(*) FROM {} WHERE state = {} AND lane = {}",
            self.tables.tasks,
            State::Leased.code(),
            sql::text(task_type)
        ))?;
        Ok(sql::first(&rows)?.unwrap_or_default())
    }
}

fn read(row: &crate::ports::Row) -> Result<Gate, DatabaseFault> {
    let mut columns = Columns::of(row);
    let task_type = columns.text()?.to_owned();
    let paused = columns.number::<u8>()? != 0;
    let concurrency = columns.optional()?;
    let (limit, window) = (columns.optional()?, columns.optional()?);
    let rate = limit.zip(window).map(|(limit, window)| Rate { limit, window });
    Ok(Gate { task_type, paused, concurrency, rate })
}
