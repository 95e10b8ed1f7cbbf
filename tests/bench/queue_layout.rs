//! Which table layout should the queue have? The measurement that froze it.
//!
//! Two layouts of the same queue on the same MariaDB, durable at commit:
//! `single`: one table whose index (state, lane, sort_key, run_at) holds what each state waits for;
//! `hot`: Solid Queue's way, a `ready` and a `leases` table beside the history.
//!
//! `cargo bench --no-default-features --bench queue_layout`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::mariadb::{Database, MariaDb};
use mysql::Conn;
use mysql::prelude::Queryable;

const PAYLOAD: &str = r#"{"subscription_id":12345,"amount":"19.90","currency":"EUR","note":"0123456789012345678901234567890123456789"}"#;
const FAR_FUTURE: u64 = 4_000_000_000_000_000;
const INSERT_CHUNK: u64 = 1_000;

trait Layout: Copy + Send + Sync {
    const NAME: &'static str;
    fn create(self, conn: &mut Conn);
    fn insert_due(self, conn: &mut Conn, count: u64);
    fn insert_future(self, conn: &mut Conn, count: u64);
    fn insert_done(self, conn: &mut Conn, count: u64);
    fn claim(self, conn: &mut Conn, batch: u64, token: u64) -> Vec<(u64, String)>;
    fn acknowledge(self, conn: &mut Conn, ids: &[(u64, String)], token: u64);
}

#[derive(Clone, Copy)]
struct Single;

#[derive(Clone, Copy)]
struct Hot;

const HISTORY: &str = "id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, task_type VARCHAR(50) NOT NULL,
    task_data LONGTEXT NOT NULL, priority INT NOT NULL DEFAULT 10, status VARCHAR(20) NOT NULL DEFAULT 'pending',
    retry_count INT NOT NULL DEFAULT 0, scheduled_at DATETIME NULL, started_at DATETIME NULL, completed_at DATETIME NULL,
    error_message TEXT NULL, created_at DATETIME DEFAULT CURRENT_TIMESTAMP";

impl Layout for Single {
    const NAME: &'static str = "single";

    fn create(self, conn: &mut Conn) {
        conn.query_drop(format!(
            "CREATE TABLE tasks ({HISTORY}, state TINYINT UNSIGNED NOT NULL, lane VARCHAR(64) CHARACTER SET ascii NOT NULL,
             sort_key BIGINT NOT NULL, run_at BIGINT NOT NULL, lease_token BIGINT UNSIGNED NULL,
             KEY claim (state, lane, sort_key, run_at)) ENGINE=InnoDB"
        ))
        .unwrap();
    }

    fn insert_due(self, conn: &mut Conn, count: u64) {
        bulk(conn, "tasks (task_type, task_data, state, lane, sort_key, run_at)", count, |n| {
            format!("('renewal','{PAYLOAD}',3,'default',{n},{n})")
        });
    }

    fn insert_future(self, conn: &mut Conn, count: u64) {
        bulk(conn, "tasks (task_type, task_data, state, lane, sort_key, run_at)", count, |n| {
            format!("('renewal','{PAYLOAD}',1,'',{0},{0})", FAR_FUTURE + n)
        });
    }

    fn insert_done(self, conn: &mut Conn, count: u64) {
        bulk(conn, "tasks (task_type, task_data, status, state, lane, sort_key, run_at)", count, |n| {
            format!("('renewal','{PAYLOAD}','completed',6,'',{n},{n})")
        });
    }

    fn claim(self, conn: &mut Conn, batch: u64, token: u64) -> Vec<(u64, String)> {
        conn.query_drop("START TRANSACTION").unwrap();
        let tasks: Vec<(u64, String)> = conn
            .query(format!(
                "SELECT id, task_data FROM tasks FORCE INDEX (claim) WHERE state = 3 AND lane = 'default'
                 ORDER BY sort_key, run_at, id LIMIT {batch} FOR UPDATE SKIP LOCKED"
            ))
            .unwrap();
        if !tasks.is_empty() {
            conn.query_drop(format!(
                "UPDATE tasks SET state = 5, lane = '', status = 'processing', lease_token = {token}, sort_key = {},
                 started_at = UTC_TIMESTAMP() WHERE id IN ({})",
                FAR_FUTURE,
                list(&tasks)
            ))
            .unwrap();
        }
        conn.query_drop("COMMIT").unwrap();
        tasks
    }

    fn acknowledge(self, conn: &mut Conn, tasks: &[(u64, String)], token: u64) {
        conn.query_drop(format!(
            "UPDATE tasks SET state = 6, status = 'completed', completed_at = UTC_TIMESTAMP(), lease_token = NULL,
             sort_key = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))
             WHERE id IN ({}) AND lease_token = {token}",
            list(tasks)
        ))
        .unwrap();
        assert_eq!(conn.affected_rows(), tasks.len() as u64);
    }
}

