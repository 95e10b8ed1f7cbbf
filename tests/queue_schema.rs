//! The queue's tables: from nothing, from the existing plugin's table with its rows, twice, by two
//! at once; and the plans of the statements that must stay cheap beside 100,000 future rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::mariadb::{Database, shared};
use common::queue::{Site, TASKS};
use mysql::prelude::Queryable;
use serde_json::json;
use slbp::ports::Database as _;
use slbp::queue::schedule::Zone;
use slbp::queue::state::State;
use slbp::queue::worker::Outcome;
use slbp::queue::{Queue, schema};

/// The table as the existing plugin makes it (dbDelta, its indexes included).
const EXISTING: &str = "CREATE TABLE wp_slbp_background_tasks (
    id bigint(20) NOT NULL AUTO_INCREMENT,
    task_type varchar(50) NOT NULL,
    task_data longtext NOT NULL,
    priority int(11) NOT NULL DEFAULT 10,
    status varchar(20) NOT NULL DEFAULT 'pending',
    retry_count int(11) NOT NULL DEFAULT 0,
    scheduled_at datetime NOT NULL,
    started_at datetime DEFAULT NULL,
    completed_at datetime DEFAULT NULL,
    error_message text DEFAULT NULL,
    created_at datetime DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id),
    KEY task_type (task_type), KEY status (status), KEY priority (priority),
    KEY scheduled_at (scheduled_at), KEY created_at (created_at)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci";

fn existing(database: &Database, rows: &str) {
    let mut conn = database.connect();
    conn.query_drop(EXISTING).unwrap();
    conn.query_drop(format!(
        "INSERT INTO {TASKS} (task_type, task_data, status, retry_count, scheduled_at, started_at, completed_at)
         VALUES {rows}"
    ))
    .unwrap();
}

fn statuses(site: &Site) -> Vec<(u64, String, u8)> {
    site.connect().query(format!("SELECT id, status, state FROM {TASKS} ORDER BY id")).unwrap()
}

#[test]
fn the_existing_plugins_rows_join_the_queue() {
    let database = shared().database();
    existing(
        &database,
        "('export', '{\"a\":1}', 'pending', 1, '2020-01-01 00:00:00', NULL, NULL),
         ('export', '[]', 'pending', 0, '2100-01-01 00:00:00', NULL, NULL),
         ('export', '[]', 'completed', 0, '2020-01-01 00:00:00', '2020-01-01 00:00:01', '2020-01-01 00:00:02'),
         ('export', '[]', 'failed', 3, '2020-01-01 00:00:00', '2020-01-01 00:00:01', '2020-01-01 00:00:02'),
         ('cleanup_logs', '[]', 'processing', 0, '2020-01-01 00:00:00', '2020-01-01 00:00:01', NULL),
         ('billing_run', '[]', 'processing', 0, '2020-01-01 00:00:00', '2020-01-01 00:00:01', NULL),
         ('export', '[]', 'processing', 0, UTC_TIMESTAMP(), UTC_TIMESTAMP(), NULL),
         ('no name', 'a:0:{}', 'pending', 0, '0000-00-00 00:00:00', NULL, NULL),
         ('export', 'a:1:{i:0;s:3:\"php\";}', 'pending', 0, '2020-01-01 00:00:00', NULL, NULL)",
    );
    let site = Site::over(database, json!({}));
    let ran = std::sync::Mutex::new(Vec::new());
    site.work(|task, _| {
        ran.lock().unwrap().push((task.id, task.attempt));
        Outcome::Done
    });
    let mut ran = ran.into_inner().unwrap();
    ran.sort_unstable();
    assert_eq!(ran, [(1, 2), (5, 1), (9, 1)], "what was due, and what was left in the middle");
    let states: Vec<(String, u8)> =
        statuses(&site).into_iter().map(|(_, status, state)| (status, state)).collect();
    let expected = [
        ("completed", State::Done),
        ("pending", State::Scheduled),
        ("completed", State::Done),
        ("failed", State::Dead),
        ("completed", State::Done),
        ("held", State::Held),
        ("processing", State::Foreign),
        ("failed", State::Dead),
        ("completed", State::Done),
    ];
    assert_eq!(states, expected.map(|(status, state)| (status.to_owned(), state.code())));
    assert_eq!(site.task(3).completed_at.as_deref(), Some("2020-01-01 00:00:02"), "history stays as it was");
    assert_eq!(site.task(9).task_data, json!("a:1:{i:0;s:3:\"php\";}"), "shown, never unserialized");
    let stats = site.store().stats().unwrap();
    assert_eq!((stats.completed, stats.failed, stats.held), (4, 2, 1));
}

