//! Copies on other machines: one contract for every kind of store, and what backups do with it.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use slbp::backup::catalog::Status;
use slbp::backup::files::{Root, Source};
use slbp::backup::format::{BackupType, Component, Purpose};
use slbp::backup::progress::Progress;
use slbp::backup::remote::{
    Copied, Copier, Deleted, Downloader, FolderStore, Key, Place, RemoteStore, S3Store, Upload, delete,
    is_copying_due, ledgers, retain,
};
use slbp::backup::retention::Policy;
use slbp::backup::verify::verify;
use slbp::backup::{BackupId, Store, create, restore};
use slbp::clock::{Clock, SystemClock};
use slbp::error::Result;
use tempfile::TempDir;

use crate::common::s3;
use crate::fixture::{lock, make};

/// A store of each kind, empty, and what keeps it alive.
fn stores() -> Vec<(Box<dyn RemoteStore>, Option<TempDir>)> {
    let folder = TempDir::new().unwrap();
    let mut small_parts = s3::shared().settings();
    small_parts.part = 5 * 1024 * 1024;
    vec![
        (Box::new(FolderStore::new(folder.path().to_owned())), Some(folder)),
        (Box::new(S3Store::new(s3::shared().settings()).unwrap()), None),
        (Box::new(S3Store::new(small_parts).unwrap()), None),
    ]
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put(store: &dyn RemoteStore, name: &str, bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let upload = Upload { source: file.path(), size: bytes.len() as u64, sha256: &sha256(bytes) };
    store.put(&key(name), upload).unwrap();
}

fn get(store: &dyn RemoteStore, name: &str) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    store.get(&key(name), &mut found, 100 << 20).unwrap().then_some(found)
}

fn names(store: &dyn RemoteStore, id: Option<&str>) -> Vec<(String, u64)> {
    let id = id.map(|id| BackupId::parse(id).unwrap());
    let mut names: Vec<_> =
        store.list(id.as_ref()).unwrap().into_iter().map(|(key, size)| (key.to_string(), size)).collect();
    names.sort();
    names
}

#[test]
fn what_is_put_is_listed_and_comes_back_until_it_is_deleted() {
    let large: Vec<u8> = (0..6_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (store, _folder) in stores() {
        let store = store.as_ref();
        assert_eq!(names(store, None), [], "{}", store.name());
        put(store, "one/manifest.json", b"{}");
        put(store, "one/db/100-wp_posts%20+.sql.gz", b"");
        put(store, "two/files/files.tar.gz", &large);
        put(store, "one/manifest.json", b"{\"a\": 1}");
        assert_eq!(get(store, "one/manifest.json").as_deref(), Some(&b"{\"a\": 1}"[..]));
        assert_eq!(get(store, "one/db/100-wp_posts%20+.sql.gz").as_deref(), Some(&b""[..]));
        assert!(get(store, "two/files/files.tar.gz").as_ref() == Some(&large), "{}", store.name());
        assert_eq!(get(store, "one/absent"), None);
        assert_eq!(get(store, "absent/manifest.json"), None);
        let of_one = [("one/db/100-wp_posts%20+.sql.gz".to_owned(), 0), ("one/manifest.json".to_owned(), 8)];
        assert_eq!(names(store, Some("one")), of_one);
        assert_eq!(names(store, None).len(), 3);
        store.delete(&key("one/manifest.json")).unwrap();
        store.delete(&key("one/manifest.json")).unwrap();
        store.delete(&key("one/db/100-wp_posts%20+.sql.gz")).unwrap();
        assert_eq!(get(store, "one/manifest.json"), None);
        assert_eq!(names(store, None), [("two/files/files.tar.gz".to_owned(), 6_000_000)]);
        assert_eq!(names(store, Some("one")), []);
    }
}

#[test]
fn what_is_not_what_it_is_said_to_be_is_not_stored() {
    for (store, _folder) in stores() {
        for bytes in [vec![7; 100], vec![7; 6_000_000]] {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &bytes).unwrap();
            let upload = Upload { source: file.path(), size: bytes.len() as u64, sha256: &sha256(b"other") };
            let error = store.put(&key("one/manifest.json"), upload).unwrap_err();
            assert_eq!(get(store.as_ref(), "one/manifest.json"), None, "{error}");
            assert_eq!(names(store.as_ref(), None), []);
        }
    }
}

