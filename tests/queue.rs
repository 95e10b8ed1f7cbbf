//! The life of a task in a real MariaDB: queued, claimed, run, retried, held, cancelled, pruned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::queue::{Site, TASKS, policies};
use common::wait_until;
use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::error::Kind;
use slbp::ports::Database as _;
use slbp::queue::policy::Policies;
use slbp::queue::state::State;
use slbp::queue::store::{Retention, TaskFilter};
use slbp::queue::task::{Task, TaskRequest};
use slbp::queue::worker::{Outcome, Stopper, Worker, WorkerOptions};
use slbp::remote::database::DatabaseLink;

const DAY: Duration = Duration::from_secs(86_400);

fn done(_: &Task, _: &Worker) -> Outcome {
    Outcome::Done
}

fn failed(_: &Task, _: &Worker) -> Outcome {
    Outcome::Failed("gateway timed out".to_owned())
}

#[test]
fn a_task_is_queued_run_and_remembered() {
    let site = Site::new();
    let data = json!({"name": "Zo\u{eb}'s \\ \"shop\" \u{1F4B6}", "nested": {"list": [1, 2.5, null, true]}});
    let id = site.add("export", data.clone());
    let queued = site.task(id);
    assert_eq!((queued.status, queued.state), ("pending", State::Ready));
    assert_eq!((queued.priority, queued.attempt, queued.retry_count), (10, 1, 0));

    let tally = site.work(|task, _| {
        assert_eq!(task.task_data, data, "the payload comes as it went");
        assert_eq!(site.task(id).status, "processing");
        Outcome::Done
    });
    assert_eq!((tally.processed, tally.failed, tally.lost), (1, 0, 0));
    let ended = site.task(id);
    assert_eq!(ended.status, "completed");
    assert!(ended.started_at.is_some() && ended.completed_at.is_some() && ended.error_message.is_none());
    assert_eq!(site.work(done).processed, 0, "it does not run again");
}

#[test]
fn lower_priorities_run_sooner_then_earlier_dates_then_earlier_ids() {
    let site = Site::new();
    let late = site.add_with("t", json!([]), 10, json!("2020-01-02 00:00:00"), json!({}));
    let early = site.add_with("t", json!([]), 10, json!("2020-01-01 00:00:00"), json!({}));
    let (last, first) = (
        site.add_with("t", json!([]), 20, Value::Null, json!({})),
        site.add_with("t", json!([]), -5, Value::Null, json!({})),
    );
    let (third, fourth) = (
        site.add_with("t", json!([]), 5, Value::Null, json!({})),
        site.add_with("t", json!([]), 5, Value::Null, json!({})),
    );
    assert_eq!(site.order(), [first, third, fourth, early, late, last]);
}

#[test]
fn a_task_that_waited_long_runs_before_better_ones_that_just_came() {
    let site = Site::new();
    let patient = site.add_with("t", json!([]), 20, Value::Null, json!({}));
    site.connect()
        .query_drop(format!("UPDATE {TASKS} SET sort_key = sort_key - 60 WHERE id = {patient}"))
        .unwrap();
    let better = site.add_with("t", json!([]), 10, Value::Null, json!({}));
    assert_eq!(site.order(), [patient, better], "half an hour outweighs ten points");
}

#[test]
fn a_scheduled_task_waits_for_its_time_by_the_databases_clock() {
    let site = Site::new();
    let id = site.add_with("t", json!([]), 10, json!("2100-01-01T00:00:00Z"), json!({}));
    let soon = site.store().now().unwrap() / 1_000_000 + 3600;
    let in_an_hour = site.add_with("t", json!([]), 10, json!(soon), json!({}));
    assert_eq!(site.task(id).state, State::Scheduled);
    assert_eq!(site.task(id).scheduled_at.as_deref(), Some("2100-01-01 00:00:00"));
    assert!(site.order().is_empty());
    site.pass(Duration::from_secs(3601));
    assert_eq!(site.order(), [in_an_hour]);
}

