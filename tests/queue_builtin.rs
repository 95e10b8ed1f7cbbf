//! The types of task that come with the queue, against the billing plugin's tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::queue::{Site, policies};
use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::ports::Database as _;
use slbp::queue::builtin::renewal::{ChargeResult, Renewal};
use slbp::queue::builtin::{billing_run, campaign, cleanup, export, notifications, renewal};
use slbp::queue::state::State;
use slbp::queue::task::Task;
use slbp::queue::worker::{Outcome, Worker, WorkerOptions};
use tempfile::TempDir;

/// The billing plugin's tables, and a gateway that charges each key once and counts how often it
/// was asked.
fn shop() -> Site {
    let site = Site::with(json!({"backoff": {"base": 1, "jitter": 0}}));
    let mut conn = site.connect();
    for table in [
        "wp_slbp_subscriptions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, subscription_id varchar(100),
         payment_gateway varchar(50), plan_id varchar(50), status varchar(20), amount decimal(10,2), currency varchar(3),
         billing_cycle varchar(20), next_billing_date datetime NULL, expires_at datetime NULL,
         created_at datetime DEFAULT CURRENT_TIMESTAMP)",
        "wp_slbp_transactions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, order_id varchar(100),
         amount decimal(10,2), currency varchar(3), status varchar(20), metadata longtext NULL,
         created_at datetime DEFAULT CURRENT_TIMESTAMP)",
        "wp_slbp_notifications (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, type varchar(50),
         title varchar(255), message text, data longtext, created_at datetime DEFAULT CURRENT_TIMESTAMP)",
        "wp_slbp_api_logs (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, created_at datetime)",
        "gateway (idempotency_key varchar(191) PRIMARY KEY, subscription bigint, asked int)",
    ] {
        conn.query_drop(format!("CREATE TABLE {table}")).unwrap();
    }
    site
}

fn subscribe(site: &Site, count: u64, status: &str, due: &str) {
    site.connect()
        .query_drop(format!(
            "INSERT INTO wp_slbp_subscriptions (user_id, subscription_id, status, amount, currency, next_billing_date)
             SELECT seq, CONCAT('sub_', seq), '{status}', 19.90, 'EUR', {due} FROM seq_1_to_{count}"
        ))
        .unwrap();
}

fn charge(site: &Site, subscription: &Value, key: &str) -> ChargeResult {
    site.queue
        .link()
        .execute(&format!(
            "INSERT INTO gateway VALUES ('{key}', {}, 1) ON DUPLICATE KEY UPDATE asked = asked + 1",
            subscription["id"].as_str().unwrap()
        ))
        .unwrap();
    ChargeResult::Charged { reference: Some(format!("ch_{key}")) }
}

/// Charges, and how often the most asked-for one was asked for.
fn charges(site: &Site) -> (u64, u64) {
    site.connect().query_first("SELECT COUNT(*), COALESCE(MAX(asked), 0) FROM gateway").unwrap().unwrap()
}

/// The host's part of billing: what the PHP boundary does around the filter.
fn billing(
    site: &Site,
    task: &Task,
    worker: &Worker,
    charge: impl Fn(&Value, &str) -> ChargeResult,
) -> Outcome {
    if task.task_type == "billing_run" {
        return billing_run::fan_out(&site.queue, task).unwrap();
    }
    match renewal::begin(&site.queue, task).unwrap() {
        Renewal::Over(outcome) => outcome,
        Renewal::Charge { subscription, key, .. } => {
            let result = charge(&Value::Object(subscription), &key);
            renewal::settle(&site.queue, task, &key, result, worker.on_crash(task)).unwrap()
        }
    }
}

fn bill(site: &Site) {
    site.work(|task, worker| {
        billing(site, task, worker, |subscription, key| charge(site, subscription, key))
    });
}

#[test]
fn a_billing_run_charges_every_due_subscription_once_however_often_it_is_queued() {
    let site = shop();
    subscribe(&site, 600, "active", "UTC_TIMESTAMP() - INTERVAL 1 HOUR");
    subscribe(&site, 50, "active", "UTC_TIMESTAMP() + INTERVAL 9 DAY");
    subscribe(&site, 50, "cancelled", "UTC_TIMESTAMP() - INTERVAL 1 HOUR");
    let (first, twin) = (site.add("billing_run", json!({})), site.add("billing_run", json!({})));
    bill(&site);
    assert_eq!(charges(&site), (600, 1));
    let run = site.task(first);
    assert_eq!((run.status, run.progress.message.as_str()), ("completed", "600 completed"));
    assert_eq!(site.task(twin).status, "completed", "it found everything queued");

    site.add("billing_run", json!({}));
    bill(&site);
    site.connect().query_drop("UPDATE wp_slbp_subscriptions SET next_billing_date = next_billing_date + INTERVAL 1 MONTH WHERE status = 'active'").unwrap();
    site.add("billing_run", json!({"subscription_ids": [1, 2, 3]}));
    bill(&site);
    assert_eq!(charges(&site), (600, 1), "settled periods and future dates are left alone");
}

