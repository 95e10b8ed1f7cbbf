//! What a task is when it is stored: whole, once, in the caller's transaction, on any connection.

use std::sync::Mutex;
use std::time::Duration;

use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::error::Kind;
use slbp::ports::Database as _;
use slbp::queue::policy::Policies;
use slbp::queue::state::State;
use slbp::queue::task::{Task, TaskRequest};
use slbp::queue::worker::{Outcome, Worker, WorkerOptions};
use slbp::remote::database::DatabaseLink;

use crate::common::queue::Site;
use crate::done;

#[test]
fn a_unique_key_is_held_by_one_task_until_it_ends() {
    let site = Site::new();
    let add = |task_type: &str, key: &str| {
        site.add_with(task_type, json!([]), 10, Value::Null, json!({"unique_key": key}))
    };
    let first = add("renewal", "sub:1");
    assert_eq!(add("renewal", "sub:1"), first, "the task that holds it is answered");
    assert_ne!(add("renewal", "sub:2"), first);
    assert_ne!(add("reminder", "sub:1"), first, "another type is another key");
    let request =
        site.queue.request("renewal", &json!([]), 10, &Value::Null, json!({"unique_key": "sub:1"})).unwrap();
    let again = site.store().enqueue(&request).unwrap();
    assert!(again.existed && again.id == first);

    site.work(|task, _| {
        assert!(site.store().enqueue(&request).unwrap().existed || task.id != first, "held while it runs");
        Outcome::Done
    });
    assert_ne!(add("renewal", "sub:1"), first, "free again");
}

#[test]
fn many_tasks_are_stored_with_few_statements_and_their_ids_in_order() {
    let site = Site::new();
    let mut requests: Vec<_> = (0..2500)
        .map(|n| site.queue.request("t", &json!({"n": n}), 10, &Value::Null, json!({})).unwrap())
        .collect();
    requests[1200].unique_key = Some("k".to_owned());
    requests[1300].unique_key = Some("k".to_owned());
    let ids = site.store().enqueue_all(&requests).unwrap();
    assert_eq!(ids.len(), 2500);
    assert_eq!(ids[1200], ids[1300]);
    for n in [0, 999, 1000, 1199, 1201, 2499] {
        assert_eq!(site.task(ids[n]).task_data["n"], n);
    }
    assert_eq!(site.store().stats().unwrap().pending, 2499);
}

#[test]
fn what_cannot_be_stored_is_refused_with_a_reason_and_nothing_is_stored() {
    let site = Site::with(json!({"max_payload": 100_000_000}));
    let big =
        site.queue.request("t", &json!({"x": "y".repeat(20 << 20)}), 10, &Value::Null, json!({})).unwrap();
    let small = site.queue.request("t", &json!([]), 10, &Value::Null, json!({})).unwrap();
    let error = site.store().enqueue_all(&[small.clone(), big]).unwrap_err();
    assert_eq!(error.kind(), Kind::Queue);
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    let mut orphan = small;
    orphan.after = vec![slbp::queue::task::Dependency::Task(999)];
    let error = site.store().enqueue(&orphan).unwrap_err();
    assert!(error.to_string().contains("there is no task 999"), "{error}");
    assert_eq!(site.store().stats().unwrap().pending, 0);
}

#[test]
fn a_rolled_back_transaction_leaves_no_task() {
    let site = Site::new();
    site.store();
    let wordpress = DatabaseLink::new(site.database.settings());
    let request = site.queue.request("t", &json!([]), 10, &Value::Null, json!({"unique_key": "a"})).unwrap();
    let ids: Vec<u64> = ["ROLLBACK", "COMMIT"]
        .map(|end| {
            wordpress.execute("START TRANSACTION").unwrap();
            let id = site.queue.on(&wordpress).unwrap().enqueue(&request).unwrap().id;
            assert_eq!(site.work(done).processed, 0, "nobody sees it before the commit");
            wordpress.execute(end).unwrap();
            id
        })
        .into();
    assert!(site.store().task(ids[0]).unwrap().is_none());
    assert_eq!(site.work(done).processed, 1);
    assert_eq!(site.task(ids[1]).status, "completed");
}

/// WordPress' connection on a site that is set up in every unhelpful way.
struct Unhelpful(Mutex<mysql::Conn>);

