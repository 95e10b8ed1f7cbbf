//! A full backup and its way back by standard tools.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use mysql::prelude::Queryable;
use slbp::backup::format::BackupType;
use slbp::backup::verify::verify;

use crate::fixture::{
    assert_same, database_request, filled_database, make, restore_by_hand, run_sql, server, state, store,
};

#[test]
fn restore_sh_brings_back_every_type_charset_and_name() {
    let database = filled_database();
    let (_folder, store) = store();
    let manifest = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    let report = verify(&store, &manifest.id).unwrap();
    assert!(report.success(), "{report:?}");
    assert!(report.checked_rows > 10_000);

    let target = server().database();
    let output = restore_by_hand(&store.folder(&manifest.id), &target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&state(&database), &state(&target));

    // The restored database works: the trigger fires, the procedure runs, the key cascades.
    run_sql(&target, "INSERT INTO audited VALUES (9, 9);\nCALL fill(2);\nDELETE FROM parent_ WHERE id = 2;");
    let mut conn = target.connect();
    let counts: Option<(u64, u64, u64)> = conn
        .query_first("SELECT (SELECT COUNT(*) FROM audit), (SELECT MIN(id) FROM empty_), (SELECT COUNT(*) FROM child_)")
        .unwrap();
    assert_eq!(counts, Some((1, 77, 2)));
}

#[test]
fn one_pipe_restores_a_full_over_a_wrecked_database() {
    let database = filled_database();
    let before = state(&database);
    let (_folder, store) = store();
    let manifest = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    run_sql(
        &database,
        "DROP TABLE texts;\nDELETE FROM numbers;\nALTER TABLE composite DROP COLUMN pad;\nDROP VIEW z_base;\nDROP PROCEDURE fill;\nDROP TRIGGER audited_insert;",
    );
    let pipe = format!(
        "gunzip -c db/*.sql.gz | mariadb --no-defaults --binary-mode --socket='{}' -uroot {}",
        database.socket.display(),
        database.name
    );
    let status =
        Command::new("sh").args(["-c", &pipe]).current_dir(store.folder(&manifest.id)).status().unwrap();
    assert!(status.success());
    assert_same(&before, &state(&database));
}

#[test]
fn a_damaged_byte_is_found_and_named() {
    let database = filled_database();
    let (_folder, store) = store();
    let manifest = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    let path = store.folder(&manifest.id).join("db/100-composite.sql.gz");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = verify(&store, &manifest.id).unwrap();
    assert!(report.errors.iter().any(|error| error.contains("100-composite.sql.gz")), "{report:?}");

    let target = server().database();
    let output = restore_by_hand(&store.folder(&manifest.id), &target);
    assert!(!output.status.success());
    assert!(state(&target).is_empty(), "restore.sh changed the database before it found the damage");
}

#[test]
fn a_backup_is_private_to_its_owner() {
    let database = server().database();
    let (_folder, store) = store();
    let manifest = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    let folder = store.folder(&manifest.id);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for file in ["manifest.json", "SHA256SUMS", "db/000-pre.sql.gz"] {
        assert_eq!(fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}
