//! One task from its claim to its end: attempts, delays, progress, cancelling, leases.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slbp::queue::policy::Policies;
use slbp::queue::state::State;
use slbp::queue::task::Task;
use slbp::queue::worker::{Outcome, Worker, WorkerOptions};

use crate::common::queue::{Site, policies};
use crate::{DAY, done, failed};

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
