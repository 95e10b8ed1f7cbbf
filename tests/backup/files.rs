//! The files component: what a walk takes, what an incremental leaves out, what `tar` makes of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use slbp::backup::create::Request;
use slbp::backup::files::{Root, Source};
use slbp::backup::format::{BackupType, Component, FilesPart, Manifest};
use slbp::backup::verify::verify;
use slbp::backup::{BackupId, Store};
use tempfile::TempDir;

use crate::fixture::{make, store};

fn write(root: &Path, name: &[u8], contents: &[u8]) {
    let path = root.join(OsStr::from_bytes(name));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

/// A site with everything an archive can get wrong.
fn site() -> TempDir {
    let site = TempDir::new().unwrap();
    let root = site.path();
    write(root, b"uploads/2026/07/picture.jpg", &noise(3_000_000));
    write(root, b"uploads/empty", b"");
    write(root, b"uploads/text.txt", &b"all work and no play ".repeat(100_000));
    write(root, "uploads/späß \"quoted\" 'x' $(rm -rf)\n.txt".as_bytes(), b"odd");
    write(root, b"uploads/caf\xe9.txt", b"latin1 name");
    write(root, b"uploads/-rf", b"dash");
    write(root, format!("uploads/{}/{}.txt", "d".repeat(120), "f".repeat(200)).as_bytes(), b"long");
    write(root, b"uploads/cache/page.html", b"excluded");
    write(root, b"plugins/slbp/main.php", b"<?php");
    fs::set_permissions(root.join("plugins/slbp/main.php"), Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(root.join("uploads/empty-folder")).unwrap();
    fs::set_permissions(root.join("uploads/empty-folder"), Permissions::from_mode(0o711)).unwrap();
    symlink("/etc/hostname", root.join("uploads/absolute")).unwrap();
    symlink("text.txt", root.join("uploads/relative")).unwrap();
    symlink("../plugins", root.join("uploads/folder-link")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("uploads/fifo")).status().unwrap().success());
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(root.join("uploads/text.txt")).unwrap().set_modified(old).unwrap();
    site
}

pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn request(kind: BackupType, site: &Path) -> Request {
    let root = |name: &str| Root { name: format!("wp-content/{name}"), path: site.join(name) };
    Request {
        kind,
        files: Source {
            roots: vec![root("uploads"), root("plugins")],
            exclude: vec!["wp-content/uploads/cache".to_owned()],
        },
        ..Request::full(&[Component::Files])
    }
}

fn backup(store: &Store, kind: BackupType, site: &Path) -> Manifest {
    let manifest = make(store, &request(kind, site)).unwrap();
    let report = verify(store, &manifest.id).unwrap();
    assert!(report.success(), "{report:?}");
    manifest
}

fn part(manifest: &Manifest) -> &FilesPart {
    manifest.files.as_ref().unwrap()
}

fn unpack_by_hand(store: &Store, id: &BackupId) -> TempDir {
    let target = TempDir::new().unwrap();
    let output = Command::new("sh")
        .arg(store.folder(id).join("restore.sh"))
        .arg("--files")
        .arg(target.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target
}

/// Every path below `root`: what it is, its mode, mtime and contents.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).unwrap())
            } else if metadata.is_dir() {
                folders.push(path.clone());
                format!("folder {:o}", metadata.mode())
            } else if metadata.is_file() {
                let hash = blake3::hash(&fs::read(&path).unwrap());
                format!("file {:o} {} {hash}", metadata.mode(), metadata.mtime())
            } else {
                continue;
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    found
}

fn assert_restored(store: &Store, manifest: &Manifest, site: &Path) {
    let target = unpack_by_hand(store, &manifest.id);
    let mut expected = tree(site);
    expected.retain(|path, _| !path.starts_with("uploads/cache"));
    assert_eq!(expected, tree(&target.path().join("wp-content")));
}

#[test]
fn tar_brings_back_every_kind_of_file() {
    let site = site();
    let (_folder, store) = store();
    let manifest = backup(&store, BackupType::Full, site.path());
    assert_eq!((part(&manifest).torn, part(&manifest).unreadable_count), (0, 0));
    assert_restored(&store, &manifest, site.path());
}

#[test]
fn an_incremental_has_what_changed_and_what_went() {
    let site = site();
    let root = site.path();
    let (_folder, store) = store();
    backup(&store, BackupType::Full, root);
    let same = backup(&store, BackupType::Incremental, root);
    assert_eq!((part(&same).stored_files, part(&same).deleted), (0, 0));
    assert_restored(&store, &same, root);

    write(root, b"uploads/2026/08/new.txt", b"new");
    write(root, b"uploads/text.txt", b"changed");
    fs::remove_file(root.join("uploads/-rf")).unwrap();
    fs::remove_dir_all(root.join("uploads").join("d".repeat(120))).unwrap();
    fs::remove_file(root.join("uploads/relative")).unwrap();
    fs::create_dir(root.join("uploads/relative")).unwrap();
    fs::remove_dir(root.join("uploads/empty-folder")).unwrap();
    fs::write(root.join("uploads/empty-folder"), b"now a file").unwrap();
    let next = backup(&store, BackupType::Incremental, root);
    assert!(part(&next).stored_bytes < 1000, "{:?}", part(&next));
    assert_restored(&store, &next, root);

    write(root, b"uploads/-rf", b"back");
    let last = backup(&store, BackupType::Incremental, root);
    assert_restored(&store, &last, root);
    let differential = backup(&store, BackupType::Differential, root);
    assert_eq!(part(&differential).lineage.chain.len(), 2);
    assert_restored(&store, &differential, root);
}

#[test]
fn a_forged_mtime_does_not_hide_a_change() {
    let site = site();
    let path = site.path().join("uploads/text.txt");
    let (_folder, store) = store();
    backup(&store, BackupType::Full, site.path());
    let before = fs::metadata(&path).unwrap();
    let mut contents = fs::read(&path).unwrap();
    contents[5] ^= 1;
    fs::write(&path, contents).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    let next = backup(&store, BackupType::Incremental, site.path());
    assert_eq!(part(&next).stored_files, 1);
    assert_restored(&store, &next, site.path());
}

#[test]
fn files_that_grow_and_shrink_while_they_are_read_leave_a_whole_archive() {
    let site = TempDir::new().unwrap();
    fs::create_dir(site.path().join("plugins")).unwrap();
    for n in 0..40 {
        write(site.path(), format!("uploads/{n}.log").as_bytes(), &noise(400_000));
    }
    let (_folder, store) = store();
    let done = std::sync::atomic::AtomicBool::new(false);
    let manifest = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for n in 0..40 {
                    let file = File::options()
                        .write(true)
                        .open(site.path().join(format!("uploads/{n}.log")))
                        .unwrap();
                    file.set_len(if n % 2 == 0 { 1000 } else { 900_000 }).unwrap();
                    file.set_len(400_000).unwrap();
                }
            }
        });
        let manifest = make(&store, &request(BackupType::Full, site.path()));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        manifest.unwrap()
    });
    assert!(part(&manifest).torn > 0, "nothing changed during the walk");
    assert!(verify(&store, &manifest.id).unwrap().success());
    unpack_by_hand(&store, &manifest.id);
}

