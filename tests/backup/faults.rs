//! What happens when something dies or is full: never half a backup that looks whole, never half a
//! restore.
//!
//! Work that is to be killed runs in a process of its own: this test binary, told by its environment
//! which part to play ([`child`]). `SLBP_KILLS` says how many are killed; 50 is a thorough look, and
//! makes the long chain one of a hundred.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};
use slbp::backup::catalog::Status;
use slbp::backup::create;
use slbp::backup::files::{Root, Source};
use slbp::backup::format::{BackupType, Component};
use slbp::backup::restore::{Plan, Request, recover};
use slbp::backup::verify::verify;
use slbp::backup::{BackupId, Store};
use slbp::clock::SystemClock;
use tempfile::TempDir;

use crate::common::mariadb::{Database, MariaDb};
use crate::common::{Process, wait_until};
use crate::files::{noise, tree};
use crate::fixture::{database_request, lock, make, opts, restore_by_hand, run_sql, server, state, store};

/// A site small enough to be restored 50 times, with all that a restore has to put right.
const TABLES: &str = "\
CREATE TABLE parent_ (id INT PRIMARY KEY, v VARCHAR(60));
CREATE TABLE child_ (id INT PRIMARY KEY, p INT, CONSTRAINT of_parent FOREIGN KEY (p) REFERENCES parent_ (id));
CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(60));
CREATE TRIGGER note AFTER UPDATE ON child_ FOR EACH ROW INSERT INTO audit (what) VALUES (NEW.p);
CREATE VIEW both_ AS SELECT c.id, p.v FROM child_ c JOIN parent_ p ON p.id = c.p;
INSERT INTO parent_ SELECT seq, MD5(seq) FROM seq_1_to_3000;
INSERT INTO child_ SELECT seq, seq FROM seq_1_to_3000;
";

struct Site {
    database: Database,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { database: server().database(), folder: TempDir::new().unwrap() };
        run_sql(&site.database, TABLES);
        for number in 0..20 {
            site.write(&format!("{number}/a.txt"), &number.to_string().repeat(20_000));
        }
        site
    }

    fn write(&self, name: &str, contents: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn everything(&self) -> BTreeMap<String, String> {
        let mut all = state(&self.database);
        for (path, what) in tree(self.folder.path()) {
            all.insert(format!("file {}", path.display()), what);
        }
        all
    }
}

fn backup_request(database: Option<Opts>, folder: &Path) -> create::Request {
    let components = [Component::Database, Component::Files];
    let components = if database.is_some() { &components[..] } else { &components[1..] };
    create::Request {
        database,
        files: Source {
            roots: vec![Root { name: "site".to_owned(), path: folder.to_owned() }],
            exclude: vec![],
        },
        ..create::Request::full(components)
    }
}

/// The part that a started process plays.
#[test]
#[ignore = "a process that the other tests start"]
fn child() {
    let told = |name: &str| env::var(format!("SLBP_CHILD_{name}")).ok();
    let Some(work) = told("WORK") else { return };
    let folder = PathBuf::from(told("FOLDER").unwrap());
    let store = Store::open(told("STORE").unwrap()).unwrap();
    let database = told("DATABASE")
        .map(|name| OptsBuilder::new().socket(told("SOCKET")).user(Some("root")).db_name(Some(name)).into());
    match work.as_str() {
        "create" => {
            make(&store, &backup_request(database, &folder)).unwrap();
        }
        "restore" => {
            let id = BackupId::parse(&told("BACKUP").unwrap()).unwrap();
            let mut request = Request::all(id, database);
            request.maintenance = Some(folder.join(".maintenance"));
            request.safety = told("SAFETY").is_some();
            Plan::new(&store, &request).unwrap().execute(&lock(&store), &SystemClock).unwrap();
        }
        "fill" => {
            // Its own file system is gone with it, so it looks itself.
            let error = make(&store, &backup_request(None, &folder)).unwrap_err().to_string();
            assert!(error.contains("No space left on device"), "{error}");
            let listed = store.list(&SystemClock).unwrap();
            assert!(listed.iter().all(|one| one.status == Status::Failed && one.size == 0), "{listed:?}");
            assert!(!left(store.root()).iter().any(|name| name.ends_with(".partial")));
            fs::write(store.root().join("space"), vec![1; 60 << 20]).expect("what was written is given back");
            let error = make(&store, &backup_request(None, &folder)).unwrap_err().to_string();
            assert!(error.contains("free, a backup is expected to take"), "{error}");
        }
        other => panic!("{other}"),
    }
}

