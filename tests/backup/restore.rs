//! Restoring into a living site: all or nothing, with a way back.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use mysql::prelude::Queryable;
use slbp::backup::create;
use slbp::backup::database::TableFilter;
use slbp::backup::files::{Root, Source};
use slbp::backup::format::{BackupType, Component, Manifest, Purpose};
use slbp::backup::restore::{Outcome, Plan, Request, recover};
use slbp::backup::{BackupId, Store};
use slbp::clock::SystemClock;
use slbp::error::Result;
use tempfile::TempDir;

use crate::common::mariadb::Database;
use crate::files::tree;
use crate::fixture::{assert_same, filled_database, lock, make, opts, run_sql, server, state, store};

/// A small site: a database and two folders, one of which holds an excluded one.
pub struct Site {
    pub database: Database,
    folder: TempDir,
}

impl Site {
    pub fn new() -> Self {
        let site = Self { database: filled_database(), folder: TempDir::new().unwrap() };
        for (name, contents) in [
            ("uploads/a.txt", "a"),
            ("uploads/2026/b.txt", "b"),
            ("uploads/cache/c.html", "never in a backup"),
            ("uploads/slbp-backups/x", "stays"),
            ("plugins/slbp/main.php", "<?php"),
        ] {
            site.write(name, contents);
        }
        symlink("a.txt", site.path("uploads/link")).unwrap();
        site
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, contents: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn request(&self, kind: BackupType) -> create::Request {
        let root = |name: &str| Root { name: format!("wp-content/{name}"), path: self.path(name) };
        create::Request {
            kind,
            database: Some(opts(&self.database)),
            files: Source {
                roots: vec![root("uploads"), root("plugins")],
                exclude: vec!["*/cache".to_owned(), "*/slbp-backups".to_owned()],
            },
            ..create::Request::full(&[Component::Database, Component::Files])
        }
    }

    pub fn backup(&self, store: &Store, kind: BackupType) -> Manifest {
        make(store, &self.request(kind)).unwrap()
    }

    pub fn restore(&self, store: &Store, id: &BackupId) -> Result<Outcome> {
        let mut request = Request::all(id.clone(), Some(opts(&self.database)));
        request.maintenance = Some(self.path(".maintenance"));
        Plan::new(store, &request)?.execute(&lock(store), &SystemClock)
    }

    pub fn everything(&self) -> std::collections::BTreeMap<String, String> {
        let mut all = state(&self.database);
        for (path, what) in tree(self.folder.path()) {
            all.insert(format!("file {}", path.display()), what);
        }
        all
    }
}

fn only_tables(request: &mut Request, names: &[&str]) {
    request.components = vec![Component::Database];
    request.tables = names.iter().map(|name| (*name).to_owned()).collect();
}

#[test]
fn a_wrecked_site_comes_back_and_the_wreck_is_kept() {
    let site = Site::new();
    let (_folder, store) = store();
    site.backup(&store, BackupType::Full);
    run_sql(
        &site.database,
        "DELETE FROM numbers WHERE id < 50;\nUPDATE composite SET pad = 'x' WHERE site = 2;",
    );
    site.write("uploads/late.txt", "late");
    let before = site.everything();
    let manifest = site.backup(&store, BackupType::Incremental);

    run_sql(
        &site.database,
        "DROP TABLE texts;\nDELETE FROM numbers;\nALTER TABLE parts ADD COLUMN z INT;\nDROP VIEW a_on_z;\nDROP TRIGGER audited_insert;\nDROP FUNCTION add_one;\nCREATE FUNCTION add_one(x INT) RETURNS INT DETERMINISTIC RETURN x + 2;\nCREATE TABLE made_later (id INT PRIMARY KEY);\nINSERT INTO made_later VALUES (7);\nCREATE TRIGGER later BEFORE INSERT ON keyless FOR EACH ROW SET NEW.a = 0;",
    );
    fs::remove_dir_all(site.path("plugins")).unwrap();
    fs::remove_file(site.path("uploads/a.txt")).unwrap();
    site.write("uploads/2026/b.txt", "defaced");
    site.write("uploads/evil.php", "<?php evil();");
    let mut wrecked = site.everything();
    // The folder of a root is created before anything else; the safety backup has it already.
    wrecked.insert("file plugins".to_owned(), "folder 40755".to_owned());

    let outcome = site.restore(&store, &manifest.id).unwrap();
    assert_eq!(outcome.warnings, Vec::<String>::new());
    assert_eq!(outcome.preview.removed_tables, ["made_later"]);
    assert_eq!(outcome.preview.added_tables, ["texts"]);
    assert_same(&before, &site.everything());

    let safety = store.manifest(&outcome.safety.unwrap()).unwrap();
    assert_eq!((safety.purpose, safety.kind), (Purpose::Safety, BackupType::Full));
    site.restore(&store, &safety.id).unwrap();
    assert_same(&wrecked, &site.everything());
}

#[test]
fn another_database_and_folder_get_a_copy_and_the_site_stays() {
    let site = Site::new();
    let (_folder, store) = store();
    let manifest = site.backup(&store, BackupType::Full);
    let before = site.everything();
    let (database, folder) = (server().database(), TempDir::new().unwrap());
    let mut request = Request::all(manifest.id, Some(opts(&database)));
    request.target_dir = Some(folder.path().to_owned());
    let outcome = Plan::new(&store, &request).unwrap().execute(&lock(&store), &SystemClock).unwrap();
    assert_eq!(outcome.preview.replaced_tables, Vec::<String>::new());
    assert_same(&before, &site.everything());
    assert_same(&state(&site.database), &state(&database));
    assert_eq!(fs::read(folder.path().join("wp-content/uploads/2026/b.txt")).unwrap(), b"b");
}

#[test]
fn damage_is_found_before_anything_changes() {
    let site = Site::new();
    let (_folder, store) = store();
    let manifest = site.backup(&store, BackupType::Full);
    for name in ["db/100-texts.sql.gz", "files/files.tar.gz"] {
        let path = store.folder(&manifest.id).join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() * 2 / 3;
        bad[middle] ^= 0x55;
        fs::write(&path, &bad).unwrap();
        let before = site.everything();
        let error = site.restore(&store, &manifest.id).unwrap_err();
        assert_same(&before, &site.everything());
        assert!(!store.root().join("restore.json").exists(), "{error}");
        fs::write(&path, &good).unwrap();
    }
    site.restore(&store, &manifest.id).unwrap();
}

#[test]
fn a_failure_after_the_rename_takes_everything_back() {
    let site = Site::new();
    run_sql(
        &site.database,
        "CREATE TABLE other_x (id INT PRIMARY KEY);\nCREATE VIEW on_other AS SELECT * FROM other_x;",
    );
    let (_folder, store) = store();
    let mut request = site.request(BackupType::Full);
    let mut tables: Vec<String> = site.database.connect().query("SHOW TABLES").unwrap();
    tables.retain(|name| name != "other_x");
    request.tables = TableFilter::Named(tables);
    let manifest = make(&store, &request).unwrap();
    run_sql(&site.database, "DROP VIEW on_other;\nDROP TABLE other_x;\nUPDATE parts SET v = 0;");
    site.write("uploads/a.txt", "newer");
    let before = site.everything();
    let error = site.restore(&store, &manifest.id).unwrap_err();
    assert!(error.to_string().contains("on_other"), "{error}");
    assert_same(&before, &site.everything());
    assert!(!site.path(".maintenance").exists());
    assert_eq!(recover(&store, None).unwrap(), None, "nothing is left to recover");
}

#[test]
fn some_tables_can_be_restored_alone() {
    let site = Site::new();
    let (_folder, store) = store();
    let manifest = site.backup(&store, BackupType::Full);
    let before = state(&site.database);
    run_sql(
        &site.database,
        "SET foreign_key_checks=0;\nDELETE FROM audited;\nDELETE FROM numbers;\nDROP TRIGGER audited_delete;\nDELETE FROM audit;\nDELETE FROM child_;\nCREATE TABLE fresh (id INT PRIMARY KEY);",
    );
    let mut request = Request::all(manifest.id, Some(opts(&site.database)));
    only_tables(&mut request, &["audit*", "child_"]);
    Plan::new(&store, &request).unwrap().execute(&lock(&store), &SystemClock).unwrap();
    let after = state(&site.database);
    for key in
        ["rows of audited", "rows of audit", "TRIGGER audited_delete", "rows of child_", "BASE TABLE child_"]
    {
        assert_eq!(after.get(key), before.get(key), "{key}");
    }
    assert!(after.contains_key("BASE TABLE fresh"));
    assert!(after["rows of numbers"].starts_with("0 "));
    run_sql(&site.database, "INSERT INTO child_ VALUES (99, 1);\nDELETE FROM parent_ WHERE id = 1;");
    let left: Option<u64> =
        site.database.connect().query_first("SELECT COUNT(*) FROM child_ WHERE id IN (10, 99)").unwrap();
    assert_eq!(left, Some(0), "the restored foreign key cascades");
}

#[test]
fn a_plan_changes_nothing() {
    let site = Site::new();
    let (_folder, store) = store();
    let manifest = site.backup(&store, BackupType::Full);
    run_sql(&site.database, "DROP TABLE texts;\nCREATE TABLE made_later (id INT PRIMARY KEY);");
    let before = site.everything();
    let request = Request::all(manifest.id, Some(opts(&site.database)));
    let plan = Plan::new(&store, &request).unwrap();
    assert_eq!(plan.preview.added_tables, ["texts"]);
    assert_eq!(plan.preview.removed_tables, ["made_later"]);
    assert!(plan.preview.files > 2 && plan.preview.rows > 1000);
    drop(plan);
    assert_same(&before, &site.everything());
}

#[test]
fn a_backup_without_its_base_is_refused() {
    let site = Site::new();
    let (_folder, store) = store();
    let full = site.backup(&store, BackupType::Full);
    let next = site.backup(&store, BackupType::Incremental);
    fs::rename(store.folder(&full.id), Path::new(&store.root()).join("elsewhere")).unwrap();
    let error = site.restore(&store, &next.id).unwrap_err();
    assert!(error.to_string().contains(full.id.as_str()), "{error}");
}
