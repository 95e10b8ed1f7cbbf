//! Which task runs next, and which must wait.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::queue::policy::Policies;
use slbp::queue::state::State;
use slbp::queue::task::Task;
use slbp::queue::worker::{Outcome, Stopper, Worker, WorkerOptions};

use crate::common::queue::{Site, TASKS, policies};
use crate::common::wait_until;
use crate::{DAY, done, failed};

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
