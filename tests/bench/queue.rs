//! How fast the queue is on a durable MariaDB (`innodb_flush_log_at_trx_commit = 1`): bulk enqueue,
//! claims beside 100,000 future rows, drain by one worker and by four, and whether the cost of a
//! task stays flat from 1,000 rows to a million.
//!
//! `cargo bench --no-default-features --bench queue`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::mariadb::{Database, MariaDb};
use common::queue::{Site, TASKS};
use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::queue::policy::Policies;
use slbp::queue::state::State;
use slbp::queue::store::Claim;
use slbp::queue::worker::{Outcome, WorkerOptions};

const SCALE: usize = 100_000;

/// User and system time of a process so far, seconds.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

struct Measure<'s> {
    server: &'s MariaDb,
    start: Instant,
    used: (f64, f64),
}

impl<'s> Measure<'s> {
    fn begin(server: &'s MariaDb) -> Self {
        Self { server, start: Instant::now(), used: (cpu(server.pid()), cpu(std::process::id())) }
    }

    fn report(&self, label: &str, count: u64) {
        let (wall, n) = (self.start.elapsed().as_secs_f64(), count as f64);
        let (server, own) = (cpu(self.server.pid()) - self.used.0, cpu(std::process::id()) - self.used.1);
        println!(
            "{label:<46} {:>8.0}/s   CPU us/task: server {:>6.1}  worker {:>5.1}",
            n / wall,
            server * 1e6 / n,
            own * 1e6 / n
        );
    }
}

fn enqueue(site: &Site, count: usize, at: Value) {
    let data = json!({"subscription_id": 12345, "amount": "19.90", "currency": "EUR", "note": "0123456789".repeat(4)});
    let request = site.queue.request("no_op", &data, 10, &at, json!({})).unwrap();
    let mut left = count;
    while left > 0 {
        let piece = left.min(5000);
        site.store().enqueue_all(&vec![request.clone(); piece]).unwrap();
        left -= piece;
    }
}

fn drain(server: &MariaDb, database: &Database, workers: u64, label: &str) {
    let measure = Measure::begin(server);
    let processed: u64 = std::thread::scope(|scope| {
        let working: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let site = Site::over(database.clone(), json!({}));
                    site.work_with(Policies::default(), WorkerOptions::default(), |_, _| Outcome::Done)
                        .processed
                })
            })
            .collect();
        working.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    measure.report(label, processed);
}

fn claims(site: &Site, size: u32, label: &str) {
    let store = site.store();
    let mut samples: Vec<Duration> = (1..=200u64)
        .map(|token| {
            let claim = Claim {
                queues: &["default".to_owned()],
                any_queue: true,
                limit: size,
                lease: Duration::from_secs(600),
                token,
                worker: "bench:1",
                gates: &[],
                pace: &common::queue::LimiterPace,
                on_crash: &|_| slbp::queue::crash::OnCrash::Retry,
                skip_locked: true,
            };
            let start = Instant::now();
            assert_eq!(store.finish_and_claim(&[], &claim).unwrap().tasks.len(), size as usize);
            start.elapsed()
        })
        .collect();
    samples.sort_unstable();
    println!("{label:<46} p50 {:>7.2?}  p99 {:>7.2?}", samples[100], samples[198]);
    let ready = State::Ready.code();
    let statement = format!(
        "UPDATE {TASKS} SET state = {ready}, lane = queue, sort_key = id WHERE state = {}",
        State::Leased.code()
    );
    site.connect().query_drop(statement).unwrap();
}

fn flatness(server: &MariaDb, rows: usize) {
    let site = Site::over(server.database(), json!({}));
    site.store();
    site.connect()
        .query_drop(format!(
            "INSERT INTO {TASKS} (task_type, task_data, status, scheduled_at, state, sort_key, run_at)
             SELECT 'no_op', '[]', 'completed', UTC_TIMESTAMP(), 8, 1, 1 FROM seq_1_to_{rows}"
        ))
        .unwrap();
    enqueue(&site, 10_000, Value::Null);
    drain(server, &site.database, 1, &format!("drain of 10,000 beside {rows} done rows"));
}

fn main() {
    let server = MariaDb::start_with(&[
        "--innodb-buffer-pool-size=1G",
        "--innodb-log-file-size=256M",
        "--innodb-flush-log-at-trx-commit=1",
    ]);
    let site = Site::over(server.database(), json!({}));
    site.store();
    let measure = Measure::begin(&server);
    enqueue(&site, SCALE, Value::Null);
    measure.report("bulk enqueue, 5,000 at once", SCALE as u64);
    enqueue(&site, SCALE, json!("2100-01-01"));
    claims(&site, 10, "claim of 10 beside 100,000 due, 100,000 future");
    claims(&site, 100, "claim of 100 beside the same");
    let single = Measure::begin(&server);
    for _ in 0..500 {
        let request = site.queue.request("no_op", &json!({"a": 1}), 10, &Value::Null, json!({})).unwrap();
        site.store().enqueue(&request).unwrap();
    }
    single.report("enqueue, one at a time", 500);
    drain(&server, &site.database, 1, "drain, one worker");
    enqueue(&site, SCALE, Value::Null);
    drain(&server, &site.database, 4, "drain, four workers");
    for rows in [1_000, 100_000, 1_000_000] {
        flatness(&server, rows);
    }
}