#[test]
fn other_code_may_still_insert_the_public_columns_alone() {
    let site = Site::new();
    site.store();
    site.connect()
        .query_drop(format!(
            "INSERT INTO {TASKS} (task_type, task_data, priority, status, scheduled_at)
             VALUES ('export', '[]', 5, 'pending', '2020-01-01 00:00:00')"
        ))
        .unwrap();
    assert_eq!(site.order(), [1]);
}

#[test]
fn times_of_the_existing_plugin_are_on_the_sites_clock() {
    let database = shared().database();
    existing(&database, "('export', '[]', 'pending', 0, '2090-07-01 12:00:00', NULL, NULL)");
    let site = Site::over(database, json!({}));
    let zone: Zone = "America/New_York".parse().unwrap();
    let local = Queue::new(site.queue.settings().clone(), zone, Box::new(common::queue::LimiterPace));
    local.on(local.link()).unwrap().adopt().unwrap();
    let task = site.task(1);
    assert_eq!(slbp::queue::schedule::iso(task.run_at), "2090-07-01T16:00:00Z");
    assert_eq!(task.scheduled_at.as_deref(), Some("2090-07-01 12:00:00"));
}

#[test]
fn migrations_may_be_run_twice_interrupted_and_by_many_at_once() {
    let database = shared().database();
    existing(&database, "('export', '[]', 'completed', 0, '2020-01-01 00:00:00', NULL, NULL)");
    let site = Site::over(database, json!({}));
    let (link, tables) = (site.queue.link(), &site.queue.settings().tables);
    assert!(!schema::is_current(link, tables));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = Site::over(site.database.clone(), json!({}));
                own.store().stats().unwrap();
            });
        }
    });
    let dump = |site: &Site| -> Vec<String> {
        ["", "_types", "_counters", "_ledger"]
            .map(|suffix| {
                let row: (String, String) = site
                    .connect()
                    .query_first(format!("SHOW CREATE TABLE {TASKS}{suffix}"))
                    .unwrap()
                    .unwrap();
                row.1
            })
            .into()
    };
    let once = dump(&site);
    schema::migrate(link, tables).unwrap();
    assert_eq!(dump(&site), once);

    site.connect()
        .query_drop(format!("ALTER TABLE {TASKS} DROP INDEX slbp_claim, DROP COLUMN worker"))
        .unwrap();
    schema::migrate(link, tables).unwrap();
    assert!(
        dump(&site)[0].contains("slbp_claim") && dump(&site)[0].contains("`worker`"),
        "what is missing is added"
    );
    assert!(schema::is_current(link, tables));
}

#[test]
fn a_fresh_table_has_the_public_columns_as_they_were() {
    let (ours, theirs) = (Site::new(), shared().database());
    ours.store();
    theirs.connect().query_drop(EXISTING).unwrap();
    let columns = |database: &Database| -> Vec<(String, String, String, Option<String>)> {
        let query = format!(
            "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT FROM information_schema.COLUMNS
             WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = '{TASKS}' ORDER BY ORDINAL_POSITION LIMIT 11",
            database.name
        );
        database.connect().query(query).unwrap()
    };
    assert_eq!(columns(&ours.database), columns(&theirs));
}

#[test]
fn a_table_without_transactions_is_converted() {
    let database = shared().database();
    existing(&database, "('export', '[]', 'pending', 0, '2020-01-01 00:00:00', NULL, NULL)");
    database.connect().query_drop(format!("ALTER TABLE {TASKS} ENGINE=MyISAM")).unwrap();
    let site = Site::over(database, json!({}));
    assert_eq!(site.order(), [1]);
    let created: (String, String) =
        site.connect().query_first(format!("SHOW CREATE TABLE {TASKS}")).unwrap().unwrap();
    assert!(created.1.contains("ENGINE=InnoDB"));
}

#[test]
fn an_existing_large_table_is_migrated_while_it_is_written() {
    let database = shared().database();
    existing(
        &database,
        "('export', '[]', 'completed', 0, '2020-01-01 00:00:00', NULL, '2020-01-01 00:00:00')",
    );
    let mut conn = database.connect();
    for _ in 0..16 {
        conn.query_drop(format!(
            "INSERT INTO {TASKS} (task_type, task_data, status, scheduled_at, completed_at)
             SELECT task_type, task_data, status, scheduled_at, completed_at FROM {TASKS}"
        ))
        .unwrap();
    }
    let site = Site::over(database.clone(), json!({}));
    let (longest, whole) = std::thread::scope(|scope| {
        let begin = Instant::now();
        let migration = scope.spawn(|| site.store().now().unwrap());
        let mut longest = Duration::ZERO;
        while !migration.is_finished() {
            let start = Instant::now();
            conn.query_drop(format!(
                "INSERT INTO {TASKS} (task_type, task_data, scheduled_at) VALUES ('export', '[]', UTC_TIMESTAMP())"
            ))
            .unwrap();
            longest = longest.max(start.elapsed());
        }
        migration.join().unwrap();
        (longest, begin.elapsed())
    });
    // Behind a lock on the table it would have waited for nearly all of the migration.
    let most = (whole / 2).max(Duration::from_secs(1));
    assert!(longest < most, "an insert waited {longest:?} of {whole:?}");
    assert!(site.store().adopt().unwrap() > 0);
}

