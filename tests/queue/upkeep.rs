//! What is shown of the queue, and what is thrown away.

use mysql::prelude::Queryable;
use serde_json::json;
use slbp::queue::state::State;
use slbp::queue::store::{Retention, TaskFilter};
use slbp::queue::worker::Outcome;

use crate::DAY;
use crate::common::queue::{Site, TASKS};

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
