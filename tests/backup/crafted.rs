//! Backups that somebody made up: whatever an archive and its index say, nothing is written outside of
//! the site, and nothing but files, folders and links is made.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use slbp::backup::create;
use slbp::backup::files::{Root, Source};
use slbp::backup::format::Component;
use slbp::backup::restore::{Plan, Request};
use slbp::clock::SystemClock;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::encrypted::sum_again;
use crate::files::tree;
use crate::fixture::{lock, make, store};

/// An entry of an index and one of an archive.
struct Crafted {
    name: &'static str,
    listed: Vec<Value>,
    archived: Vec<(&'static str, EntryType)>,
}

fn listed(path: &str, kind: Value) -> Value {
    let mut entry = json!({"path": path, "mode": 0o644, "owner": [0, 0], "mtime": 0, "ctime": 0, "inode": 1});
    entry.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    entry
}

fn a_file(path: &str) -> Value {
    listed(path, json!({"type": "file", "size": 5, "hash": blake3::hash(b"gotya").to_hex().as_str()}))
}

fn a_link(path: &str, target: &Path) -> Value {
    listed(path, json!({"type": "link", "target": target}))
}

/// Puts `crafted` into the backup in `folder`, with sums that are right.
fn rewrite(folder: &Path, id: &str, crafted: &Crafted) {
    let index = folder.join("files/index.gz");
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(&index).unwrap()).read_to_string(&mut text).unwrap();
    for entry in &crafted.listed {
        let mut entry = entry.clone();
        entry["backup"] = id.into();
        text.push_str(&format!("{entry}\n"));
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    fs::write(&index, packed.finish().unwrap()).unwrap();

    let archive = folder.join("files/files.tar.gz");
    let mut tar = Vec::new();
    MultiGzDecoder::new(fs::File::open(&archive).unwrap()).read_to_end(&mut tar).unwrap();
    tar.truncate(tar.len() - 1024);
    let mut builder = Builder::new(tar);
    for (path, kind) in &crafted.archived {
        let mut header = Header::new_gnu();
        // The name goes in raw: the crate would not write such a path.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o6755);
        header.set_size(if kind.is_file() { 5 } else { 0 });
        if matches!(kind, EntryType::Link | EntryType::Symlink) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        if matches!(kind, EntryType::Char) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        builder.append(&header, if kind.is_file() { &b"gotya"[..] } else { &b""[..] }).unwrap();
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&builder.into_inner().unwrap()).unwrap();
    fs::write(&archive, packed.finish().unwrap()).unwrap();
    sum_again(folder);
}

#[test]
fn what_an_archive_says_never_leaves_the_site() {
    let outside = TempDir::new().unwrap();
    let absolute: &'static str =
        Box::leak(outside.path().join("gotya").display().to_string().into_boxed_str());
    let crafted = [
        Crafted {
            name: "a path that climbs",
            listed: vec![a_file("site/../../gotya")],
            archived: vec![("site/../../gotya", EntryType::Regular)],
        },
        Crafted {
            name: "an absolute path",
            listed: vec![a_file(absolute)],
            archived: vec![(absolute, EntryType::Regular)],
        },
        Crafted {
            name: "a file through a link",
            listed: vec![a_link("site/z", outside.path()), a_file("site/z/gotya")],
            archived: vec![("site/z", EntryType::Symlink), ("site/z/gotya", EntryType::Regular)],
        },
        Crafted {
            name: "a file through a link that comes after it",
            listed: vec![a_file("site/z/gotya"), a_link("site/z", outside.path())],
            archived: vec![("site/z/gotya", EntryType::Regular), ("site/z", EntryType::Symlink)],
        },
        Crafted {
            name: "a hard link",
            listed: vec![a_file("site/z")],
            archived: vec![("site/z", EntryType::Link)],
        },
        Crafted {
            name: "a device",
            listed: vec![a_file("site/z")],
            archived: vec![("site/z", EntryType::Char)],
        },
        Crafted {
            name: "a pipe",
            listed: vec![a_file("site/z")],
            archived: vec![("site/z", EntryType::Fifo)],
        },
        Crafted {
            name: "the same file twice",
            listed: vec![a_file("site/z"), a_file("site/z")],
            archived: vec![("site/z", EntryType::Regular), ("site/z", EntryType::Regular)],
        },
    ];
    for crafted in crafted {
        let (site, id, _folder, store) = a_backup(&crafted);
        let before = tree(site.path());
        let refused =
            Plan::new(&store, &Request::all(id, None)).unwrap().execute(&lock(&store), &SystemClock);
        assert!(refused.is_err(), "{}", crafted.name);
        assert!(tree(site.path()) == before, "{}: the site is as it was", crafted.name);
        assert!(tree(outside.path()).is_empty(), "{}", crafted.name);
    }
}

#[test]
fn what_the_index_does_not_name_is_not_unpacked() {
    let crafted = Crafted {
        name: "stowaways",
        listed: vec![],
        archived: vec![
            ("site/../../gotya", EntryType::Regular),
            ("site/device", EntryType::Char),
            ("site/extra.php", EntryType::Regular),
        ],
    };
    let (site, id, _folder, store) = a_backup(&crafted);
    Plan::new(&store, &Request::all(id, None)).unwrap().execute(&lock(&store), &SystemClock).unwrap();
    let names: Vec<_> = fs::read_dir(site.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(!names[0].file_type().unwrap().is_char_device());
    assert_eq!(fs::read(site.path().join("page.html")).unwrap(), b"as in the backup");
}

/// A site that has changed since its backup, which was then made up.
fn a_backup(crafted: &Crafted) -> (TempDir, slbp::backup::BackupId, TempDir, slbp::backup::Store) {
    let site = TempDir::new().unwrap();
    fs::write(site.path().join("page.html"), "as in the backup").unwrap();
    let (folder, store) = store();
    let request = create::Request {
        files: Source {
            roots: vec![Root { name: "site".to_owned(), path: site.path().to_owned() }],
            exclude: vec![],
        },
        ..create::Request::full(&[Component::Files])
    };
    let id = make(&store, &request).unwrap().id;
    fs::write(site.path().join("page.html"), "of today").unwrap();
    rewrite(&store.folder(&id), id.as_str(), crafted);
    (site, id, folder, store)
}
