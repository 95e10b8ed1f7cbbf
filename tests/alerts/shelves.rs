//! Where the book is kept: one contract over every shelf, and what is special to each.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use slbp::alerts::book::{Alert, Book};
use slbp::alerts::shelf::{self, Claim, InFile, InSegment, Kept, Shelf};
use slbp::clock::Timestamp;

use super::world::segment;

fn contract(shelf: &dyn Shelf) {
    assert_eq!(shelf.load(), None);
    for length in [0, 1, 119, 120, 121, 240, 5_000, 60_000, 17, 3_000] {
        let document: Vec<u8> = (0..length).map(|n| (n * 7 + length) as u8).collect();
        shelf.store(&document).unwrap();
        assert_eq!(shelf.load().as_deref(), Some(&document[..]), "{length} bytes");
    }
}

#[test]
fn every_shelf_gives_back_what_was_put_there() {
    let folder = tempfile::tempdir().unwrap();
    contract(&InSegment::new(segment(), b"site", "book"));
    contract(&InFile::new(folder.path().join("book")));
}

#[test]
fn a_long_document_leaves_nothing_behind_when_it_gets_short() {
    let segment = segment();
    let shelf = InSegment::new(segment, b"site", "book");
    for _ in 0..20 {
        shelf.store(&vec![b'x'; 40_000]).unwrap();
        shelf.store(b"short").unwrap();
        shelf.store(b"short").unwrap();
    }
    let mut records = 0;
    segment.records().unwrap().for_each(0, |_| records += 1);
    assert!(records < 10, "{records} records are left");
}

#[test]
fn sites_and_names_do_not_meet() {
    let segment = segment();
    let (one, other) = (InSegment::new(segment, b"a", "book"), InSegment::new(segment, b"b", "book"));
    one.store(b"of a").unwrap();
    assert_eq!(other.load(), None);
    assert_eq!(InSegment::new(segment, b"a", "silences").load(), None);
}

#[test]
fn a_reader_never_sees_half_a_document() {
    let segment = segment();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let shelf = InSegment::new(segment, b"site", "book");
            let mut seen = 0;
            while !done.load(Ordering::Acquire) || seen == 0 {
                if let Some(document) = shelf.load() {
                    assert!(document.iter().all(|byte| *byte == document[0]), "torn");
                    seen += 1;
                }
            }
        });
        let shelf = InSegment::new(segment, b"site", "book");
        for n in 0..2_000usize {
            shelf.store(&vec![n as u8; 300 + n % 700]).unwrap();
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
}

#[test]
fn the_newest_copy_counts_and_one_shelf_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let file = || Box::new(InFile::new(folder.path().join("book")));
    let shared = segment();
    let both = Kept::on(vec![Box::new(InSegment::new(shared, b"s", "book")), file()]);
    both.store(&Book { generation: 7, ..Book::default() }).unwrap();
    // php-fpm was reloaded: its memory is empty, the file is not.
    let reloaded = Kept::on(vec![Box::new(InSegment::new(segment(), b"s", "book")), file()]);
    assert_eq!(reloaded.load::<Book>().generation, 7);
    let gone = Kept::on(vec![
        Box::new(InFile::new(Path::new("/nonexistent/book").to_owned())),
        Box::new(InSegment::new(shared, b"s", "book")),
    ]);
    gone.store(&Book { generation: 8, ..Book::default() }).unwrap();
    assert_eq!(gone.load::<Book>().generation, 8);
    fs::write(folder.path().join("book"), b"{\"generation\": \"nonsense").unwrap();
    assert_eq!(both.load::<Book>().generation, 8, "a broken copy counts as none");
    assert!(Kept::on(vec![]).store(&Book::default()).is_err());
    let endless = Alert { rule: "x".repeat(2 << 20), ..Alert::default() };
    let endless = Book { alerts: [("x".to_owned(), endless)].into(), generation: 9, ..Book::default() };
    assert!(both.store(&endless).is_err());
    assert_eq!(both.load::<Book>().generation, 8, "what could not be read back is not stored");
}

#[test]
fn files_are_for_their_owner_alone_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    shelf::folder(&state).unwrap();
    shelf::folder(&state).unwrap();
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    let path = state.join("book");
    InFile::new(path.clone()).store(b"secret").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let target = folder.path().join("target");
    fs::write(&target, b"untouched").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&target, &path).unwrap();
    assert_eq!(InFile::new(path.clone()).load(), None, "a link is not read");
    InFile::new(path).store(b"secret").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"untouched", "nor written through");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(shelf::folder(&state).unwrap_err().to_string().contains("0700"));
    let link = folder.path().join("link");
    symlink(folder.path(), &link).unwrap();
    assert!(shelf::folder(&link).is_err());
}

#[test]
fn one_process_at_a_time_claims_the_files_unless_it_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let now = || {
        Timestamp::from_secs(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
        )
    };
    let patience = Duration::from_secs(120);
    let claim = |at: Timestamp| shelf::claim(&path, at, patience);
    let held = claim(now());
    assert!(matches!(held, Claim::Mine(_)));
    assert!(matches!(claim(now()), Claim::Theirs));
    assert!(matches!(claim(now().plus(patience * 2)), Claim::Unknown), "a stopped holder is not waited for");
    drop(held);
    assert!(matches!(claim(now()), Claim::Mine(_)));
    let nowhere = shelf::claim(Path::new("/nonexistent/lock"), now(), patience);
    assert!(matches!(nowhere, Claim::Unknown), "no lock is no reason never to look");
}
