//! A durable queue of background tasks that never charges twice.
//!
//! Owns: tasks, from [`TaskRequest`](task::TaskRequest) to their end, in the site's own database:
//! priorities with ageing, schedules, dependencies, batches, leases with fencing tokens, retries,
//! holds, limits per type. Refuses to do: run a task (the host has the handlers), promise "exactly
//! once". A task runs at least once; one that moves money runs at most once unless its handler says
//! that it is idempotent, and every handler is given a key that stays the same.
//!
//! Pure: [`state`], [`order`], [`schedule`], [`retry`], [`crash`]. SQL: [`store`]. The loop:
//! [`worker`]. [`Queue`] is the way in.
//!
//! # Why one table
//! Measured before the design was frozen (tests/bench/queue_layout.rs; MariaDB 10.11, 2 cores,
//! `innodb_flush_log_at_trx_commit = 1`, 100,000 due and 100,000 future rows, two rounds): one table
//! with the index (state, lane, sort_key, run_at), against Solid Queue's `ready` and `leases`
//! tables beside the history.
//!
//! | | one table | hot tables |
//! |---|---|---|
//! | claim of 10, p50 / p99 | 2.7 / 4.4–5.8 ms | 1.9–2.4 / 4.0–6.9 ms |
//! | claim of 100, p50 / p99 | 8.2 / 20–21 ms | 7.1–7.7 / 18–27 ms |
//! | drain, 1 worker, batch 100 | 7,500–8,900/s, 102–124 µs | 5,500–7,500/s, 120–156 µs |
//! | drain, 4 workers, batch 100 | 12,200–12,500/s, 145 µs | 6,100–10,000/s, 169–191 µs |
//! | the same, with 1,000,000 done rows, 1 worker | 6,500–9,200/s | 5,000–5,700/s |
//!
//! (µs: CPU of the server per task.) One table costs 12 to 25 % less, its single INSERT takes part
//! in the caller's transaction, and nothing can disagree with it.

pub mod builtin;
pub mod crash;
mod heartbeat;
pub mod order;
pub mod policy;
mod random;
pub mod retry;
pub mod schedule;
pub mod schema;
pub mod settings;
mod sql;
pub mod state;
pub mod store;
pub mod task;
pub mod worker;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::ports::{Database, DatabaseFault};
use crate::remote::database::DatabaseLink;

use self::heartbeat::HeartbeatSettings;
use self::policy::Policies;
use self::schedule::Zone;
use self::settings::QueueSettings;
use self::store::{Pace, Store};
use self::task::TaskRequest;
use self::worker::{Worker, WorkerOptions};

/// A queue.
pub struct Queue {
    settings: QueueSettings,
    zone: Zone,
    pace: Box<dyn Pace>,
    link: DatabaseLink,
    origin: OnceLock<String>,
    skips_locked: OnceLock<bool>,
    is_prepared: OnceLock<()>,
    /// What a thread of ours does first.
    thread_start: fn(),
    /// Asked for once, not for every charge.
    subscription_columns: OnceLock<Vec<String>>,
}

impl Queue {
    /// A queue with dates in `zone`. Nothing is connected or created yet.
    pub fn new(settings: QueueSettings, zone: Zone, pace: Box<dyn Pace>) -> Self {
        Self {
            link: DatabaseLink::new(settings.database.clone()),
            settings,
            zone,
            pace,
            origin: OnceLock::new(),
            skips_locked: OnceLock::new(),
            is_prepared: OnceLock::new(),
            thread_start: || (),
            subscription_columns: OnceLock::new(),
        }
    }

    /// The same, with something that the host wants done first in every thread: in PHP's process a
    /// signal must not be handled in one.
    #[must_use]
    pub fn starting_threads_with(mut self, thread_start: fn()) -> Self {
        self.thread_start = thread_start;
        self
    }

    /// How it works.
    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// The site's time zone.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// Its own connection.
    pub fn link(&self) -> &DatabaseLink {
        &self.link
    }