#[test]
fn a_failure_is_tried_again_with_growing_delays_and_then_is_dead() {
    let site = Site::with(json!({"retry_attempts": 2, "backoff": {"base": 100, "jitter": 0}}));
    let id = site.add("t", json!([]));
    for (attempt, delay) in [(1, 100), (2, 200)] {
        assert_eq!(site.work(failed).failed, 1);
        let task = site.task(id);
        assert_eq!((task.status, task.state, task.retry_count), ("pending", State::Scheduled, attempt));
        assert_eq!(task.error_message.as_deref(), Some("gateway timed out"));
        let wait = task.run_at - site.store().now().unwrap();
        assert!((delay - 5..=delay).contains(&(wait / 1_000_000)), "{wait}");
        assert_eq!(site.work(failed).processed, 0, "not before its time");
        site.pass(Duration::from_secs(delay as u64 + 1));
    }
    site.work(failed);
    assert_eq!((site.task(id).status, site.task(id).attempt), ("failed", 3));
    site.pass(10 * DAY);
    assert_eq!(site.work(failed).processed, 0);

    assert!(site.store().retry(id).unwrap(), "a person may replay it");
    assert_eq!((site.task(id).status, site.task(id).attempt), ("pending", 1));
    assert_eq!(site.work(done).processed, 1);
    assert!(!site.store().retry(id).unwrap(), "what is done is not run again");
    let stats = site.store().stats().unwrap();
    assert_eq!((stats.completed, stats.failed, stats.pending), (1, 0, 0));
}

#[test]
fn a_task_may_have_its_own_number_of_attempts_and_a_type_its_own_delays() {
    let site = Site::new();
    let id = site.add_with("t", json!([]), 10, Value::Null, json!({"max_attempts": 1}));
    let other = site.add("mail", json!([]));
    let quick = policies("mail", json!({"backoff": {"base": 0}}));
    let options = WorkerOptions { max_tasks: Some(3), ..WorkerOptions::default() };
    site.work_with(quick, options, failed);
    assert_eq!(site.task(id).status, "failed");
    assert_eq!(site.task(other).retry_count, 2);
}

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
struct Unhelpful(std::sync::Mutex<mysql::Conn>);

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
        Self(std::sync::Mutex::new(conn))
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
fn a_task_waits_for_the_tasks_before_it() {
    let site = Site::new();
    let (a, b) =
        (site.add("a", json!([])), site.add_with("b", json!([]), 10, json!("2100-01-01"), json!({})));
    let last = site.add_with("c", json!([]), 1, Value::Null, json!({"after": [a, b]}));
    assert_eq!(site.task(last).state, State::Blocked);
    assert_eq!(site.order(), [a]);
    assert_eq!(site.task(last).after, [b.to_string()]);
    site.pass(DAY * 365 * 100);
    assert_eq!(site.order(), [b, last], "woken by the commit that ended the last one");

    let after_done = site.add_with("c", json!([]), 1, Value::Null, json!({"after": a}));
    assert_eq!(site.task(after_done).state, State::Ready);
}

#[test]
fn what_waits_for_a_cancelled_task_is_cancelled_and_for_a_failed_one_waits_on() {
    let site = Site::with(json!({"retry_attempts": 0}));
    let first = site.add("a", json!([]));
    let second = site.add_with("b", json!([]), 10, Value::Null, json!({"after": [first]}));
    let third = site.add_with("c", json!([]), 10, Value::Null, json!({"after": [second]}));
    site.work(failed);
    assert_eq!((site.task(first).status, site.task(second).state), ("failed", State::Blocked));
    site.store().retry(first).unwrap();
    assert!(site.store().cancel(first).unwrap());
    assert_eq!((site.task(second).status, site.task(third).status), ("cancelled", "cancelled"));
    assert!(site.task(third).error_message.unwrap().contains(&second.to_string()));
    assert_eq!(site.store().stats().unwrap().cancelled, 3);
}

#[test]
fn a_batch_ends_with_its_completion_task() {
    let site = Site::with(json!({"retry_attempts": 0}));
    let parts: Vec<u64> = (0..25)
        .map(|n| site.add_with("part", json!({"n": n}), 10, Value::Null, json!({"batch_id": "run:1"})))
        .collect();
    let end = site.add_with("end", json!([]), 1, Value::Null, json!({"after": "batch:run:1"}));
    let ran = AtomicUsize::new(0);
    site.work(|task, _| {
        if task.id == end {
            let summary = site.store().batch_summary("run:1").unwrap();
            assert_eq!((summary.completed, summary.failed, summary.total()), (24, 1, 25));
            return Outcome::Done;
        }
        ran.fetch_add(1, Ordering::Relaxed);
        if task.id == parts[3] { Outcome::Failed("no".to_owned()) } else { Outcome::Done }
    });
    assert_eq!((ran.into_inner(), site.task(end).status), (25, "completed"));
}