impl Layout for Hot {
    const NAME: &'static str = "hot";

    fn create(self, conn: &mut Conn) {
        conn.query_drop(format!("CREATE TABLE tasks ({HISTORY}, KEY finished (completed_at)) ENGINE=InnoDB"))
            .unwrap();
        for table in ["ready", "scheduled"] {
            conn.query_drop(format!(
                "CREATE TABLE {table} (task_id BIGINT NOT NULL PRIMARY KEY, lane VARCHAR(64) CHARACTER SET ascii NOT NULL,
                 sort_key BIGINT NOT NULL, run_at BIGINT NOT NULL, KEY claim (lane, sort_key, run_at)) ENGINE=InnoDB"
            ))
            .unwrap();
        }
        conn.query_drop(
            "CREATE TABLE leases (task_id BIGINT NOT NULL PRIMARY KEY, token BIGINT UNSIGNED NOT NULL,
             until_at BIGINT NOT NULL, KEY until_at (until_at)) ENGINE=InnoDB",
        )
        .unwrap();
    }

    fn insert_due(self, conn: &mut Conn, count: u64) {
        waiting(conn, "ready", count, 0);
    }

    fn insert_future(self, conn: &mut Conn, count: u64) {
        waiting(conn, "scheduled", count, FAR_FUTURE);
    }

    fn insert_done(self, conn: &mut Conn, count: u64) {
        bulk(conn, "tasks (task_type, task_data, status, completed_at)", count, |_| {
            format!("('renewal','{PAYLOAD}','completed',UTC_TIMESTAMP())")
        });
    }

    fn claim(self, conn: &mut Conn, batch: u64, token: u64) -> Vec<(u64, String)> {
        conn.query_drop("START TRANSACTION").unwrap();
        let ids: Vec<u64> = conn
            .query(format!(
                "SELECT task_id FROM ready FORCE INDEX (claim) WHERE lane = 'default'
                 ORDER BY sort_key, run_at, task_id LIMIT {batch} FOR UPDATE SKIP LOCKED"
            ))
            .unwrap();
        let mut tasks = Vec::new();
        if !ids.is_empty() {
            let listed = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
            conn.query_drop(format!("DELETE FROM ready WHERE task_id IN ({listed})")).unwrap();
            let leases: Vec<String> = ids.iter().map(|id| format!("({id},{token},{FAR_FUTURE})")).collect();
            conn.query_drop(format!("INSERT INTO leases VALUES {}", leases.join(","))).unwrap();
            conn.query_drop(format!(
                "UPDATE tasks SET status = 'processing', started_at = UTC_TIMESTAMP() WHERE id IN ({listed})"
            ))
            .unwrap();
            tasks = conn.query(format!("SELECT id, task_data FROM tasks WHERE id IN ({listed})")).unwrap();
        }
        conn.query_drop("COMMIT").unwrap();
        tasks
    }

    fn acknowledge(self, conn: &mut Conn, tasks: &[(u64, String)], token: u64) {
        conn.query_drop("START TRANSACTION").unwrap();
        let listed = list(tasks);
        conn.query_drop(format!("DELETE FROM leases WHERE task_id IN ({listed}) AND token = {token}"))
            .unwrap();
        assert_eq!(conn.affected_rows(), tasks.len() as u64);
        conn.query_drop(format!(
            "UPDATE tasks SET status = 'completed', completed_at = UTC_TIMESTAMP() WHERE id IN ({listed})"
        ))
        .unwrap();
        conn.query_drop("COMMIT").unwrap();
    }
}

fn bulk(conn: &mut Conn, target: &str, count: u64, row: impl Fn(u64) -> String) {
    let mut next = 0;
    while next < count {
        let until = (next + INSERT_CHUNK).min(count);
        let rows: Vec<String> = (next..until).map(&row).collect();
        conn.query_drop(format!("INSERT INTO {target} VALUES {}", rows.join(","))).unwrap();
        next = until;
    }
}