#[test]
fn no_more_is_read_than_was_allowed() {
    for (store, _folder) in stores() {
        put(store.as_ref(), "one/a", &[1; 1000]);
        let mut output = Vec::new();
        assert!(store.get(&key("one/a"), &mut output, 999).is_err());
        assert!(output.len() < 1000);
        assert!(store.get(&key("one/a"), &mut Vec::new(), 1000).unwrap());
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_outage_and_not_created() {
    let folder = TempDir::new().unwrap();
    let store = FolderStore::new(folder.path().join("mount/site"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let upload = Upload { source: file.path(), size: 0, sha256: &sha256(b"") };
    assert!(store.put(&key("one/a"), upload).is_err());
    assert!(store.list(None).is_err());
    assert!(store.get(&key("one/a"), &mut Vec::new(), 1).is_err());
    assert!(!folder.path().join("mount").exists());
}

#[test]
fn links_in_a_folder_of_copies_lead_nowhere() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(outside.path().join("manifest.json"), "secret").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("one")).unwrap();
    fs::create_dir(folder.path().join("two")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("manifest.json"), folder.path().join("two/manifest.json"))
        .unwrap();
    let store = FolderStore::new(folder.path().to_owned());
    assert_eq!(names(&store, None), []);
    for name in ["one/manifest.json", "two/manifest.json"] {
        let mut output = Vec::new();
        assert!(store.get(&key(name), &mut output, 100).is_err() && output.is_empty(), "{name}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let upload = Upload { source: file.path(), size: 0, sha256: &sha256(b"") };
    assert!(store.put(&key("one/new"), upload).is_err());
    assert!(store.delete(&key("one/manifest.json")).is_err());
    assert!(Path::new(&outside.path().join("manifest.json")).exists());
}

/// A site of three files, a store of backups with keys and locks, and where copies go.
struct Site {
    folder: TempDir,
    store: Store,
    places: Vec<Place>,
}

impl Site {
    fn with(places: Vec<Place>) -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("uploads")).unwrap();
        fs::write(folder.path().join("uploads/a.txt"), "a").unwrap();
        let store = Store::open(folder.path().join("backups")).unwrap();
        Self { folder, store, places }
    }

    /// One for each kind of store.
    fn each() -> Vec<Self> {
        let copies = TempDir::new().unwrap();
        let folder = Place::Folder(copies.keep());
        let bucket = Place::S3(Box::new(s3::shared().settings()));
        vec![Self::with(vec![folder]), Self::with(vec![bucket])]
    }

    /// Another host, with an empty folder of backups and the same stores of copies.
    fn elsewhere(&self) -> Self {
        Self::with(self.places.clone())
    }

    fn remote(&self) -> Box<dyn RemoteStore> {
        self.places[0].open().unwrap()
    }

    fn backup(&self, kind: BackupType, text: &str) -> BackupId {
        fs::write(self.folder.path().join("uploads/changing.txt"), text).unwrap();
        self.backup_for(kind, Purpose::Manual)
    }

    fn backup_for(&self, kind: BackupType, purpose: Purpose) -> BackupId {
        let root = Root { name: "uploads".to_owned(), path: self.folder.path().join("uploads") };
        let request = create::Request {
            kind,
            purpose,
            files: Source { roots: vec![root], exclude: Vec::new() },
            ..create::Request::full(&[Component::Files])
        };
        make(&self.store, &request).unwrap().id
    }

    fn copy(&self) -> Copied {
        let (locked, progress) = (lock(&self.store), Progress::silent(&SystemClock));
        let copier =
            Copier { locked: &locked, places: &self.places, clock: &SystemClock, progress: &progress };
        copier.run().remove(0)
    }

    fn download(&self, id: &BackupId) -> Result<Vec<BackupId>> {
        let (locked, progress) = (lock(&self.store), Progress::silent(&SystemClock));
        Downloader { locked: &locked, places: &self.places, progress: &progress }.run(id)
    }

    fn delete(&self, id: &BackupId) -> Result<Deleted> {
        delete(&lock(&self.store), &self.places, id, &SystemClock)
    }

    fn list(&self) -> Vec<(BackupId, Status, Vec<String>, Vec<String>)> {
        let listed = self.store.list_with(&ledgers(&self.store, &self.places), &SystemClock).unwrap();
        let mut listed: Vec<_> =
            listed.into_iter().map(|one| (one.id, one.status, one.locations, one.awaiting)).collect();
        listed.sort();
        listed
    }

    fn restored(&self, id: &BackupId) -> String {
        let target = TempDir::new().unwrap();
        let mut request = restore::Request::all(id.clone(), None);
        (request.target_dir, request.safety) = (Some(target.path().to_owned()), false);
        restore::Plan::new(&self.store, &request).unwrap().execute(&lock(&self.store), &SystemClock).unwrap();
        fs::read_to_string(target.path().join("uploads/changing.txt")).unwrap()
    }
}

#[test]
fn another_host_lists_and_restores_what_this_one_copied() {
    for site in Site::each() {
        let full = site.backup(BackupType::Full, "one");
        let next = site.backup(BackupType::Incremental, "two");
        let safety = site.backup_for(BackupType::Full, Purpose::Safety);
        let name = site.remote().name().to_owned();
        assert_eq!(site.list()[0].3, [name.as_str()], "it awaits its copy");
        let copied = site.copy();
        assert_eq!((copied.error.as_deref(), copied.copied), (None, vec![full.clone(), next.clone()]));
        assert_eq!(site.copy().copied, [], "nothing is copied twice");
        let here =
            |id: &BackupId| (id.clone(), Status::Completed, vec!["local".to_owned(), name.clone()], vec![]);
        let mut expected =
            vec![here(&full), here(&next), (safety, Status::Completed, vec!["local".to_owned()], vec![])];
        expected.sort();
        assert_eq!(site.list(), expected);

        let other = site.elsewhere();
        assert_eq!(other.list(), []);
        assert_eq!(other.copy().copied, []);
        let there = |id: &BackupId| (id.clone(), Status::Completed, vec![name.clone()], vec![]);
        assert_eq!(other.list(), [there(&full), there(&next)]);
        assert_eq!(other.download(&next).unwrap(), [full.clone(), next.clone()]);
        assert!(verify(&other.store, &next).unwrap().success());
        assert_eq!((other.restored(&next), other.restored(&full)), ("two".to_owned(), "one".to_owned()));
        let sums = |site: &Site| fs::read(site.store.folder(&next).join("SHA256SUMS")).unwrap();
        assert_eq!(sums(&site), sums(&other));
    }
}

#[test]
fn a_copy_without_its_manifest_is_none_and_is_made_anew() {
    for site in Site::each() {
        let id = site.backup(BackupType::Full, "one");
        assert_eq!(site.copy().error, None);
        site.remote().delete(&Key::manifest(&id)).unwrap();
        let other = site.elsewhere();
        assert_eq!(other.copy().error, None);
        assert_eq!(other.list(), []);
        assert!(other.download(&id).is_err());
        assert_eq!(site.copy().copied, std::slice::from_ref(&id));
        assert_eq!(site.elsewhere().download(&id).unwrap(), [id]);
    }
}

#[test]
fn a_changed_copy_is_refused_whatever_was_changed_with_it() {
    for site in Site::each() {
        let id = site.backup(BackupType::Full, "one");
        assert_eq!(site.copy().error, None);
        let path = format!("{id}/files/files.tar.gz");
        let good = get(site.remote().as_ref(), &path).unwrap();
        put(site.remote().as_ref(), &path, b"evil");
        let other = site.elsewhere();
        let error = other.download(&id).unwrap_err().to_string();
        assert!(error.contains("files/files.tar.gz is not what was written"), "{error}");
        assert_eq!(other.store.ids().unwrap(), []);
        put(site.remote().as_ref(), &path, &good);

        // Whoever changes the checksums as well deceives a new host, but not the one that made the copy.
        let sums =
            String::from_utf8(get(site.remote().as_ref(), &format!("{id}/SHA256SUMS")).unwrap()).unwrap();
        let forged = sums.replace(&sha256(&good), &sha256(b"evil"));
        put(site.remote().as_ref(), &format!("{id}/SHA256SUMS"), forged.as_bytes());
        fs::rename(site.store.folder(&id), site.folder.path().join("lost")).unwrap();
        let error = site.download(&id).unwrap_err().to_string();
        assert!(error.contains("is not the one that was copied"), "{error}");
    }
}

#[test]
fn names_in_a_hostile_copy_lead_nowhere() {
    let site = Site::each().remove(0);
    let id = site.backup(BackupType::Full, "one");
    assert_eq!(site.copy().error, None);
    let path = format!("{id}/SHA256SUMS");
    let sums = String::from_utf8(get(site.remote().as_ref(), &path).unwrap()).unwrap();
    for name in ["../../evil", "/tmp/evil", "files/../../evil", "SHA256SUMS", "files"] {
        put(site.remote().as_ref(), &path, format!("{sums}{}  {name}\n", sha256(b"")).as_bytes());
        let other = site.elsewhere();
        assert!(other.download(&id).is_err(), "{name}");
        assert_eq!(other.store.ids().unwrap(), []);
        assert!(!other.folder.path().join("evil").exists());
    }
}

#[test]
fn a_store_that_is_away_gets_its_copies_when_it_is_back_and_keeps_no_other_from_its_own() {
    let folder = TempDir::new().unwrap();
    let (away, good) = (folder.path().join("away"), folder.path().join("good"));
    fs::create_dir(&good).unwrap();
    let mut site = Site::with(vec![Place::Folder(away.clone()), Place::Folder(good.clone())]);
    let id = site.backup(BackupType::Full, "one");
    let failed = site.copy();
    assert!(failed.error.as_deref().is_some_and(|error| error.contains("away")) && failed.is_news);
    assert!(!site.copy().is_news, "the same again is no news");
    assert!(good.join(id.as_str()).join("manifest.json").exists());
    assert_eq!(site.list()[0].3, [away.display().to_string()]);
    assert!(is_copying_due(&site.store, &site.places, SystemClock.now()).unwrap());
    fs::create_dir(&away).unwrap();
    let caught_up = site.copy();
    assert_eq!((caught_up.error, caught_up.is_news, caught_up.copied.len()), (None, true, 1));
    assert!(!is_copying_due(&site.store, &site.places, SystemClock.now()).unwrap());
    let tomorrow = SystemClock.now().plus(std::time::Duration::from_secs(90_000));
    assert!(is_copying_due(&site.store, &site.places, tomorrow).unwrap());
    site.places.clear();
    assert!(!is_copying_due(&site.store, &site.places, tomorrow).unwrap());
}

#[test]
fn deleting_removes_copies_too_now_or_later_and_never_a_base() {
    for site in Site::each() {
        let full = site.backup(BackupType::Full, "one");
        let next = site.backup(BackupType::Incremental, "two");
        assert_eq!(site.copy().error, None);
        assert!(site.delete(&full).is_err());
        let other = site.elsewhere();
        other.copy();
        assert!(other.delete(&full).is_err(), "the copy of the next builds on it");
        assert_eq!(other.delete(&next).unwrap().gone.len(), 1);
        assert_eq!(names(site.remote().as_ref(), Some(next.as_str())), []);
        assert_eq!(site.delete(&next).unwrap().warnings, Vec::<String>::new());
        assert!(site.delete(&next).is_err());
        assert_eq!(site.delete(&full).unwrap().gone.len(), 1);
        assert_eq!(names(site.remote().as_ref(), None), []);
    }
}

#[test]
fn a_copy_that_cannot_be_deleted_now_goes_when_its_store_is_back() {
    let folder = TempDir::new().unwrap();
    let (copies, aside) = (folder.path().join("copies"), folder.path().join("aside"));
    fs::create_dir(&copies).unwrap();
    let site = Site::with(vec![Place::Folder(copies.clone())]);
    let id = site.backup(BackupType::Full, "one");
    site.copy();
    fs::rename(&copies, &aside).unwrap();
    let deleted = site.delete(&id).unwrap();
    assert!(deleted.gone.is_empty() && deleted.warnings[0].contains(id.as_str()), "{deleted:?}");
    assert_eq!(site.list(), []);
    fs::rename(&aside, &copies).unwrap();
    assert!(is_copying_due(&site.store, &site.places, SystemClock.now()).unwrap());
    assert_eq!(site.copy().error, None);
    assert_eq!(names(site.remote().as_ref(), None), []);
}

#[test]
fn retention_spares_what_another_host_copied() {
    for site in Site::each() {
        let old = site.backup(BackupType::Full, "old");
        site.copy();
        let other = site.elsewhere();
        let policy = Policy { days: 0, monthly_months: 0, at_least: 1 };
        // Everything is of the same day; only what is not the newest goes when days are counted from later.
        let later = |site: &Site, id: &BackupId| {
            let path = site.store.folder(id).join("manifest.json");
            let text = fs::read_to_string(&path).unwrap();
            let at = text.find("\"created_at\": ").unwrap() + 14;
            let end = at + text[at..].find(',').unwrap();
            let moved: u64 = text[at..end].parse::<u64>().unwrap() + 10 * 86_400;
            fs::write(&path, format!("{}{moved}{}", &text[..at], &text[end..])).unwrap();
            let sums = fs::read_to_string(site.store.folder(id).join("SHA256SUMS")).unwrap();
            let now = fs::read(&path).unwrap();
            let fixed = sums.replace(&sha256(text.as_bytes()), &sha256(&now));
            fs::write(site.store.folder(id).join("SHA256SUMS"), fixed).unwrap();
        };
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let new = site.backup(BackupType::Full, "new");
        later(&site, &new);
        assert_eq!(site.copy().error, None);
        other.copy();
        let spared = retain(&lock(&other.store), &other.places, policy, &SystemClock).unwrap();
        assert_eq!(spared, Deleted::default());
        let gone = retain(&lock(&site.store), &site.places, policy, &SystemClock).unwrap();
        assert_eq!(gone.gone, [old.to_string()]);
        let left: Vec<_> = names(site.remote().as_ref(), Some(old.as_str()));
        assert_eq!(left, []);
        assert!(!names(site.remote().as_ref(), Some(new.as_str())).is_empty());
    }
}

#[test]
fn two_sites_in_one_place_are_told_so() {
    let site = Site::each().remove(0);
    let id = site.backup(BackupType::Full, "one");
    site.copy();
    let other = Site::with(site.places.clone());
    fs::create_dir_all(other.store.root()).unwrap();
    fs::write(other.folder.path().join("uploads/b.txt"), "b").unwrap();
    let root = Root { name: "uploads".to_owned(), path: other.folder.path().join("uploads") };
    let request = create::Request {
        id: Some(id),
        files: Source { roots: vec![root], exclude: Vec::new() },
        ..create::Request::full(&[Component::Files])
    };
    make(&other.store, &request).unwrap();
    let error = other.copy().error.unwrap_or_default();
    assert!(error.contains("prefix or folder of its own"), "{error}");
}
