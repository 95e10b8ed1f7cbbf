//! What goes wrong while tasks run: workers killed, frozen, cut off; MariaDB killed; real deadlocks;
//! clocks that are wrong. Workers are real processes: this test binary, started again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::mariadb::{Database, MariaDb};
use common::queue::{Site, TASKS, policies};
use common::{Process, wait_until};
use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::queue::policy::Policies;
use slbp::queue::worker::{Outcome, WorkerOptions};
use tempfile::TempDir;

/// What a worker process is told: where the queue is, where to write what it did, how it works.
const ORDERS: &str = "SLBP_TEST_WORKER";

/// The database's clock, by which leases end.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// The body of a worker process. It writes `B id` before a task and `E id` after it, each with one
/// write, so that what a killed worker had begun is known.
#[test]
#[ignore = "not a test: started as a process by the others"]
fn worker_process() {
    let orders: Value = serde_json::from_str(&std::env::var(ORDERS).unwrap()).unwrap();
    let text = |name: &str| orders[name].as_str().unwrap().to_owned();
    let database = Database { name: text("database"), socket: text("socket").into() };
    let site = Site::over(database, json!({"lease": orders["lease"], "max_crashes": 1000}));
    let log = |line: String| {
        let mut file = File::options().create(true).append(true).open(text("log")).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    };
    log(format!("C {}\n", std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()));
    let options = WorkerOptions {
        wait: true,
        batch: orders["batch"].as_u64().unwrap() as u32,
        max_time: Some(Duration::from_secs(60)),
        ..WorkerOptions::default()
    };
    let mut worker = site.queue.worker(Policies::default(), options).unwrap();
    let stopper = worker.stopper();
    let tally = worker.run(&|task: &slbp::queue::task::Task, _: &slbp::queue::worker::Worker| {
        if task.task_type == "stop" {
            stopper.stop();
            return Outcome::Done;
        }
        log(format!("B {}\n", task.id));
        std::thread::sleep(Duration::from_micros(task.task_data["micros"].as_u64().unwrap_or_default()));
        log(format!("E {}\n", task.id));
        Outcome::Done
    });
    log(format!("L {}\n", tally.unwrap().lost));
}

/// Worker processes over one queue, and what they wrote.
struct Crew {
    site: Site,
    folder: TempDir,
    lease: f64,
    batch: u32,
    hired: u32,
    environment: Vec<(String, String)>,
}

impl Crew {
    fn over(database: Database, lease: f64, batch: u32) -> Self {
        let site = Site::over(database, json!({"lease": lease, "max_crashes": 1000}));
        site.store();
        Self { site, folder: TempDir::new().unwrap(), lease, batch, hired: 0, environment: Vec::new() }
    }

    fn hire(&mut self) -> Process {
        self.hire_numbered().1
    }

    /// A worker and the number of its log.
    fn hire_numbered(&mut self) -> (u32, Process) {
        self.hired += 1;
        let orders = json!({
            "database": self.site.database.name, "socket": self.site.database.socket,
            "log": self.folder.path().join(format!("{}.log", self.hired)), "lease": self.lease, "batch": self.batch,
        });
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_process", "--ignored", "--quiet"])
            .env(ORDERS, orders.to_string())
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        (self.hired, Process::new(child))
    }

    /// The task that this worker has begun and not ended; 0 when there is none.
    fn last_begun(&self, number: u32) -> u64 {
        let path = self.folder.path().join(format!("{number}.log"));
        let log = fs::read_to_string(path).unwrap_or_default();
        log.lines().last().and_then(|line| line.strip_prefix("B ")?.parse().ok()).unwrap_or_default()
    }

    fn add(&self, count: usize, task_type: &str, data: Value) -> Vec<u64> {
        let request = self.site.queue.request(task_type, &data, 10, &Value::Null, json!({})).unwrap();
        self.site.store().enqueue_all(&vec![request; count]).unwrap()
    }