    /// The queue's tables over `db`, once they are there. Through WordPress' connection what is
    /// written takes part in the caller's transaction; the tables themselves are then made through
    /// ours, because a CREATE would commit that transaction.
    ///
    /// # Errors
    /// The database's: it does not answer, or the tables cannot be made.
    pub fn on<'a>(&'a self, db: &'a dyn Database) -> Result<Store<'a>> {
        if self.is_prepared.get().is_none() {
            if !schema::is_current(db, &self.settings.tables) {
                schema::migrate(&self.link, &self.settings.tables)
                    .map_err(|fault| Error::from(fault).context("the queue's tables"))?;
            }
            let _ = self.is_prepared.set(());
        }
        Ok(self.store(db))
    }

    /// A request for a task as `queue_task` takes it; nothing is stored.
    ///
    /// # Errors
    /// Invalid argument, or a payload that is too long.
    pub fn request(
        &self,
        task_type: &str,
        data: &Value,
        priority: i64,
        scheduled_at: &Value,
        options: Value,
    ) -> Result<TaskRequest> {
        TaskRequest::new(task_type, data, self.settings.max_payload)?
            .priority(priority)?
            .at(scheduled_at, self.zone)?
            .options(options)
    }

    /// A worker of this process, on the queue's own connection.
    ///
    /// # Errors
    /// The database's; limits of types are written down here for all workers.
    pub fn worker(self: &Arc<Self>, policies: Policies, options: WorkerOptions) -> Result<Worker> {
        let store = self.on(&self.link)?;
        let known = store.gates()?;
        for (task_type, policy) in policies.iter() {
            let gate = known.iter().find(|gate| gate.task_type == task_type);
            let (concurrency, rate) = gate.map_or((None, None), |gate| (gate.concurrency, gate.rate));
            if (concurrency, rate) != (policy.concurrency, policy.rate) {
                store.limit_type(task_type, policy.concurrency, policy.rate)?;
            }
        }
        Ok(Worker::new(Arc::clone(self), policies, options))
    }

    fn store<'a>(&'a self, db: &'a dyn Database) -> Store<'a> {
        Store { db, tables: &self.settings.tables, zone: self.zone, origin: &self.origin }
    }

    fn own(&self) -> Store<'_> {
        self.store(&self.link)
    }

    fn pace(&self) -> &dyn Pace {
        self.pace.as_ref()
    }

    fn heartbeat_settings(&self) -> HeartbeatSettings {
        HeartbeatSettings {
            database: self.settings.database.clone(),
            tables: self.settings.tables.clone(),
            lease: self.settings.lease,
            thread_start: self.thread_start,
        }
    }

    fn can_skip_locked(&self) -> Result<bool, DatabaseFault> {
        if let Some(known) = self.settings.skip_locked.or_else(|| self.skips_locked.get().copied()) {
            return Ok(known);
        }
        let found = self.own().can_skip_locked()?;
        Ok(*self.skips_locked.get_or_init(|| found))
    }

    /// What one worker does for all. A worker that does not wait promotes without being elected:
    /// it would else miss what has just become due and leave.
    fn do_duties(&self, is_patient: bool) -> Result<(), DatabaseFault> {
        const SECOND: i64 = 1_000_000;
        let (store, skip) = (self.own(), self.can_skip_locked()?);
        if store.is_elected("second", SECOND)? {
            store.adopt()?;
            store.recover(self.settings.max_crashes)?;
            store.promote(skip)?;
        } else if !is_patient {
            store.promote(skip)?;
        }
        if store.is_elected("seconds", 5 * SECOND)? {
            store.open_gates(skip)?;
            store.settle_some()?;
        }
        if store.is_elected("minute", 30 * SECOND)? {
            store.recount()?;
        }
        Ok(())
    }

    /// Deletes tasks that ended more than `days` ago; answers how many. What cannot be done in a
    /// few seconds is left to the next call.
    ///
    /// # Errors
    /// The database's.
    pub fn clear_old_tasks(&self, days: u32) -> Result<u64> {
        const BUDGET: Duration = Duration::from_secs(20);
        Ok(self.on(&self.link)?.prune(store::Retention::days(days), BUDGET)?)
    }
}