/// This binary as a child that does `work`; `through` are the words of a command before it.
fn command(through: &[&str], work: &str, store: &Store, folder: &Path, more: &[(&str, &str)]) -> Command {
    let this = env::current_exe().unwrap();
    let mut words = through.iter().map(std::ffi::OsStr::new).chain([this.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", "faults::child", "--ignored", "--nocapture"]);
    command.env("SLBP_CHILD_WORK", work).env("SLBP_CHILD_STORE", store.root());
    command.env("SLBP_CHILD_FOLDER", folder);
    for (name, value) in more {
        command.env(format!("SLBP_CHILD_{name}"), value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn with_database(command: &mut Command, database: &Database) {
    command.env("SLBP_CHILD_DATABASE", &database.name).env("SLBP_CHILD_SOCKET", &database.socket);
}

fn kills() -> u32 {
    env::var("SLBP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Moments spread evenly over `whole` and a little more, the first at once.
fn moment(number: u32, whole: Duration) -> Duration {
    whole.mul_f64((f64::from(number) * 0.618_034).fract() * 1.1)
}

fn left(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

fn ended(process: &Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn a_backup_that_is_killed_is_whole_or_not_there() {
    let site = Site::new();
    let (_folder, store) = store();
    let start = || {
        let mut command = command(&[], "create", &store, site.folder.path(), &[]);
        with_database(&mut command, &site.database);
        Process::new(command.spawn().unwrap())
    };
    let is_partial = || left(store.root()).iter().any(|name| name.ends_with(".partial"));
    let (mut whole, mut cut) = (Duration::from_millis(300), 0);
    for number in 0..=kills() {
        let known = store.ids().unwrap();
        let mut process = start();
        wait_until("the backup has begun", || is_partial() || ended(&process));
        let begun = Instant::now();
        if number == 0 {
            wait_until("the backup is done", || ended(&process));
            whole = begun.elapsed();
        } else {
            sleep(moment(number - 1, whole));
        }
        process.kill();
        cut += u32::from(is_partial());

        let new: Vec<BackupId> = store.ids().unwrap().into_iter().filter(|id| !known.contains(id)).collect();
        for listed in store.list(&SystemClock).unwrap() {
            assert!(matches!(listed.status, Status::Completed | Status::Failed), "{listed:?}");
            assert_eq!(listed.status == Status::Completed, store.ids().unwrap().contains(&listed.id));
        }
        drop(lock(&store));
        assert!(!is_partial(), "the next run clears what was left");
        for id in &new {
            let report = verify(&store, id).unwrap();
            assert!(report.success(), "{report:?}");
        }
        assert!(number > 0 || new.len() == 1, "one that is not killed is whole");
    }
    println!("{cut} of {} were killed before they were whole ({whole:?} each)", kills());
    assert!(cut > 0, "no backup was killed in the middle");
}

#[test]
fn a_restore_that_is_killed_leaves_the_site_as_it_was_or_as_in_the_backup() {
    let site = Site::new();
    let (_folder, store) = store();
    let request = backup_request(Some(opts(&site.database)), site.folder.path());
    let id = make(&store, &request).unwrap().id;
    let as_in_the_backup = site.everything();
    let (mut whole, mut taken_back, mut finished) = (Duration::from_millis(800), 0, 0);
    for number in 0..=kills() {
        run_sql(
            &site.database,
            &format!("UPDATE child_ SET p = 1 WHERE id < {};\nDROP VIEW both_;", number + 9),
        );
        run_sql(&site.database, "CREATE TABLE made_later (id INT PRIMARY KEY);");
        site.write("3/a.txt", &format!("defaced {number}"));
        fs::remove_dir_all(site.folder.path().join("7")).unwrap();
        site.write("new/b.txt", "new");
        let before = site.everything();

        let mut command = command(&[], "restore", &store, site.folder.path(), &[("BACKUP", id.as_str())]);
        with_database(&mut command, &site.database);
        if number % 2 == 1 {
            command.env("SLBP_CHILD_SAFETY", "1");
        }
        let mut process = Process::new(command.spawn().unwrap());
        wait_until("the restore has begun", || store.root().join("restore.json").exists() || ended(&process));
        let begun = Instant::now();
        if number == 0 {
            wait_until("the restore is done", || ended(&process));
            whole = begun.elapsed();
        } else {
            sleep(moment(number - 1, whole));
        }
        process.kill();

        // What the next who looks does.
        recover(&lock(&store), Some(&opts(&site.database))).unwrap();
        let after = site.everything();
        let (is_before, is_backup) = (after == before, after == as_in_the_backup);
        if !is_before && !is_backup {
            let differ = |other: &BTreeMap<String, String>| -> Vec<String> {
                let keys = other.keys().chain(after.keys());
                keys.filter(|key| other.get(*key) != after.get(*key)).cloned().collect()
            };
            panic!(
                "kill {number}: neither before, by {:?}, nor the backup, by {:?}",
                differ(&before),
                differ(&as_in_the_backup)
            );
        }
        taken_back += u32::from(is_before);
        finished += u32::from(is_backup);
        if is_before {
            // From the same start again.
            let all = Request { safety: false, ..Request::all(id.clone(), Some(opts(&site.database))) };
            Plan::new(&store, &all).unwrap().execute(&lock(&store), &SystemClock).unwrap();
        }
        assert!(number > 0 || is_backup, "one that is not killed is done");
    }
    println!(
        "{} killed: {taken_back} taken back, {finished} finished with the first ({whole:?} each)",
        kills()
    );
    assert!(taken_back > 0, "no restore was killed before it was committed");
}

#[test]
fn the_end_of_a_restore_waits_for_the_last_statement_of_the_process_that_died() {
    let site = Site::new();
    let (_folder, store) = store();
    let id = make(&store, &backup_request(Some(opts(&site.database)), site.folder.path())).unwrap().id;
    let before = site.everything();
    let mut command = command(&[], "restore", &store, site.folder.path(), &[("BACKUP", id.as_str())]);
    with_database(&mut command, &site.database);
    let mut process = Process::new(command.spawn().unwrap());
    let journal = store.root().join("restore.json");
    wait_until("the restore has begun", || journal.exists());
    process.kill();
    if !journal.exists() {
        return; // It was faster than we were.
    }
    // A session of the dead process that the server still works for.
    let journal: serde_json::Value = serde_json::from_slice(&fs::read(journal).unwrap()).unwrap();
    let name = format!("{} 0", journal["swap"]["shadows"][0]["shadow"].as_str().unwrap());
    let mut ghost: Conn = site.database.connect();
    wait_until("the real ones are gone", || {
        ghost.query_first::<i64, _>(format!("SELECT GET_LOCK('{name}', 1)")).unwrap() == Some(1)
    });
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| recover(&lock(&store), Some(&opts(&site.database))));
        let waits = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'";
        let mut watcher = site.database.connect();
        wait_until("the end waits", || {
            watcher.query_first::<u64, _>(waits).unwrap() > Some(0) || ending.is_finished()
        });
        assert!(!ending.is_finished());
        drop(ghost);
        assert_eq!(ending.join().unwrap().unwrap(), Some(id));
    });
    assert!(site.everything() == before);
}

/// Runs a command that may write files of at most `kilobytes`, as on a disk that is full.
fn limited(kilobytes: u32) -> [String; 4] {
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2);
    ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
}

fn run_limited(kilobytes: u32, work: &str, store: &Store, site: &Site, more: &[(&str, &str)]) -> Output {
    let through = limited(kilobytes);
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    let mut command = command(&through, work, store, site.folder.path(), more);
    with_database(&mut command, &site.database);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_write_that_fails_leaves_neither_a_backup_nor_half_a_restore() {
    let site = Site::new();
    fs::write(site.folder.path().join("large.bin"), noise(600_000)).unwrap();
    let (_folder, store) = store();
    let output = run_limited(300, "create", &store, &site, &[]);
    let told =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && told.contains("File too large"), "{told}");
    assert!(store.ids().unwrap().is_empty());
    let listed = store.list(&SystemClock).unwrap();
    assert_eq!(listed.iter().map(|one| one.status).collect::<Vec<_>>(), [Status::Failed]);
    assert!(listed[0].error.as_ref().unwrap().contains("File too large"), "{listed:?}");

    let id = make(&store, &backup_request(Some(opts(&site.database)), site.folder.path())).unwrap().id;
    site.write("3/a.txt", "newer");
    run_sql(&site.database, "DELETE FROM child_ WHERE id < 100;");
    let before = site.everything();
    let output = run_limited(300, "restore", &store, &site, &[("BACKUP", id.as_str())]);
    let told =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && told.contains("cannot restore large.bin: File too large"), "{told}");
    assert!(site.everything() == before, "the site is as it was");
    assert_eq!(recover(&lock(&store), None).unwrap(), None, "nothing is left to recover");
}

/// A file system of its own for a child, where this machine lets us mount one.
fn on_a_small_disk(megabytes: u32, at: &Path, rest: Command) -> Option<Output> {
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh"]).arg(at).arg(format!("size={megabytes}m"));
        command
    };
    let mount = "mount -t tmpfs -o \"$2\" tmpfs \"$1\"";
    if !unshared(mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("nobody may mount a tmpfs here: disks that are really full are not tested");
        return None;
    }
    let mut command = unshared(&format!("{mount} && shift 2 && exec \"$@\""));
    command.arg(rest.get_program()).args(rest.get_args());
    command.envs(rest.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn a_disk_that_is_really_full_ends_the_work_and_gives_the_space_back() {
    let site = TempDir::new().unwrap();
    fs::write(site.path().join("large.bin"), noise(70 << 20)).unwrap();
    let disk = TempDir::new().unwrap();
    let on_disk = Store::open(disk.path().join("backups")).unwrap();
    let fill = command(&[], "fill", &on_disk, site.path(), &[]);
    let Some(output) = on_a_small_disk(66, disk.path(), fill) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    // The other way round: the backup is well, the site's disk is full.
    let (_folder, store) = store();
    let id = make(&store, &backup_request(None, site.path())).unwrap().id;
    let restore = command(&[], "restore", &store, site.path(), &[("BACKUP", id.as_str())]);
    let output = on_a_small_disk(20, site.path(), restore).unwrap();
    let told =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("cannot restore large.bin: No space left on device"), "{told}");
    assert!(!store.root().join("restore.json").exists(), "what was begun was taken back");
}

#[test]
fn a_database_that_restarts_in_the_middle_fails_the_backup_and_the_next_is_whole() {
    let mut server = MariaDb::start();
    let database = server.database();
    run_sql(
        &database,
        "CREATE TABLE large (id INT PRIMARY KEY, pad TEXT);\nINSERT INTO large SELECT seq, REPEAT(MD5(seq), 40) FROM seq_1_to_60000;",
    );
    let (_folder, store) = store();
    let request = database_request(BackupType::Full, &database);
    std::thread::scope(|scope| {
        let dump = scope.spawn(|| make(&store, &request));
        let has_rows = |name: &String| {
            let rows = store.root().join(name).join("db/100-large.sql.gz");
            fs::metadata(rows).is_ok_and(|file| file.len() > 0)
        };
        wait_until("rows are written", || left(store.root()).iter().any(has_rows) || dump.is_finished());
        server.kill();
        let error = dump.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("table large: reading rows"), "{error}");
    });
    assert!(store.ids().unwrap().is_empty());
    assert!(store.list(&SystemClock).unwrap().iter().all(|one| one.status == Status::Failed));
    server.restart();
    let manifest = make(&store, &request).unwrap();
    let report = verify(&store, &manifest.id).unwrap();
    assert!(report.success() && report.checked_rows == 60_000, "{report:?}");
}

#[test]
fn a_long_chain_restores_to_its_end() {
    let links = 2 * kills();
    let database = server().database();
    run_sql(&database, TABLES);
    let (_folder, store) = store();
    let mut request =
        create::Request { max_chain: 200, ..database_request(BackupType::Incremental, &database) };
    let mut tip = make(&store, &request).unwrap();
    for number in 1..=links {
        run_sql(&database, &format!("UPDATE child_ SET p = {number} WHERE id = {};", number * 17));
        run_sql(&database, &format!("DELETE FROM child_ WHERE id = {};", number * 23));
        request.id = Some(BackupId::parse(&format!("chain-{number:03}")).unwrap());
        tip = make(&store, &request).unwrap();
    }
    assert_eq!(tip.database.as_ref().unwrap().lineage.chain.len() as u32, links + 1);
    assert!(verify(&store, &tip.id).unwrap().success());
    let expected = state(&database);

    let target = server().database();
    let restore = Request { safety: false, ..Request::all(tip.id.clone(), Some(opts(&target))) };
    Plan::new(&store, &restore).unwrap().execute(&lock(&store), &SystemClock).unwrap();
    assert!(state(&target) == expected, "at once");
    let target = server().database();
    let output = restore_by_hand(&store.folder(&tip.id), &target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(state(&target) == expected, "by hand");
}