/// History rows and their entries in `table`, both in one transaction as an enqueue would.
fn waiting(conn: &mut Conn, table: &str, count: u64, offset: u64) {
    let mut next = 0;
    while next < count {
        let chunk = INSERT_CHUNK.min(count - next);
        conn.query_drop("START TRANSACTION").unwrap();
        bulk(conn, "tasks (task_type, task_data)", chunk, |_| format!("('renewal','{PAYLOAD}')"));
        let first = conn.last_insert_id();
        bulk(conn, table, chunk, |n| format!("({},'default',{1},{1})", first + n, offset + next + n));
        conn.query_drop("COMMIT").unwrap();
        next += chunk;
    }
}

fn list(tasks: &[(u64, String)]) -> String {
    tasks.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(",")
}

fn session(database: &Database) -> Conn {
    let mut conn = database.connect();
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").unwrap();
    conn
}

/// User and system time of a process so far, seconds.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

struct Measure {
    start: Instant,
    server: f64,
    own: f64,
}

impl Measure {
    fn begin(server: &MariaDb) -> Self {
        Self { start: Instant::now(), server: cpu(server.pid()), own: cpu(std::process::id()) }
    }

    fn report(&self, server: &MariaDb, label: &str, count: u64) {
        let (wall, n) = (self.start.elapsed().as_secs_f64(), count as f64);
        println!(
            "{label:<44} {:>9.0}/s   CPU us/task: server {:>6.1}  client {:>5.1}",
            n / wall,
            (cpu(server.pid()) - self.server) * 1e6 / n,
            (cpu(std::process::id()) - self.own) * 1e6 / n
        );
    }
}

fn percentile(samples: &mut [Duration], p: f64) -> Duration {
    samples.sort_unstable();
    samples[((samples.len() - 1) as f64 * p) as usize]
}

fn claims<L: Layout>(layout: L, conn: &mut Conn, batch: u64, rounds: u64, label: &str) {
    let mut samples = Vec::new();
    for token in 1..=rounds {
        let start = Instant::now();
        let tasks = layout.claim(conn, batch, token);
        samples.push(start.elapsed());
        layout.acknowledge(conn, &tasks, token);
    }
    println!(
        "{:<44} p50 {:>8.2?}  p99 {:>8.2?}",
        format!("{} claim of {batch}, {label}", L::NAME),
        percentile(&mut samples, 0.5),
        percentile(&mut samples, 0.99)
    );
}

fn drain<L: Layout>(layout: L, server: &MariaDb, database: &Database, workers: u64, batch: u64) {
    let done = AtomicU64::new(0);
    let measure = Measure::begin(server);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let done = &done;
            scope.spawn(move || {
                let mut conn = session(database);
                let mut token = worker << 32;
                loop {
                    token += 1;
                    let tasks = layout.claim(&mut conn, batch, token);
                    if tasks.is_empty() {
                        break;
                    }
                    layout.acknowledge(&mut conn, &tasks, token);
                    done.fetch_add(tasks.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    let label = format!("{} drain, {workers} worker(s), batch {batch}", L::NAME);
    measure.report(server, &label, done.load(Ordering::Relaxed));
}

fn measure<L: Layout>(layout: L, server: &MariaDb, scale: u64) {
    let database = server.database();
    let mut conn = session(&database);
    layout.create(&mut conn);
    let enqueue = Measure::begin(server);
    layout.insert_due(&mut conn, scale);
    enqueue.report(server, &format!("{} bulk enqueue", L::NAME), scale);
    layout.insert_future(&mut conn, scale);
    claims(layout, &mut conn, 10, 300, "due + future rows");
    claims(layout, &mut conn, 100, 100, "due + future rows");
    drain(layout, server, &database, 1, 100);
    layout.insert_due(&mut conn, scale);
    drain(layout, server, &database, 4, 100);
    layout.insert_due(&mut conn, scale / 10);
    drain(layout, server, &database, 4, 10);
    layout.insert_due(&mut conn, scale / 50);
    drain(layout, server, &database, 1, 1);
    layout.insert_done(&mut conn, scale * 10);
    layout.insert_due(&mut conn, scale);
    claims(layout, &mut conn, 100, 100, "with 10 times the rows done");
    drain(layout, server, &database, 1, 100);
}

fn main() {
    let scale = std::env::var("SLBP_BENCH_ROWS").map_or(100_000, |text| text.parse().unwrap());
    let server = MariaDb::start_with(&["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=256M"]);
    println!("{scale} due and {scale} future rows, innodb_flush_log_at_trx_commit=1");
    for _ in 0..2 {
        measure(Single, &server, scale);
        measure(Hot, &server, scale);
    }
}
