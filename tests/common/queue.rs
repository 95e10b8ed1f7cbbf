//! A queue of its own for each test, in the shared MariaDB.

use std::sync::Arc;
use std::time::Duration;

use mysql::Conn;
use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::clock::Timestamp;
use slbp::limiter::policy::{Algorithm, Quota};
use slbp::ports::Detached;
use slbp::queue::Queue;
use slbp::queue::policy::{Policies, TypePolicy};
use slbp::queue::schedule::Zone;
use slbp::queue::settings::QueueSettings;
use slbp::queue::store::{Pace, Rate};
use slbp::queue::task::Task;
use slbp::queue::worker::{Outcome, Tally, Worker, WorkerOptions};

use super::mariadb::{Database, shared};

/// The public table of a site with the usual prefix.
pub const TASKS: &str = "wp_slbp_background_tasks";

/// The limiter's GCRA as the queue's pace: what the PHP boundary wires.
pub struct LimiterPace;

impl LimiterPace {
    fn quota(rate: Rate) -> Quota {
        Quota::new(Algorithm::Gcra, rate.limit.into(), rate.window.into(), Some(1)).unwrap()
    }
}

impl Pace for LimiterPace {
    fn available(&self, rate: Rate, word: u64, now: Timestamp) -> u32 {
        Self::quota(rate).peek(word, now, 0).verdict.remaining
    }

    fn charge(&self, rate: Rate, word: u64, now: Timestamp, count: u32) -> u64 {
        Self::quota(rate).spend(word, now, count).write.unwrap_or(word)
    }
}

/// A queue in a database of its own.
pub struct Site {
    pub database: Database,
    pub queue: Arc<Queue>,
}

impl Site {
    /// With the defaults.
    pub fn new() -> Self {
        Self::with(json!({}))
    }

    /// With these settings.
    pub fn with(config: Value) -> Self {
        Self::over(shared().database(), config)
    }

    /// In this database.
    pub fn over(database: Database, config: Value) -> Self {
        let queue = Arc::new(queue(&database, config));
        Self { database, queue }
    }

    /// Queues a task and answers its id.
    pub fn add(&self, task_type: &str, data: Value) -> u64 {
        self.add_with(task_type, data, 10, Value::Null, json!({}))
    }

    /// The same with everything that `queue_task` takes.
    pub fn add_with(&self, task_type: &str, data: Value, priority: i64, at: Value, options: Value) -> u64 {
        let request = self.queue.request(task_type, &data, priority, &at, options).unwrap();
        self.store().enqueue(&request).unwrap().id
    }

    /// The tables on the queue's own connection.
    pub fn store(&self) -> slbp::queue::store::Store<'_> {
        self.queue.on(self.queue.link()).unwrap()
    }

    /// One task.
    pub fn task(&self, id: u64) -> Task {
        self.store().task(id).unwrap().unwrap()
    }

    /// Runs what there is, with a worker that does not wait.
    pub fn work(&self, handler: impl Fn(&Task, &Worker) -> Outcome) -> Tally {
        self.work_with(Policies::default(), WorkerOptions::default(), handler)
    }

    /// The same with policies and options.
    pub fn work_with(
        &self,
        policies: Policies,
        options: WorkerOptions,
        handler: impl Fn(&Task, &Worker) -> Outcome,
    ) -> Tally {
        self.queue.worker(policies, options).unwrap().run(&handler).unwrap()
    }

    /// Runs what there is and answers the ids in the order in which they ran.
    pub fn order(&self) -> Vec<u64> {
        let ran = std::sync::Mutex::new(Vec::new());
        self.work(|task, _| {
            ran.lock().unwrap().push(task.id);
            Outcome::Done
        });
        ran.into_inner().unwrap()
    }

    /// A plain connection, to look at the tables from outside.
    pub fn connect(&self) -> Conn {
        self.database.connect()
    }

    /// Moves everything that waits for a time `by` into the past, as if that time had gone by.
    pub fn pass(&self, by: Duration) {
        let micros = by.as_micros();
        self.connect()
            .query_drop(format!(
                "UPDATE {TASKS} SET sort_key = sort_key - {micros}, run_at = run_at - {micros} WHERE state IN (1, 5)"
            ))
            .unwrap();
        self.connect()
            .query_drop(format!("UPDATE {TASKS}_counters SET n = 0 WHERE name LIKE 'duty:%'"))
            .unwrap();
    }
}

/// A queue over `database`.
pub fn queue(database: &Database, config: Value) -> Queue {
    let mut config = config;
    config["database"] = json!({
        "socket": database.socket, "user": "root", "name": database.name, "prefix": "wp_",
    });
    let settings = QueueSettings::read(config, &Detached::default()).unwrap();
    Queue::new(settings, Zone::UTC, Box::new(LimiterPace))
}

/// The wishes of one type.
pub fn policies(task_type: &str, options: Value) -> Policies {
    let mut policies = Policies::default();
    policies.set(task_type, TypePolicy::read(options).unwrap());
    policies
}