impl Unhelpful {
    fn new(site: &Site) -> Self {
        let mut conn = site.connect();
        for statement in [
            "SET NAMES utf8mb4",
            "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE,NO_AUTO_VALUE_ON_ZERO'",
            "SET SESSION time_zone = '+05:30'",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        ] {
            conn.query_drop(statement).unwrap();
        }
        Self(Mutex::new(conn))
    }
}

impl slbp::ports::Database for Unhelpful {
    fn query(&self, sql: &str) -> Result<Vec<slbp::ports::Row>, slbp::ports::DatabaseFault> {
        let rows: Vec<mysql::Row> = self.0.lock().unwrap().query(sql).unwrap();
        let text = |value| mysql::from_value::<Option<String>>(value);
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
    }

    fn execute(&self, sql: &str) -> Result<slbp::ports::Executed, slbp::ports::DatabaseFault> {
        let mut conn = self.0.lock().unwrap();
        conn.query_drop(sql).unwrap();
        Ok(slbp::ports::Executed { affected: conn.affected_rows(), last_id: conn.last_insert_id() })
    }
}

#[test]
fn statements_mean_the_same_on_any_connection() {
    let site = Site::new();
    site.store();
    let wordpress = Unhelpful::new(&site);
    let theirs = site.queue.on(&wordpress).unwrap();
    let data = json!({"text": "back\\slash, 'quote', \"double\", \u{1F4B6}"});
    let at = json!(theirs.now().unwrap() / 1_000_000 + 3600);
    let request = |at: &Value| {
        site.queue.request("t", &data, 10, at, json!({"unique_key": "k", "batch_id": "b"})).unwrap()
    };
    let now = theirs.enqueue(&request(&Value::Null)).unwrap();
    assert_eq!(
        theirs.enqueue(&request(&Value::Null)).unwrap().id,
        now.id,
        "the holder of the key is answered"
    );
    let later = theirs.enqueue_all(&[TaskRequest { unique_key: None, ..request(&at) }]).unwrap()[0];
    assert_eq!(
        (theirs.task(later).unwrap().unwrap().state, theirs.stats().unwrap().pending),
        (State::Scheduled, 2)
    );
    assert_eq!(site.task(now.id).task_data, data);
    assert_eq!(theirs.task(now.id).unwrap().unwrap(), site.task(now.id));
    assert!((theirs.now().unwrap() - site.store().now().unwrap()).abs() < 5_000_000, "one clock");
    assert_eq!(site.order(), [now.id]);
    assert!(theirs.cancel(later).unwrap() && theirs.retry(later).unwrap());
    assert_eq!(theirs.batch_summary("b").unwrap().to_string(), "1 completed, 1 open");
}

#[test]
fn tables_are_made_on_first_use_without_committing_the_callers_transaction() {
    let site = Site::new();
    let wordpress = DatabaseLink::new(site.database.settings());
    wordpress.execute("CREATE TABLE other (id INT PRIMARY KEY)").unwrap();
    wordpress.execute("START TRANSACTION").unwrap();
    wordpress.execute("INSERT INTO other VALUES (1)").unwrap();
    let request = site.queue.request("t", &json!([]), 10, &Value::Null, json!({})).unwrap();
    site.queue.on(&wordpress).unwrap().enqueue(&request).unwrap();
    wordpress.execute("ROLLBACK").unwrap();
    assert!(wordpress.query("SELECT 1 FROM other").unwrap().is_empty());
    assert_eq!(site.store().stats().unwrap().pending, 0);
}

#[test]
fn servers_without_skip_locked_are_found_out_and_served() {
    let site = Site::new();
    assert!(site.store().can_skip_locked().unwrap(), "MariaDB 10.6 and newer can");
    let site = Site::with(json!({"skip_locked": false}));
    let ids: Vec<u64> = (0..400).map(|_| site.add("t", json!([]))).collect();
    let ran = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = Site::over(site.database.clone(), json!({"skip_locked": false}));
                let options = WorkerOptions {
                    wait: true,
                    max_time: Some(Duration::from_secs(3)),
                    ..WorkerOptions::default()
                };
                own.work_with(Policies::default(), options, |task: &Task, _: &Worker| {
                    ran.lock().unwrap().push(task.id);
                    Outcome::Done
                });
            });
        }
    });
    let mut ran = ran.into_inner().unwrap();
    ran.sort_unstable();
    assert_eq!(ran, ids, "each once");
}
