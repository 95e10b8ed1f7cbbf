//! Listing, removing, retention, the recovery test, and what crashed runs leave.

use std::fs;

use slbp::backup::catalog::{Status, clean_up, delete};
use slbp::backup::create;
use slbp::backup::drill::drill;
use slbp::backup::files::{Root, Source};
use slbp::backup::format::{BackupType, Component, Purpose};
use slbp::backup::progress::Progress;
use slbp::backup::retention::Policy;
use slbp::backup::{BackupId, Store};
use slbp::clock::{ManualClock, SystemClock, Timestamp};
use tempfile::TempDir;

use crate::common::mariadb::Database;
use crate::fixture::{
    assert_same, database_request, filled_database, lock, make, run_sql, server, state, store,
};

fn small_database() -> Database {
    let database = server().database();
    run_sql(&database, "CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1), (2);");
    database
}

fn statuses(store: &Store) -> Vec<(String, Status)> {
    store
        .list(&SystemClock)
        .unwrap()
        .into_iter()
        .map(|listed| (listed.id.to_string(), listed.status))
        .collect()
}

#[test]
fn a_list_tells_whole_broken_failed_and_running_backups_apart() {
    let database = small_database();
    let (_folder, store) = store();
    let full = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    let next = make(&store, &database_request(BackupType::Incremental, &database)).unwrap();
    let listed = store.describe_one(&next.id, &SystemClock).unwrap().unwrap();
    assert_eq!((listed.status, listed.base_id), (Status::Completed, Some(full.id.clone())));
    assert!(listed.size > 0 && listed.checksum.unwrap().len() == 64);

    let mut request = database_request(BackupType::Full, &database);
    request.database = Some(mysql::OptsBuilder::new().socket(Some("/nowhere")).into());
    request.id = Some(BackupId::parse("unlucky").unwrap());
    assert!(make(&store, &request).is_err());
    let failed = store.describe_one(&BackupId::parse("unlucky").unwrap(), &SystemClock).unwrap().unwrap();
    assert_eq!(failed.status, Status::Failed);
    assert!(failed.error.unwrap().contains("connecting"));

    let running = BackupId::parse("running").unwrap();
    let locked = lock(&store);
    Progress::begin(&locked, "create", &running, &SystemClock).unwrap();
    assert!(statuses(&store).contains(&("running".to_owned(), Status::InProgress)));
    drop(locked);
    assert!(statuses(&store).contains(&("running".to_owned(), Status::Failed)));

    fs::rename(store.folder(&full.id), store.root().join("gone")).unwrap();
    assert!(statuses(&store).contains(&(next.id.to_string(), Status::Broken)));
}

#[test]
fn a_base_is_not_removed_before_what_builds_on_it() {
    let database = small_database();
    let (_folder, store) = store();
    let full = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    let next = make(&store, &database_request(BackupType::Incremental, &database)).unwrap();
    let error = delete(&lock(&store), &full.id, false).unwrap_err();
    assert!(error.to_string().contains(next.id.as_str()), "{error}");
    assert_eq!(delete(&lock(&store), &full.id, true).unwrap(), [next.id, full.id]);
    assert!(store.ids().unwrap().is_empty());
    assert!(delete(&lock(&store), &BackupId::parse("x").unwrap(), true).is_err());
}

#[test]
fn retention_removes_old_chains_and_keeps_what_is_needed() {
    let database = small_database();
    let (_folder, store) = store();
    let clock = ManualClock::at(Timestamp::from_secs(1_800_000_000));
    let backup = |kind, purpose| {
        let mut request = database_request(kind, &database);
        request.purpose = purpose;
        let made = create::create(&lock(&store), &request, &clock).unwrap().id;
        clock.advance(std::time::Duration::from_secs(20 * 86_400));
        made
    };
    let monthly = backup(BackupType::Full, Purpose::Monthly);
    let old = backup(BackupType::Full, Purpose::Daily);
    let older = backup(BackupType::Incremental, Purpose::Daily);
    let base = backup(BackupType::Full, Purpose::Daily);
    let recent = backup(BackupType::Incremental, Purpose::Daily);
    let newest = backup(BackupType::Incremental, Purpose::Daily);
    let policy = Policy { days: 30, monthly_months: 12, at_least: 1 };
    let verdict = clean_up(&lock(&store), policy, &clock).unwrap();
    assert_eq!(verdict.delete, [older, old]);
    let mut left = store.ids().unwrap();
    left.sort();
    let mut expected = vec![monthly, base, recent, newest];
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn the_recovery_test_restores_compares_and_leaves_nothing() {
    let database = filled_database();
    let site = TempDir::new().unwrap();
    fs::write(site.path().join("a.txt"), "a").unwrap();
    fs::create_dir(site.path().join("folder")).unwrap();
    let (_folder, store) = store();
    let request = create::Request {
        components: vec![Component::Database, Component::Files],
        files: Source {
            roots: vec![Root { name: "site".to_owned(), path: site.path().to_owned() }],
            exclude: vec![],
        },
        ..database_request(BackupType::Full, &database)
    };
    make(&store, &request).unwrap();
    let (before, ids) = (state(&database), store.ids().unwrap());
    let outcome = drill(&lock(&store), &request, &SystemClock).unwrap();
    assert!(outcome.overall_success, "{outcome:#?}");
    assert!(outcome.details.rows > 10_000 && outcome.details.chain.len() == 2);
    assert!(outcome.rto_seconds > 0.0 && outcome.rpo_seconds.is_some());
    assert_same(&before, &state(&database));
    assert_eq!(store.ids().unwrap(), ids);
    let left: Vec<_> = fs::read_dir(store.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".drill")), "{left:?}");

    // It can fail: a damaged base is found.
    let path = store.folder(&ids[0]).join("db/100-composite.sql.gz");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let outcome = drill(&lock(&store), &request, &SystemClock).unwrap();
    assert!(!outcome.overall_success && !outcome.backup_compression && outcome.cleanup);
    assert!(!outcome.details.errors.is_empty());
}

#[test]
fn what_a_dead_run_left_is_removed_by_the_next() {
    let (_folder, store) = store();
    let dead = store.root().join("20260101-000000-full.partial");
    fs::create_dir_all(dead.join("db")).unwrap();
    let stranger = store.root().join("My Folder.partial");
    fs::create_dir(&stranger).unwrap();
    drop(lock(&store));
    assert!(!dead.exists(), "the leftover of a backup");
    assert!(stranger.exists(), "not ours to remove");
}