#[test]
fn a_billing_run_for_named_subscriptions_bills_those() {
    let site = shop();
    subscribe(&site, 6, "active", "IF(seq = 6, NULL, UTC_TIMESTAMP() - INTERVAL 1 HOUR)");
    let nobody = site.add("billing_run", json!({"subscription_ids": []}));
    let run = site.add("billing_run", json!({"subscription_ids": ["2", 4, 6, 999]}));
    bill(&site);
    let billed: Vec<u64> = site.connect().query("SELECT subscription FROM gateway ORDER BY 1").unwrap();
    assert_eq!(billed, [2, 4, 6]);
    assert_eq!(site.task(nobody).status, "completed");
    assert_eq!(site.task(run).progress.message, "3 completed");
}

#[test]
fn a_run_that_died_in_the_middle_goes_on_without_queueing_twice() {
    let site = shop();
    subscribe(&site, 510, "active", "UTC_TIMESTAMP() - INTERVAL 1 HOUR");
    let id = site.add("billing_run", json!({}));
    let run = site.task(id);
    assert_eq!(billing_run::fan_out(&site.queue, &run).unwrap(), Outcome::Waiting(billing_run::batch_of(id)));
    let queued = site.store().batch_summary(&billing_run::batch_of(id)).unwrap().total();
    bill(&site);
    assert_eq!((queued, charges(&site)), (510, (510, 1)));
    assert_eq!(site.task(id).progress.message, "510 completed");
}

#[test]
fn a_charge_with_an_unknown_end_is_held_and_goes_on_only_by_a_persons_wish() {
    let site = shop();
    subscribe(&site, 1, "active", "UTC_TIMESTAMP()");
    let first = site.add("subscription_renewal", json!({"subscription_id": 1}));
    site.work(|task, worker| {
        billing(&site, task, worker, |subscription, key| {
            charge(&site, subscription, key);
            ChargeResult::Unknown("gateway timed out".to_owned())
        })
    });
    assert_eq!(site.task(first).status, "held");
    let second = site.add("subscription_renewal", json!({"subscription_id": 1}));
    bill(&site);
    let doubt = site.task(second);
    assert_eq!(doubt.status, "held", "another task for the same period");
    assert!(doubt.error_message.unwrap().contains(&format!("task {first} began this charge")));

    site.store().retry(first).unwrap();
    bill(&site);
    assert_eq!(
        (site.task(first).status, charges(&site)),
        ("completed", (1, 2)),
        "asked again with the same key"
    );
    site.store().retry(second).unwrap();
    bill(&site);
    assert_eq!((site.task(second).status, charges(&site)), ("completed", (1, 2)), "the ledger knows it");
}

#[test]
fn an_idempotent_gateway_is_asked_again_after_a_crash_or_a_time_out() {
    let site = shop();
    subscribe(&site, 1, "active", "UTC_TIMESTAMP()");
    let id = site.add("subscription_renewal", json!({"subscription_id": 1}));
    let asked = AtomicUsize::new(0);
    let run = || {
        let wishes = policies("subscription_renewal", json!({"idempotent": true}));
        site.work_with(wishes, WorkerOptions::default(), |task, worker| {
            billing(&site, task, worker, |subscription, key| {
                let result = charge(&site, subscription, key);
                if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                    ChargeResult::Unknown("no answer".to_owned())
                } else {
                    result
                }
            })
        });
    };
    run();
    assert_eq!(site.task(id).status, "pending");
    site.pass(Duration::from_secs(2));
    run();
    assert_eq!((site.task(id).status, charges(&site)), ("completed", (1, 2)));
}

