//! A segment in a file (`slbp.shm_path`): who may share it, what is refused, what is replaced.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]
#![allow(unsafe_code)] // forks, and changes to another user

#[path = "support/processes.rs"]
mod processes;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use slbp::error::Kind;
use slbp::shm::{Decision, Locks, Mode, Place, Plan, RegionKind, Segment};

use processes::{End, alone, fork, stop_here};

const NOBODY: u32 = 65534;

/// A folder that another user may enter. Every test here takes its turn (`alone`): a child that
/// another test forks would inherit the locks on this one's files.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn open(path: &Path) -> Segment {
    Segment::file(path, &Plan::smallest(), None).unwrap()
}

fn refusal(path: &Path) -> String {
    let error = Segment::file(path, &Plan::smallest(), None).err().expect("it must be refused");
    assert_eq!(error.kind(), Kind::SharedMemory);
    error.to_string()
}

fn count(segment: &Segment) -> u64 {
    let decide = |state: Option<u64>| {
        let next = state.unwrap_or(0) + 1;
        Decision { new: Some(next), expires: u64::MAX, result: next }
    };
    segment.words().unwrap().update(segment.hasher().key(b"count"), 1, decide).unwrap()
}

fn is_root() -> bool {
    // SAFETY: asks and changes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        eprintln!("skipped: only root can make a file that belongs to somebody else");
    }
    is_root
}

fn become_nobody() {
    // SAFETY: in a forked child that ends right after.
    let done = unsafe { libc::setgid(NOBODY) == 0 && libc::setuid(NOBODY) == 0 };
    assert!(done, "cannot change the user");
}

/// Plays the other process of `unrelated_processes_share_a_file`; does nothing otherwise.
#[test]
fn child_role() {
    if let Some(path) = std::env::var_os("SLBP_TEST_SEGMENT") {
        let segment = open(&PathBuf::from(path));
        (0..100).for_each(|_| _ = count(&segment));
    }
}

#[test]
fn unrelated_processes_share_a_file() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    let segment = open(&path);
    assert_eq!(count(&segment), 1);
    let run = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_role"])
            .env("SLBP_TEST_SEGMENT", &path)
            .spawn()
            .unwrap()
    };
    for mut child in [run(), run()] {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(count(&segment), 202);
    assert_eq!(segment.info().mode, Mode::File(path.clone()));
    drop(segment);
    assert_eq!(count(&open(&path)), 203, "nobody destroys it on leaving");
    let data = fs::metadata(&path).unwrap();
    assert_eq!((data.mode() & 0o7777, data.len()), (0o600, Plan::smallest().total() as u64));
}

#[test]
fn letting_go_leaves_the_others_alone() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    let (one, other) = (open(&path), open(&path));
    count(&one);
    drop(one);
    assert_eq!(count(&other), 2);
}

#[test]
fn all_who_come_at_once_get_the_same_segment() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    let children: Vec<_> = (0..8).map(|_| fork(|| _ = count(&open(&path)))).collect();
    for child in children {
        assert_eq!(child.wait(), End::Exit(0));
    }
    assert_eq!(count(&open(&path)), 9);
}

#[test]
fn a_creator_that_is_killed_leaves_nothing_that_hinders() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    for delay in 0..60 {
        let child = fork(|| {
            loop {
                let segment = open(&path);
                assert!(count(&segment) > 0);
                drop(segment);
                // Makes the next turn create it again.
                fs::remove_file(&path).unwrap();
            }
        });
        std::thread::sleep(Duration::from_micros(500 + delay * 53));
        assert_eq!(child.kill(), End::Signal(libc::SIGKILL));
        assert!(count(&open(&path)) > 0);
    }
    assert!(!folder.path().join("segment.new").exists());
}

#[test]
fn a_creator_that_is_stopped_is_not_waited_for_for_ever() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    drop(open(&path));
    let child = fork(|| {
        let lock = File::open(folder.path().join("segment.lock")).unwrap();
        lock.lock().unwrap();
        stop_here();
    });
    child.wait_stopped();
    let started = Instant::now();
    assert!(refusal(&path).contains("another process"));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_symbolic_link_is_refused() {
    let _alone = alone();
    let folder = folder();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    drop(open(&target));
    symlink(&target, &link).unwrap();
    assert!(refusal(&link).contains("symbolic link"));
    // The lock file must not lead elsewhere either.
    symlink(&target, folder.path().join("other.lock")).unwrap();
    assert!(refusal(&folder.path().join("other")).contains("symbolic link"));
}

#[test]
fn what_is_no_file_is_refused() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("folder");
    fs::create_dir(&path).unwrap();
    refusal(&path);
    assert!(refusal(&folder.path().join("missing/segment")).contains("No such file"));
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let folder = folder();
    let path = folder.path().join("segment");
    drop(open(&path));
    let before = fs::read(&path).unwrap();
    chown(&path, Some(NOBODY), None).unwrap();
    assert!(refusal(&path).contains("belongs to uid 65534"));
    assert_eq!(fs::read(&path).unwrap(), before, "it was not touched");
    assert!(Segment::file(&path, &Plan::smallest(), Some(NOBODY)).is_ok(), "unless it is slbp.shm_owner");
}