/// 100,000 future rows of better priority, 100,000 done ones, 1,000 due ones.
fn crowded() -> Site {
    let site = Site::new();
    site.store();
    let mut conn = site.connect();
    for (state, lane, status) in [(State::Scheduled, "''", "pending"), (State::Done, "''", "completed")] {
        conn.query_drop(format!(
            "INSERT INTO {TASKS} (task_type, task_data, priority, status, scheduled_at, state, lane, sort_key, run_at)
             SELECT 't', '[]', -5, '{status}', '2100-01-01', {}, {lane}, 4000000000000000 + seq, 4000000000000000 + seq
             FROM seq_1_to_100000",
            state.code()
        ))
        .unwrap();
    }
    conn.query_drop(format!(
        "INSERT INTO {TASKS} (task_type, task_data, status, scheduled_at, state, lane, sort_key, run_at)
         SELECT 't', '[]', 'pending', '2020-01-01', {}, 'default', 57000000 + seq, seq FROM seq_1_to_1000",
        State::Ready.code()
    ))
    .unwrap();
    conn.query_drop(format!("ANALYZE TABLE {TASKS}")).unwrap();
    site
}

/// A link that keeps the statements which ran on it.
struct Recorder<'a> {
    inner: &'a slbp::remote::database::DatabaseLink,
    statements: std::sync::Mutex<Vec<String>>,
}

impl slbp::ports::Database for Recorder<'_> {
    fn query(&self, sql: &str) -> Result<Vec<slbp::ports::Row>, slbp::ports::DatabaseFault> {
        self.statements.lock().unwrap().push(sql.to_owned());
        self.inner.query(sql)
    }

    fn execute(&self, sql: &str) -> Result<slbp::ports::Executed, slbp::ports::DatabaseFault> {
        self.statements.lock().unwrap().push(sql.to_owned());
        self.inner.execute(sql)
    }
}

#[test]
fn no_statement_of_a_worker_sorts_or_reads_what_it_does_not_need() {
    let site = crowded();
    let recorder = Recorder { inner: site.queue.link(), statements: std::sync::Mutex::default() };
    let store = site.queue.on(&recorder).unwrap();
    let claim = slbp::queue::store::Claim {
        queues: &["default".to_owned()],
        any_queue: true,
        limit: 50,
        lease: Duration::from_secs(60),
        token: 7,
        worker: "test:1",
        gates: &[],
        pace: &common::queue::LimiterPace,
        on_crash: &|_| slbp::queue::crash::OnCrash::Retry,
        skip_locked: true,
    };
    let read_before = rows_read(&site);
    let tasks = store.finish_and_claim(&[], &claim).unwrap().tasks;
    assert_eq!(tasks.len(), 50);
    assert!(
        rows_read(&site) - read_before < 300,
        "a claim of 50 read {} rows",
        rows_read(&site) - read_before
    );
    store.promote(true).unwrap();
    store.recover(3).unwrap();
    store.queues().unwrap();
    store.stats().unwrap();
    store.adopt().unwrap();

    let statements = recorder.statements.into_inner().unwrap();
    let mut explained = 0;
    for statement in statements.iter().filter(|sql| sql.contains(TASKS) && sql.contains("SELECT ")) {
        let plan: Vec<mysql::Row> = site.connect().query(format!("EXPLAIN {statement}")).unwrap();
        for row in plan {
            let extra: String = row.get::<Option<String>, _>("Extra").unwrap().unwrap_or_default();
            let kind: Option<String> = row.get("type").unwrap();
            let table: Option<String> = row.get("table").unwrap();
            assert!(!extra.contains("filesort") && !extra.contains("temporary"), "{statement}: {extra}");
            let is_derived = table.is_some_and(|name| name.starts_with('<'));
            assert!(is_derived || kind.as_deref() != Some("ALL"), "{statement}");
            explained += 1;
        }
    }
    assert!(explained > 8, "only {explained} plans were looked at");
}

/// Rows that were read on the queue's own connection so far.
fn rows_read(site: &Site) -> u64 {
    let rows = site
        .queue
        .link()
        .query(
            "SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS
             WHERE VARIABLE_NAME IN ('HANDLER_READ_NEXT', 'HANDLER_READ_KEY', 'HANDLER_READ_FIRST', 'HANDLER_READ_RND_NEXT')",
        )
        .unwrap();
    rows[0][0].as_deref().unwrap().parse::<f64>().unwrap() as u64
}