#[test]
fn a_refused_charge_is_tried_again_and_one_without_a_handler_waits() {
    let site = shop();
    subscribe(&site, 2, "active", "UTC_TIMESTAMP()");
    let refused = site.add("subscription_renewal", json!({"subscription_id": 1}));
    site.work(|task, worker| {
        billing(&site, task, worker, |_, _| ChargeResult::Refused("card declined".to_owned()))
    });
    let task = site.task(refused);
    assert_eq!((task.status, task.error_message.as_deref()), ("pending", Some("card declined")));
    site.pass(Duration::from_secs(2));
    bill(&site);
    assert_eq!((site.task(refused).status, charges(&site)), ("completed", (1, 1)));

    let unhandled = site.add("subscription_renewal", json!({"subscription_id": 2}));
    site.work(|task, worker| billing(&site, task, worker, |_, _| ChargeResult::Unhandled));
    let task = site.task(unhandled);
    assert_eq!(task.status, "held");
    assert!(task.error_message.unwrap().contains("slbp_charge_subscription"));
    site.store().retry(unhandled).unwrap();
    bill(&site);
    assert_eq!(site.task(unhandled).status, "completed");
}

#[test]
fn what_is_not_due_any_more_is_not_charged() {
    let site = shop();
    subscribe(&site, 1, "active", "'2024-02-01'");
    subscribe(&site, 1, "cancelled", "'2024-01-01'");
    let moved_on = site.add("subscription_renewal", json!({"subscription_id": 1, "period": "2024-01-01"}));
    let cancelled = site.add("subscription_renewal", json!({"subscription_id": "2"}));
    let missing = site.add("subscription_renewal", json!({"subscription_id": 3}));
    let wrong = site.add("subscription_renewal", json!({}));
    bill(&site);
    let statuses = [moved_on, cancelled, missing, wrong].map(|id| site.task(id).status);
    assert_eq!(statuses, ["completed", "cancelled", "failed", "failed"]);
    assert_eq!(charges(&site), (0, 0));
}

#[test]
fn every_notification_is_written_once_by_whoever_goes_on() {
    let site = shop();
    let recipients: Vec<u64> = (1..=450).collect();
    let id = site.add(
        "send_notifications",
        json!({"type": "renewal", "recipients": recipients, "message": {"title": "It's time", "message": "\u{20ac} 5", "data": {"a": 1}}}),
    );
    let asked = AtomicUsize::new(0);
    site.work(|task, _| {
        notifications::send(&site.queue, task, &|| asked.fetch_add(1, Ordering::Relaxed) == 1).unwrap()
    });
    assert_eq!((site.task(id).status, site.task(id).progress.done), ("cancelled", 200), "as far as it came");
    site.store().retry(id).unwrap();
    site.work(|task, _| notifications::send(&site.queue, task, &|| false).unwrap());
    let written: (u64, u64, String, String) = site
        .connect()
        .query_first(
            "SELECT COUNT(*), COUNT(DISTINCT user_id), MIN(title), MIN(message) FROM wp_slbp_notifications",
        )
        .unwrap()
        .unwrap();
    assert_eq!(written, (450, 450, "It's time".to_owned(), "\u{20ac} 5".to_owned()));
    let empty = site.add("send_notifications", json!({"recipients": []}));
    site.work(|task, _| notifications::send(&site.queue, task, &|| false).unwrap());
    assert_eq!(site.task(empty).state, State::Dead);
}