    /// The lines with this letter: how often each number stands there.
    fn lines(&self, letter: &str) -> HashMap<u64, u32> {
        let mut counts = HashMap::new();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
                if let Some((_, number)) = line.split_once(' ').filter(|(first, _)| *first == letter) {
                    *counts.entry(number.parse().unwrap()).or_default() += 1;
                }
            }
        }
        counts
    }

    fn rows(&self, condition: &str) -> u64 {
        let query = format!("SELECT COUNT(*) FROM {TASKS} WHERE {condition}");
        self.site.connect().query_first(query).unwrap().unwrap()
    }

    fn others(&self, condition: &str) -> Vec<(u64, String, u8, Option<String>, i64)> {
        let now = self.site.store().now().unwrap();
        let query = format!(
            "SELECT id, status, state, worker, sort_key - {now} FROM {TASKS} WHERE NOT ({condition}) LIMIT 10"
        );
        self.site.connect().query(query).unwrap()
    }

    fn wait_for(&self, what: &str, seconds: u64, condition: &str, rows: u64) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while self.rows(condition) != rows {
            assert!(
                Instant::now() < deadline,
                "{what}: not {rows} rows with {condition}, but {:?}",
                self.others(condition)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn server() -> MariaDb {
    MariaDb::start_with(&["--innodb-flush-log-at-trx-commit=2"])
}

#[test]
fn eight_workers_run_each_of_ten_thousand_tasks_once() {
    let server = server();
    let mut crew = Crew::over(server.database(), 30.0, 50);
    let ids = crew.add(10_000, "t", json!([]));
    let start = Instant::now();
    let workers: Vec<Process> = (0..8).map(|_| crew.hire()).collect();
    crew.wait_for("all are done", 50, "status = 'completed'", 10_000);
    println!("10,000 tasks by 8 processes in {:.1?}", start.elapsed());
    drop(workers);
    let begun = crew.lines("B");
    assert_eq!(begun.len(), ids.len(), "none was left out");
    assert!(begun.values().all(|times| *times == 1), "none ran twice");
    assert_eq!(crew.site.store().stats().unwrap().completed, 10_000);
}

#[test]
fn killed_workers_lose_no_task_and_money_moves_at_most_once() {
    const A_MINUTE: u64 = 60_000_000;
    let server = server();
    let mut crew = Crew::over(server.database(), 1.0, 20);
    let free = crew.add(1000, "mail", json!({"micros": 3000}));
    let quick = crew.add(140, "subscription_renewal", json!({"micros": 5000}));
    // These do not end by themselves in the time of this test: whoever begins one dies in it.
    let endless = crew.add(10, "subscription_renewal", json!({"micros": A_MINUTE}));
    let mut workers: Vec<(u32, Process)> = (0..6).map(|_| crew.hire_numbered()).collect();
    let deadline = Instant::now() + Duration::from_secs(90);
    let (mut kills, mut ended) = (0u32, 0);
    while crew.rows("status IN ('pending', 'processing')") > 0 {
        assert!(Instant::now() < deadline, "{} are left", crew.rows("status IN ('pending', 'processing')"));
        std::thread::sleep(Duration::from_millis(50));
        let charging = workers.iter().position(|(number, _)| endless.contains(&crew.last_begun(*number)));
        let now_ended = crew.lines("E").len();
        // The numbers of a linear congruential generator choose whom, so that a failure repeats.
        let drawn = (kills.wrapping_mul(1_103_515_245).wrapping_add(12_345) >> 16) as usize % workers.len();
        // A worker that is not in one of those charges dies only when work has gone on since the
        // last death: on a slow machine nothing would else ever be done.
        let Some(victim) = charging.or((now_ended > ended).then_some(drawn)) else { continue };
        ended = now_ended;
        workers[victim].1.kill();
        workers[victim] = crew.hire_numbered();
        kills += 1;
    }
    drop(workers);

    let (begun, ended) = (crew.lines("B"), crew.lines("E"));
    let held = crew.rows("status = 'held'");
    println!(
        "{kills} kills, {} runs of {} free tasks, {held} held",
        free.iter().map(|id| begun[id]).sum::<u32>(),
        free.len()
    );
    assert!(free.iter().all(|id| ended.contains_key(id)), "each free task was run to its end at least once");
    assert_eq!(crew.rows("task_type = 'mail' AND status = 'completed'"), free.len() as u64);
    let money: Vec<u64> = quick.into_iter().chain(endless.iter().copied()).collect();
    assert!(
        money.iter().all(|id| begun.get(id).copied().unwrap_or_default() <= 1),
        "no charge was begun twice"
    );
    let settled: Vec<u64> = crew
        .site
        .connect()
        .query(format!(
            "SELECT id FROM {TASKS} WHERE task_type = 'subscription_renewal' AND status = 'completed'"
        ))
        .unwrap();
    assert!(settled.iter().all(|id| ended[id] == 1), "what is completed was done");
    assert_eq!(settled.len() as u64 + held, money.len() as u64, "the rest waits for a person");
    for id in endless {
        assert_eq!(crew.site.task(id).status, "held", "its worker was killed in the charge");
    }
}

#[test]
fn a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes() {
    let server = server();
    for (task_type, status) in [("mail", "completed"), ("subscription_renewal", "held")] {
        let mut crew = Crew::over(server.database(), 1.0, 10);
        let ids = crew.add(3, task_type, json!({"micros": 1_500_000}));
        let frozen = crew.hire();
        wait_until("the first task has begun", || crew.lines("B").contains_key(&ids[0]));
        frozen.pause();
        crew.wait_for("its leases have ended", 20, &format!("state = 5 AND sort_key >= {NOW}"), 0);
        let second = crew.hire();
        crew.wait_for("another worker has taken over", 20, "status IN ('completed', 'held')", 3);
        let before: Vec<(u64, String, String)> =
            crew.site.connect().query(format!("SELECT id, status, worker FROM {TASKS} ORDER BY id")).unwrap();
        assert_eq!(before[0].1, status);
        frozen.resume();
        wait_until("the woken worker has ended its task", || crew.lines("E").contains_key(&ids[0]));
        std::thread::sleep(Duration::from_millis(600));
        let after: Vec<(u64, String, String)> =
            crew.site.connect().query(format!("SELECT id, status, worker FROM {TASKS} ORDER BY id")).unwrap();
        assert_eq!(after, before, "its result was dropped");
        let begun = crew.lines("B");
        let again = u32::from(task_type == "mail");
        assert_eq!(begun[&ids[0]], 1 + again);
        assert!(ids[1..].iter().all(|id| begun[id] == 1), "it did not begin what it had taken: {begun:?}");
        drop((frozen, second));
    }
}

#[test]
fn a_task_that_kills_its_worker_stops_after_a_few() {
    let server = server();
    let site = Site::over(server.database(), json!({"lease": 1, "max_crashes": 3}));
    let poison = site.add("t", json!([]));
    let innocent: Vec<u64> = (0..9).map(|_| site.add("t", json!([]))).collect();
    for crash in 1..=3 {
        let mut worker = site.queue.worker(Policies::default(), WorkerOptions::default()).unwrap();
        while worker.next_task().unwrap().is_some_and(|task| task.id != poison) {
            worker.report(Outcome::Done).unwrap();
        }
        // A worker that is forgotten is as good as killed: its heartbeat is not, so it is dropped.
        drop(worker);
        wait_until("the lease has ended", || {
            site.store().recover(3).unwrap();
            site.task(poison).crash_count == crash
        });
    }
    assert_eq!(site.task(poison).status, "failed");
    assert!(site.task(poison).error_message.unwrap().contains("crash 3 of 3"));
    site.work(|_, _| Outcome::Done);
    for id in innocent {
        assert_eq!(site.task(id).status, "completed", "those claimed with it are not to blame");
    }
}

#[test]
fn a_handler_past_its_time_limit_loses_its_task() {
    let server = server();
    let site = Site::over(server.database(), json!({"lease": 2}));
    let id = site.add_with("t", json!([]), 10, Value::Null, json!({"timeout": 1, "on_crash": "fail"}));
    let long = site.add_with("t", json!([]), 20, Value::Null, json!({"on_crash": "fail"}));
    let tally = site.work(|task, _| {
        let start = Instant::now();
        while task.id == id && site.task(id).status == "processing" {
            assert!(start.elapsed() < Duration::from_secs(30), "the heartbeat kept a task past its limit");
            site.store().recover(3).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
        if task.id == long {
            std::thread::sleep(Duration::from_millis(4500));
            site.store().recover(3).unwrap();
        }
        Outcome::Done
    });
    assert_eq!(tally.lost, 1);
    assert_eq!(site.task(id).status, "failed");
    assert_eq!(site.task(long).status, "completed", "the heartbeat keeps a task that may take its time");
}

#[test]
fn a_handler_left_by_a_fatal_error_is_settled_by_the_types_policy() {
    let server = server();
    let site = Site::over(server.database(), json!({"backoff": {"base": 60}}));
    for (task_type, options, status) in [
        ("mail", json!([]), "pending"),
        ("subscription_renewal", json!([]), "held"),
        ("subscription_renewal", json!({"idempotent": true}), "pending"),
        ("sync", json!({"on_crash": "fail"}), "failed"),
    ] {
        let ids = [site.add(task_type, json!([])), site.add(task_type, json!([]))];
        let mut worker = site.queue.worker(policies(task_type, options), WorkerOptions::default()).unwrap();
        assert_eq!(worker.next_task().unwrap().unwrap().id, ids[0]);
        worker.abandon("PHP Fatal error: Allowed memory size exhausted").unwrap();
        let task = site.task(ids[0]);
        assert_eq!(task.status, status, "{task_type}");
        assert!(task.error_message.unwrap().contains("Allowed memory size"));
        assert_eq!(site.task(ids[1]).status, "pending", "the next one was given back at once");
        assert!(worker.next_task().unwrap().is_none(), "this process takes no more");
        site.connect().query_drop(format!("DELETE FROM {TASKS}")).unwrap();
    }
}

#[test]
fn workers_outlive_a_killed_mariadb() {
    let mut server = MariaDb::start();
    let mut crew = Crew::over(server.database(), 5.0, 20);
    let ids = crew.add(400, "mail", json!({"micros": 5000}));
    let workers: Vec<Process> = (0..3).map(|_| crew.hire()).collect();
    for _ in 0..2 {
        let before = crew.lines("E").len();
        wait_until("work goes on", || crew.lines("E").len() > before + 40);
        server.kill();
        std::thread::sleep(Duration::from_millis(300));
        server.restart();
    }
    crew.wait_for("all are done", 40, "status = 'completed'", 400);
    drop(workers);
    let ended = crew.lines("E");
    assert!(ids.iter().all(|id| ended.contains_key(id)));
    assert_eq!(crew.site.store().stats().unwrap().completed, 400, "the counters are those of the rows");
}

#[test]
fn deadlocks_are_no_failure() {
    const A_ROUND: usize = 3000;
    let server = server();
    let crew_site = Site::over(server.database(), json!({}));
    let ran = std::sync::Mutex::new(HashMap::new());
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut queued = 0;
    // On a quick machine a round may end before two transactions have met the wrong way round.
    while deadlocks_seen(&crew_site) == 0 && Instant::now() < deadline {
        let request = crew_site.queue.request("t", &json!([]), 10, &Value::Null, json!({})).unwrap();
        crew_site.store().enqueue_all(&vec![request; A_ROUND]).unwrap();
        queued += A_ROUND;
        work_against_the_grain(&crew_site, &ran);
    }
    assert!(deadlocks_seen(&crew_site) > 0, "there was no deadlock: the test has shown nothing");
    let ran = ran.into_inner().unwrap();
    assert!(ran.len() == queued && ran.values().all(|times| *times == 1));
    assert_eq!(crew_site.store().stats().unwrap().completed, queued as u64);
}

fn deadlocks_seen(site: &Site) -> u64 {
    let row: Option<(String, u64)> =
        site.connect().query_first("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").unwrap();
    row.unwrap().1
}

/// Four workers empty the queue while somebody else's code updates tasks in the wrong order.
fn work_against_the_grain(site: &Site, ran: &std::sync::Mutex<HashMap<u64, u32>>) {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let own = Site::over(site.database.clone(), json!({}));
                    own.work(|task, _| {
                        *ran.lock().unwrap().entry(task.id).or_insert(0) += 1;
                        Outcome::Done
                    })
                })
            })
            .collect();
        scope.spawn(|| {
            let mut conn = site.connect();
            let deadline = Instant::now() + Duration::from_secs(60);
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) && Instant::now() < deadline {
                let pair: Vec<u64> = conn
                    .query(format!(
                        "SELECT id FROM {TASKS} WHERE status = 'processing' ORDER BY RAND() LIMIT 12"
                    ))
                    .unwrap();
                conn.query_drop("START TRANSACTION").unwrap();
                for id in pair.iter().rev() {
                    let update =
                        format!("UPDATE {TASKS} SET progress_total = progress_total + 1 WHERE id = {id}");
                    if conn.query_drop(update).is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_micros(500));
                }
                conn.query_drop("COMMIT").unwrap();
            }
        });
        for worker in working {
            worker.join().unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn workers_with_wrong_clocks_agree_on_leases_and_dates() {
    let server = server();
    let mut crew = Crew::over(server.database(), 10.0, 5);
    let folder = TempDir::new().unwrap();
    let shim = clock_shim(folder.path());
    let now = crew.site.store().now().unwrap() / 1_000_000;
    let later = crew.site.add_with("t", json!([]), 10, json!(now + 3600), json!({}));
    let ids = crew.add(40, "t", json!({"micros": 100_000}));
    let mut workers = Vec::new();
    for offset in ["-86400", "86400", "0"] {
        crew.environment = vec![
            ("LD_PRELOAD".to_owned(), shim.display().to_string()),
            ("SLBP_TEST_CLOCK_OFFSET".to_owned(), offset.to_owned()),
        ];
        workers.push(crew.hire());
    }
    crew.wait_for("all are done", 30, "status = 'completed'", 40);
    std::thread::sleep(Duration::from_millis(1500));
    drop(workers);
    let clocks = crew.lines("C");
    assert!(clocks.keys().any(|clock| clock + 80_000 < now as u64), "one clock is behind: {clocks:?}");
    assert!(clocks.keys().any(|clock| *clock > now as u64 + 80_000), "one clock is ahead: {clocks:?}");
    let begun = crew.lines("B");
    assert!(ids.iter().all(|id| begun[id] == 1), "nobody took a lease that had not ended");
    assert!(!begun.contains_key(&later), "the worker a day ahead did not begin it");
}

/// A library that moves the wall clock of the process it is loaded into.
fn clock_shim(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    let code = r#"
        #define _GNU_SOURCE
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t id, struct timespec *at) {
            int result = syscall(SYS_clock_gettime, id, at);
            const char *offset = getenv("SLBP_TEST_CLOCK_OFFSET");
            if (result == 0 && id == CLOCK_REALTIME && offset) at->tv_sec += atol(offset);
            return result;
        }"#;
    fs::write(&source, code).unwrap();
    let status =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(status.success());
    library
}