#[test]
fn the_store_is_never_in_its_own_backup() {
    let site = TempDir::new().unwrap();
    write(site.path(), b"uploads/a", b"a");
    let store = Store::open(site.path().join("uploads/slbp-backups")).unwrap();
    let source =
        Source { roots: vec![Root { name: String::new(), path: site.path().to_owned() }], exclude: vec![] };
    let request = Request { files: source, ..Request::full(&[Component::Files]) };
    make(&store, &request).unwrap();
    let manifest = make(&store, &request).unwrap();
    let target = unpack_by_hand(&store, &manifest.id);
    let paths: Vec<PathBuf> = tree(target.path()).into_keys().collect();
    assert_eq!(paths, [Path::new("uploads"), Path::new("uploads/a")]);
}

#[test]
fn roots_are_clean_and_apart() {
    let (_folder, store) = store();
    let root = |name: &str, path: &str| Root { name: name.to_owned(), path: PathBuf::from(path) };
    for roots in [
        vec![root("../x", "/tmp")],
        vec![root("/x", "/tmp")],
        vec![root("x", "tmp")],
        vec![root("a", "/tmp"), root("a/b", "/usr")],
        vec![root("", "/tmp"), root("b", "/usr")],
        vec![root("a", "/usr"), root("b", "/usr/lib")],
    ] {
        let source = Source { roots, exclude: vec![] };
        let request = Request { files: source.clone(), ..Request::full(&[Component::Files]) };
        assert!(make(&store, &request).is_err(), "{source:?}");
    }
}