#[test]
fn a_task_that_started_others_is_done_when_they_are() {
    let site = Site::new();
    let parent = site.add("billing", json!([]));
    let fan_out = |task: &Task, _: &Worker| {
        if task.id != parent {
            return Outcome::Done;
        }
        for n in 0..3 {
            site.add_with("renewal", json!({"n": n}), 10, Value::Null, json!({"batch_id": "of:1"}));
        }
        Outcome::Waiting("of:1".to_owned())
    };
    let one = WorkerOptions { max_tasks: Some(2), ..WorkerOptions::default() };
    site.work_with(Policies::default(), one, fan_out);
    let waiting = site.task(parent);
    assert_eq!((waiting.status, waiting.state), ("processing", State::Waiting));
    assert_eq!((waiting.progress.done, waiting.progress.total), (1, 3), "progress is that of its tasks");
    site.work(fan_out);
    let ended = site.task(parent);
    assert_eq!((ended.status, ended.progress.message.as_str()), ("completed", "3 completed"));
    assert_eq!(site.store().stats().unwrap().completed, 4);
}

#[test]
fn cancelling_a_task_cancels_what_it_started() {
    let site = Site::new();
    let parent = site.add("billing", json!([]));
    site.work(|task, worker| {
        for _ in 0..3 {
            site.add_with("renewal", json!([]), 10, Value::Null, json!({"batch_id": "of:1"}));
        }
        worker.stopper().stop();
        assert_eq!(task.id, parent);
        Outcome::Waiting("of:1".to_owned())
    });
    assert!(site.store().cancel(parent).unwrap());
    let stats = site.store().stats().unwrap();
    assert_eq!((stats.cancelled, stats.pending, stats.processing), (4, 0, 0));
}

#[test]
fn a_worker_takes_only_its_queues() {
    let site = Site::new();
    let mail = site.add_with("t", json!([]), 10, Value::Null, json!({"queue": "mail"}));
    let other = site.add("t", json!([]));
    let options = WorkerOptions { queues: vec!["mail".to_owned()], ..WorkerOptions::default() };
    assert_eq!(site.work_with(Policies::default(), options, done).processed, 1);
    assert_eq!((site.task(mail).status, site.task(other).status), ("completed", "pending"));
    assert_eq!(site.order(), [other], "a worker without a choice takes all");
}

#[test]
fn a_worker_stops_at_its_limits_and_gives_back_what_it_took() {
    let site = Site::new();
    for _ in 0..30 {
        site.add("t", json!([]));
    }
    let tasks = WorkerOptions { max_tasks: Some(4), ..WorkerOptions::default() };
    assert_eq!(site.work_with(Policies::default(), tasks, done).processed, 4);
    let time = WorkerOptions { max_time: Some(Duration::from_millis(500)), ..WorkerOptions::default() };
    let slow = |_: &Task, _: &Worker| {
        std::thread::sleep(Duration::from_millis(600));
        Outcome::Done
    };
    assert_eq!(site.work_with(Policies::default(), time, slow).processed, 1);
    let stopped = site.work(|_, worker| {
        worker.stopper().stop();
        Outcome::Done
    });
    assert_eq!(stopped.processed, 1);
    let stats = site.store().stats().unwrap();
    assert_eq!((stats.pending, stats.processing, stats.completed), (24, 0, 6));
}

#[test]
fn a_task_goes_on_later_with_new_data_and_that_is_no_failure() {
    let site = Site::new();
    let id = site.add("campaign", json!({"from": 0}));
    let chunk = |task: &Task, _: &Worker| match task.task_data["from"].as_u64().unwrap() {
        200 => Outcome::Done,
        from => Outcome::Again { after: Duration::ZERO, data: json!({"from": from + 100}) },
    };
    assert_eq!(site.work(chunk).processed, 3);
    let task = site.task(id);
    assert_eq!((task.status, task.retry_count), ("completed", 0));
    assert_eq!(task.task_data, json!({"from": 200}));
}

#[test]
fn a_queued_task_is_cancelled_at_once_and_a_running_one_is_asked() {
    let site = Site::with(json!({"lease": 1}));
    let queued = site.add_with("t", json!([]), 10, json!("2100-01-01"), json!({"unique_key": "k"}));
    assert!(site.store().cancel(queued).unwrap());
    assert!(!site.store().cancel(queued).unwrap(), "once");
    assert_eq!(site.task(queued).status, "cancelled");

    let running = site.add("t", json!([]));
    site.work(|task, worker| {
        assert!(site.store().progress(task.id, 1, 10, "begun").unwrap());
        assert!(site.store().cancel(task.id).unwrap());
        assert!(!site.store().progress(task.id, 2, 10, "").unwrap(), "progress tells the handler");
        let start = Instant::now();
        while !worker.is_cancel_requested() {
            assert!(start.elapsed() < Duration::from_secs(20), "the heartbeat brings the wish");
            std::thread::sleep(Duration::from_millis(20));
        }
        Outcome::Cancelled
    });
    assert_eq!(site.task(running).status, "cancelled");
    assert!(site.store().retry(running).unwrap());
    assert_eq!(site.order(), [running]);
}

