//! Tasks that belong together: batches, and tasks that start others.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use slbp::queue::policy::Policies;
use slbp::queue::state::State;
use slbp::queue::task::Task;
use slbp::queue::worker::{Outcome, Worker, WorkerOptions};

use crate::common::queue::Site;

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