#[test]
fn an_export_is_whole_private_and_harmless() {
    let site = shop();
    site.connect()
        .query_drop(
            "INSERT INTO wp_slbp_transactions (user_id, order_id, amount, currency, status, metadata, created_at)
             SELECT seq, IF(seq = 7, '=cmd()', CONCAT('o', seq)), -1.5, 'EUR', 'paid', IF(seq = 8, 'a,\"b\"', NULL), '2024-01-15'
             FROM seq_1_to_2500",
        )
        .unwrap();
    let folder = TempDir::new().unwrap();
    let exports = folder.path().join("slbp-exports");
    let export = |data: Value, is_cancelled: bool| {
        let id = site.add("data_export", data);
        let result = export::write(&site.queue, &site.task(id), &exports, &|| is_cancelled).unwrap();
        site.store().cancel(id).unwrap();
        result
    };
    let export::Export::Done(csv) = export(json!({"type": "transactions", "user_id": 1}), false) else {
        panic!("no export")
    };
    assert_eq!(csv.rows, 2500);
    assert_eq!(fs::metadata(&csv.path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&csv.path).unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 2502);
    assert_eq!(lines[0], "id,user_id,order_id,amount,currency,status,metadata,created_at");
    assert_eq!(lines[7], "7,7,'=cmd(),-1.50,EUR,paid,,2024-01-15 00:00:00");
    assert_eq!(lines[8], "8,8,o8,-1.50,EUR,paid,\"a,\"\"b\"\"\",2024-01-15 00:00:00");
    assert!(exports.join(".htaccess").exists());

    let range = json!({"start": "2024-01-01", "end": "2024-01-31"});
    let export::Export::Done(lines) = export(json!({"format": "jsonl", "date_range": range}), false) else {
        panic!("no export")
    };
    let text = fs::read_to_string(&lines.path).unwrap();
    let first: Value = serde_json::from_str(text.lines().nth(6).unwrap()).unwrap();
    assert_eq!((&first["order_id"], &first["metadata"]), (&json!("=cmd()"), &Value::Null));
    let none = json!({"start": "2023-01-01", "end": "2023-01-31"});
    let export::Export::Done(empty) = export(json!({"date_range": none}), false) else { panic!("no export") };
    assert_eq!(empty.rows, 0);

    assert_eq!(export(json!({}), true), export::Export::Over(Outcome::Cancelled));
    assert!(matches!(export(json!({"type": "users"}), false), export::Export::Over(Outcome::Dead(_))));
    let left: Vec<_> = fs::read_dir(&exports).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().is_none_or(|extension| extension != "part")), "{left:?}");
}

#[test]
fn old_logs_and_ended_tasks_are_deleted_in_pieces() {
    let site = shop();
    site.connect()
        .query_drop(
            "INSERT INTO wp_slbp_api_logs (created_at)
             SELECT UTC_TIMESTAMP() - INTERVAL IF(seq <= 2500, 40, 5) DAY FROM seq_1_to_2600",
        )
        .unwrap();
    let id = site.add("cleanup_logs", json!({"retention_days": 30}));
    site.work(|task, _| cleanup::run(&site.queue, task, &|| false).unwrap());
    let left: u64 = site.connect().query_first("SELECT COUNT(*) FROM wp_slbp_api_logs").unwrap().unwrap();
    assert_eq!((left, site.task(id).progress.done), (100, 2500));
}

#[test]
fn a_campaign_goes_on_where_it_was_and_notes_its_bounces() {
    let site = Site::new();
    let recipients: Vec<String> = (0..120).map(|n| format!("u{n}@example.com")).collect();
    let id = site.add("email_campaign", json!({"recipients": recipients, "batch_size": 50}));
    let sent = std::sync::Mutex::new(Vec::new());
    let dies_at = AtomicUsize::new(70);
    let send = |task: &Task, worker: &Worker| {
        let Some(piece) = campaign::next_piece(task) else { return Outcome::Done };
        let mut bounces = Vec::new();
        for (at, to) in piece.recipients.iter().enumerate() {
            let place = piece.from as usize + at;
            if place == dies_at.load(Ordering::Relaxed) {
                dies_at.store(usize::MAX, Ordering::Relaxed);
                worker.stopper().stop();
                return Outcome::Failed("killed".to_owned());
            }
            if place % 20 == 3 {
                bounces.push((to.clone(), "no such user".to_owned()));
            } else {
                sent.lock().unwrap().push(to.as_str().unwrap().to_owned());
            }
            site.store().progress(task.id, place as u64 + 1, piece.total, "").unwrap();
        }
        campaign::after(task, &piece, &bounces)
    };
    site.work(send);
    assert_eq!(site.task(id).progress.done, 70);
    site.pass(Duration::from_secs(600));
    site.work(send);
    let task = site.task(id);
    assert_eq!(task.status, "completed");
    assert_eq!(task.task_data["bounced"], 5, "the one in the part that died is not noted");
    assert_eq!(task.task_data["bounces"][0], json!({"to": "u3@example.com", "reason": "no such user"}));
    let mut sent = sent.into_inner().unwrap();
    let count = sent.len();
    sent.dedup();
    assert_eq!((count, sent.len()), (114, 114), "each once");
}

#[test]
fn a_campaign_keeps_its_rate() {
    let site = Site::new();
    let id =
        site.add("email_campaign", json!({"recipients": [1, 2, 3], "batch_size": 2, "rate_per_minute": 60}));
    let task = site.task(id);
    let piece = campaign::next_piece(&task).unwrap();
    let Outcome::Again { after, .. } = campaign::after(&task, &piece, &[]) else { panic!("it is not over") };
    assert_eq!(after, Duration::from_secs(2));
}