#[test]
fn progress_is_shown_with_the_time_left() {
    let site = Site::new();
    let id = site.add("export", json!([]));
    let start = Instant::now();
    site.work(|task, _| {
        std::thread::sleep(Duration::from_millis(1100));
        site.store().progress(task.id, 25, 100, "rows").unwrap();
        let progress = site.task(id).progress;
        assert_eq!((progress.done, progress.total, progress.message.as_str()), (25, 100, "rows"));
        // Three quarters are left. The column it counts from holds whole seconds.
        let most = 3 * (start.elapsed().as_secs() + 2);
        let eta = progress.eta.unwrap();
        assert!((3..=most).contains(&eta), "{eta} of at most {most}");
        Outcome::Done
    });
    assert!(!site.store().progress(id, 1, 2, "").unwrap(), "it does not run");
}

#[test]
fn a_result_under_an_old_lease_is_dropped_while_another_worker_runs_the_task() {
    let site = Site::new();
    let id = site.add("t", json!([]));
    let worker = || site.queue.worker(Policies::default(), WorkerOptions::default()).unwrap();
    let (mut late, mut heir) = (worker(), worker());
    assert_eq!(late.next_task().unwrap().unwrap().id, id);
    site.pass(Duration::from_secs(61));
    assert_eq!(heir.next_task().unwrap().unwrap().id, id, "its lease has ended");
    late.report(Outcome::Failed("too late".to_owned())).unwrap();
    assert!(late.next_task().unwrap().is_none());
    assert_eq!((late.tally().lost, site.task(id).status), (1, "processing"));
    assert_eq!((site.task(id).retry_count, site.task(id).crash_count), (0, 1));
    heir.report(Outcome::Done).unwrap();
    assert!(heir.next_task().unwrap().is_none());
    assert_eq!((heir.tally().lost, site.task(id).status), (0, "completed"));
    assert_eq!(site.store().stats().unwrap().completed, 1);
}

#[test]
fn a_paused_type_does_not_run_and_is_in_nobodys_way() {
    let site = Site::new();
    let paused: Vec<u64> =
        (0..50).map(|_| site.add_with("mail", json!([]), 1, Value::Null, json!({}))).collect();
    let other = site.add_with("t", json!([]), 9, Value::Null, json!({}));
    assert!(site.store().pause_type("mail", true).unwrap());
    assert!(!site.store().pause_type("mail", true).unwrap(), "it was already");
    assert_eq!(site.order(), [other]);
    assert_eq!(site.task(paused[0]).status, "pending");
    site.store().pause_type("mail", false).unwrap();
    site.pass(Duration::ZERO);
    assert_eq!(site.order(), paused);
}

#[test]
fn a_type_runs_no_more_at_once_than_it_may() {
    let site = Site::new();
    for _ in 0..12 {
        site.add("sync", json!([]));
        site.add("free", json!([]));
    }
    let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let handler = |task: &Task, _: &Worker| {
        if task.task_type == "sync" {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The first one keeps its place until somebody has the other.
            wait_until("both places are used", || most.load(Ordering::SeqCst) >= 2);
            std::thread::sleep(Duration::from_millis(30));
            running.fetch_sub(1, Ordering::SeqCst);
        }
        Outcome::Done
    };
    let wishes = policies("sync", json!({"concurrency": 2}));
    let stoppers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = Site::over(site.database.clone(), json!({}));
                let max_time = Some(Duration::from_secs(60));
                let options = WorkerOptions { batch: 1, wait: true, max_time, ..WorkerOptions::default() };
                let mut worker = own.queue.worker(wishes.clone(), options).unwrap();
                stoppers.lock().unwrap().push(worker.stopper());
                worker.run(&handler).unwrap();
            });
        }
        wait_until("all are done", || site.store().stats().unwrap().completed == 24);
        wait_until("every worker has begun", || stoppers.lock().unwrap().len() == 4);
        stoppers.lock().unwrap().iter().for_each(Stopper::stop);
    });
    assert_eq!(most.into_inner(), 2, "both places were used, and no third");
    assert_eq!(site.store().stats().unwrap().completed, 24);
}