#[test]
fn what_root_makes_its_owner_can_use() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let folder = folder();
    let path = folder.path().join("segment");
    let segment = Segment::file(&path, &Plan::smallest(), Some(NOBODY)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY);
    count(&segment);
    let child = fork(|| {
        become_nobody();
        assert_eq!(count(&open(&path)), 2);
    });
    assert_eq!(child.wait(), End::Exit(0));
    let stranger = fork(|| {
        // SAFETY: in a forked child that ends right after.
        assert_eq!(unsafe { libc::setuid(NOBODY - 1) }, 0);
        assert!(refusal(&path).contains("65534"));
    });
    assert_eq!(stranger.wait(), End::Exit(0));
}

/// In /dev/shm the kernel refuses O_CREAT on existing files of others, even to root.
#[test]
fn root_and_owner_meet_in_a_sticky_folder() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let folder = folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    let path = folder.path().join("segment");
    let child = fork(|| {
        become_nobody();
        assert_eq!(count(&open(&path)), 1);
    });
    assert_eq!(child.wait(), End::Exit(0));
    let segment = Segment::file(&path, &Plan::smallest(), Some(NOBODY)).unwrap();
    assert_eq!(count(&segment), 2);
}

/// Writes `bytes` at `offset` of the file, as a neighbour could.
fn scribble(path: &Path, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

#[test]
fn another_version_is_replaced_and_its_users_live_on() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    let old = open(&path);
    count(&old);
    let inode = fs::metadata(&path).unwrap().ino();
    scribble(&path, 8, &[0xff; 8]);
    let new = open(&path);
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(count(&new), 1, "a fresh one");
    assert_eq!(count(&old), 2, "who has the old one mapped gets no SIGBUS");
    assert_ne!(old.info().instance, new.info().instance);
}

#[test]
fn what_is_not_ours_or_broken_is_replaced() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    // Offsets of magic, size, boot and the first region's offset in the header.
    for offset in [0, 16, 40, 96] {
        let old = open(&path);
        count(&old);
        scribble(&path, offset, &[0x5a; 8]);
        assert_eq!(count(&open(&path)), 1, "offset {offset}");
        fs::remove_file(&path).unwrap();
    }
    for content in [&b""[..], b"<?php", &[0; 10_000]] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(count(&open(&path)), 1);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(count(&open(&path)), 1, "what others could write is not trusted");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    File::options().write(true).open(&path).unwrap().set_len(8192).unwrap();
    assert_eq!(count(&open(&path)), 1, "cut short");
}

#[test]
fn another_size_is_joined_while_it_is_used_and_replaced_after() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    let larger = Plan { words: 8192, ..Plan::smallest() };
    let child = fork(|| {
        let segment = open(&path);
        count(&segment);
        stop_here();
    });
    child.wait_stopped();
    let joined = Segment::file(&path, &larger, None).unwrap();
    assert_eq!(count(&joined), 2, "it sees what the other one sees");
    assert_eq!(joined.info().size, Plan::smallest().total());
    assert_eq!(joined.words().unwrap().capacity(), Plan::smallest().words);
    drop(joined);
    child.kill();
    let alone_now = Segment::file(&path, &larger, None).unwrap();
    assert_eq!(alone_now.info().size, larger.total());
    assert_eq!(count(&alone_now), 1);
}

/// A fork must count as a user: php-fpm's workers outlive a master that is killed.
#[test]
fn a_forked_worker_keeps_the_file_in_use() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    let segment = open(&path);
    let worker = fork(|| {
        count(&segment);
        stop_here();
    });
    worker.wait_stopped();
    drop(segment);
    let joined = Segment::file(&path, &Plan { words: 8192, ..Plan::smallest() }, None).unwrap();
    assert_eq!(count(&joined), 2);
}

#[test]
fn a_killed_owner_of_a_lock_in_a_file_is_taken_over() {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("segment");
    let child = fork(|| {
        let segment = open(&path);
        let _guard = segment.region(RegionKind::Cache).locks().lock(0, Locks::PATIENCE, || {}).unwrap();
        processes::die_here();
    });
    assert_eq!(child.wait(), End::Signal(libc::SIGKILL));
    let segment = open(&path);
    let guard = segment.region(RegionKind::Cache).locks().lock(0, Locks::PATIENCE, || {}).unwrap();
    assert!(guard.recovered());
}

/// Unmounts its folder when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(options: &str) -> Option<Self> {
        let folder = folder();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_file_system_is_an_error_and_no_crash() {
    let _alone = alone();
    let Some(tmpfs) = Tmpfs::mount("size=512k") else {
        eprintln!("skipped: this user cannot mount a small tmpfs");
        return;
    };
    let path = tmpfs.0.path().join("segment");
    assert!(refusal(&path).contains("no room"));
    assert!(!path.exists() && !path.with_extension("new").exists(), "nothing is left behind");
    let place = Place::File { path, owner: None };
    let (instead, why) = Segment::obtain(&place, &Plan::smallest()).unwrap();
    assert_eq!((instead.info().mode, why.unwrap().kind()), (Mode::Private, Kind::SharedMemory));
    assert_eq!(count(&instead), 1);
}

#[test]
fn a_private_segment_is_not_shared_with_a_child() {
    let _alone = alone();
    let segment = Segment::private(&Plan::smallest()).unwrap();
    let child = fork(|| assert_eq!(count(&segment), 1));
    assert_eq!(child.wait(), End::Exit(0));
    assert_eq!(count(&segment), 1);
    assert_eq!(segment.info().mode, Mode::Private);
}
