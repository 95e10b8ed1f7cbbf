//! Incrementals and differentials: what changed, deletes included, and nothing else.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use mysql::prelude::Queryable;
use slbp::backup::Store;
use slbp::backup::format::{BackupType, Manifest};
use slbp::backup::verify::verify;

use crate::common::mariadb::Database;
use crate::common::wait_until;
use crate::fixture::{
    assert_same, database_request, filled_database, make, restore_by_hand, run_sql, server, state, store,
};

fn backup(store: &Store, kind: BackupType, database: &Database) -> Manifest {
    let manifest = make(store, &database_request(kind, database)).unwrap();
    assert_eq!(manifest.kind, kind);
    let report = verify(store, &manifest.id).unwrap();
    assert!(report.success(), "{report:?}");
    manifest
}

fn restores_to(store: &Store, manifest: &Manifest, database: &Database) {
    let target = server().database();
    let output = restore_by_hand(&store.folder(&manifest.id), &target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&state(database), &state(&target));
}

fn table<'a>(manifest: &'a Manifest, name: &str) -> &'a slbp::backup::format::TablePart {
    manifest.database.as_ref().unwrap().tables.iter().find(|table| table.name == name).unwrap()
}

/// Changes of every kind: updates, inserts, deletes, a swap of unique values across ranges, a
/// trigger at work, and definitions that come, change and go.
const CHANGES: [&str; 4] = [
    "UPDATE composite SET pad = 'changed' WHERE site = 3 AND name = 'name-60';
     DELETE FROM numbers WHERE id BETWEEN 100 AND 300;
     INSERT INTO audited VALUES (3, 3), (4, 4);
     DELETE FROM parent_ WHERE id = 2;",
    "UPDATE unique_only SET n = n + 100000 WHERE n = 1;
     UPDATE unique_only SET n = 1, code = '000000000500' WHERE n = 500;
     INSERT INTO keyless VALUES (11, 'new');
     UPDATE texts SET k = 'plaın' WHERE k = 'plain';
     DELETE FROM binaries WHERE k = 'big';
     INSERT INTO composite SELECT 100 + seq % 3, CONCAT('x', seq), 1, REPEAT('y', 200) FROM seq_1_to_5000;
     DROP VIEW a_on_z;
     DROP TRIGGER audited_delete;",
    "ALTER TABLE generated_columns ADD COLUMN extra INT DEFAULT 5;
     DROP TABLE memory_;
     CREATE TABLE memory_ (id INT PRIMARY KEY, w TEXT) ENGINE=InnoDB;
     INSERT INTO memory_ VALUES (5, 'five');
     DROP TABLE aria_;
     CREATE VIEW aria_ AS SELECT 1 AS one;
     CREATE TABLE added (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT=50;
     TRUNCATE TABLE enum_key;
     DELETE FROM composite WHERE site < 5;",
    "DELETE FROM audited;
     INSERT INTO parts VALUES (1000, 1);
     TRUNCATE TABLE composite;
     DROP VIEW aria_;
     CREATE TABLE aria_ (id INT PRIMARY KEY) ENGINE=Aria;",
];

#[test]
fn a_chain_restores_every_state_it_passed_through() {
    let database = filled_database();
    let (_folder, store) = store();
    let full = backup(&store, BackupType::Full, &database);
    let mut before = full.clone();
    for changes in CHANGES {
        for statement in changes.split(";\n").map(|line| line.trim().trim_end_matches(';')) {
            run_sql(&database, &format!("{statement};"));
        }
        let next = backup(&store, BackupType::Incremental, &database);
        let lineage = &next.database.as_ref().unwrap().lineage;
        assert_eq!(lineage.parent.as_ref(), Some(&before.id));
        restores_to(&store, &next, &database);
        before = next;
    }
    let differential = backup(&store, BackupType::Differential, &database);
    let lineage = &differential.database.as_ref().unwrap().lineage;
    assert_eq!(lineage.chain, [full.id.clone(), differential.id.clone()]);
    restores_to(&store, &differential, &database);
}

#[test]
fn only_changed_ranges_are_stored() {
    let database = filled_database();
    let (_folder, store) = store();
    let full = backup(&store, BackupType::Full, &database);
    let same = backup(&store, BackupType::Incremental, &database);
    for part in &same.database.as_ref().unwrap().tables {
        assert_eq!((part.stored, part.recreated), (0, false), "{} did not change", part.name);
    }
    run_sql(&database, "UPDATE composite SET pad = '' WHERE site = 2 AND name = 'name-1' AND part = 1;");
    let one = backup(&store, BackupType::Incremental, &database);
    let (whole, changed) = (table(&full, "composite").stored, table(&one, "composite").stored);
    assert!(changed > 0 && changed < whole / 2, "{changed} of {whole} bytes for one row");
    assert_eq!(table(&one, "composite").rows, 6000);
}

#[test]
fn without_a_base_an_incremental_is_a_full() {
    let database = server().database();
    let (_folder, store) = store();
    let manifest = make(&store, &database_request(BackupType::Incremental, &database)).unwrap();
    assert_eq!(manifest.kind, BackupType::Full);
}

#[test]
fn a_chain_that_is_long_enough_begins_anew() {
    let database = server().database();
    run_sql(&database, "CREATE TABLE t (id INT PRIMARY KEY);");
    let (_folder, store) = store();
    let mut request = database_request(BackupType::Incremental, &database);
    request.max_chain = 3;
    let kinds: Vec<BackupType> = (0..5).map(|_| make(&store, &request).unwrap().kind).collect();
    use BackupType::{Full, Incremental};
    assert_eq!(kinds, [Full, Incremental, Incremental, Full, Incremental]);
}

#[test]
fn rows_that_change_during_the_dump_are_all_old_or_all_new() {
    let database = server().database();
    run_sql(
        &database,
        "CREATE TABLE a (id INT PRIMARY KEY, v INT);\nCREATE TABLE b (id INT PRIMARY KEY, v INT);
INSERT INTO a SELECT seq, 100 FROM seq_1_to_3000;\nINSERT INTO b SELECT seq, 100 FROM seq_1_to_3000;",
    );
    let (_folder, store) = store();
    let (done, changes) = (AtomicBool::new(false), AtomicU32::new(0));
    let manifests = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut conn = database.connect();
            let mut step = 0;
            while !done.load(Ordering::Relaxed) {
                step = (step * 7 + 11) % 3000;
                conn.query_drop("START TRANSACTION").unwrap();
                conn.query_drop(format!("UPDATE a SET v = v - 1 WHERE id = {}", step + 1)).unwrap();
                conn.query_drop(format!("UPDATE b SET v = v + 1 WHERE id = {}", 3000 - step)).unwrap();
                conn.query_drop("COMMIT").unwrap();
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let kinds =
            [BackupType::Full, BackupType::Incremental, BackupType::Incremental, BackupType::Differential];
        wait_until("rows change", || changes.load(Ordering::Relaxed) > 0);
        let made = kinds.map(|kind| make(&store, &database_request(kind, &database)));
        done.store(true, Ordering::Relaxed);
        made.map(Result::unwrap)
    });
    for manifest in manifests {
        let target = server().database();
        assert!(restore_by_hand(&store.folder(&manifest.id), &target).status.success());
        let sum = "SELECT SUM(v), MIN(v) < 100 FROM (SELECT v FROM a UNION ALL SELECT v FROM b) x";
        let sum: Option<(i64, bool)> = target.connect().query_first(sum).unwrap();
        assert_eq!(sum, Some((600_000, true)), "{:?}", manifest.kind);
    }
}