#[test]
fn a_type_starts_no_faster_than_its_rate() {
    let site = Site::new();
    for _ in 0..30 {
        site.add("mail", json!([]));
    }
    let wishes = policies("mail", json!({"rate": "10/second"}));
    let options =
        WorkerOptions { wait: true, max_time: Some(Duration::from_secs(2)), ..WorkerOptions::default() };
    let processed = site.work_with(wishes, options, done).processed;
    assert!((12..=22).contains(&processed), "{processed} in two seconds at ten a second");
}

#[test]
fn stats_count_what_the_table_holds() {
    let site = Site::with(json!({"retry_attempts": 0}));
    for n in 0..6 {
        site.add("t", json!({"n": n}));
    }
    site.add_with("t", json!([]), 10, json!("2100-01-01"), json!({}));
    site.work(|task, _| match task.task_data["n"].as_u64().unwrap() {
        0 => Outcome::Failed("no".to_owned()),
        1 => Outcome::Held("look".to_owned()),
        2 => Outcome::Cancelled,
        _ => Outcome::Done,
    });
    site.add("t", json!([]));
    let stats = site.store().stats().unwrap();
    assert_eq!((stats.pending, stats.scheduled, stats.processing, stats.held), (2, 1, 0, 1));
    assert_eq!((stats.completed, stats.failed, stats.cancelled), (3, 1, 1));
    assert!((0.0..60.0).contains(&stats.oldest_pending_age));
    let rows: Vec<(String, u64)> = site
        .connect()
        .query(format!("SELECT status, COUNT(*) FROM {TASKS} GROUP BY status ORDER BY status"))
        .unwrap();
    let listed: Vec<(&str, u64)> = rows.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    assert_eq!(listed, [("cancelled", 1), ("completed", 3), ("failed", 1), ("held", 1), ("pending", 2)]);
}

#[test]
fn tasks_are_listed_by_what_is_asked() {
    let site = Site::new();
    let mail: Vec<u64> = (0..5).map(|_| site.add("mail", json!([]))).collect();
    site.add("other", json!([]));
    let filter = TaskFilter { task_type: Some("mail".to_owned()), limit: 2, ..TaskFilter::default() };
    let ids = |filter: &TaskFilter| {
        site.store().tasks(filter).unwrap().iter().map(|task| task.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&filter), [mail[4], mail[3]]);
    assert_eq!(ids(&TaskFilter { before: Some(mail[3]), ..filter.clone() }), [mail[2], mail[1]]);
    let completed = TaskFilter { states: State::with_status("completed"), ..filter };
    assert!(ids(&completed).is_empty());
}

#[test]
fn ended_tasks_are_pruned_by_age_and_counted_out() {
    let site = Site::with(json!({"retry_attempts": 0}));
    for n in 0..2300 {
        site.add("t", json!({"n": n}));
    }
    site.work(
        |task, _| if task.task_data["n"] == 0 { Outcome::Failed("no".to_owned()) } else { Outcome::Done },
    );
    let keep = site.add("t", json!([]));
    let age = |days: u64| {
        let micros = (DAY * days as u32).as_micros();
        site.connect()
            .query_drop(format!("UPDATE {TASKS} SET sort_key = sort_key - {micros} WHERE state >= 8"))
            .unwrap();
    };
    age(6);
    assert_eq!(site.queue.clear_old_tasks(7).unwrap(), 0);
    age(2);
    let only_good = Retention { failed: DAY * 30, ..Retention::days(7) };
    assert_eq!(site.store().prune(only_good, DAY).unwrap(), 2299);
    assert_eq!((site.store().stats().unwrap().completed, site.store().stats().unwrap().failed), (0, 1));
    assert_eq!(site.queue.clear_old_tasks(7).unwrap(), 1);
    assert_eq!(site.task(keep).status, "pending");
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

#[test]
fn an_idempotency_key_stays_the_same_over_attempts_and_replays() {
    let site = Site::with(json!({"retry_attempts": 0}));
    let id = site.add("renewal", json!({"idempotency_key": "renewal-7-2024-01-01"}));
    let keys = std::sync::Mutex::new(Vec::new());
    for _ in 0..2 {
        site.work(|task, _| {
            keys.lock().unwrap().push(task.idempotency_key.clone());
            Outcome::Failed("no".to_owned())
        });
        site.store().retry(id).unwrap();
    }
    let keys = keys.into_inner().unwrap();
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].ends_with("-renewal-7-2024-01-01"));
    let elsewhere = Site::new();
    let other = elsewhere.add("renewal", json!({"idempotency_key": "renewal-7-2024-01-01"}));
    assert_ne!(elsewhere.task(other).idempotency_key, keys[0], "two sites at one gateway");
}
