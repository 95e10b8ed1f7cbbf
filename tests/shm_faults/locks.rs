//! The robust mutex: an owner that dies, panics, stops, or asks twice.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use slbp::clock::{Clock, SystemClock};
use slbp::shm::{Acquired, Counter, Locks, Owner, Plan, RegionKind, Segment};

use super::processes::{End, alone, die_here, fork, stop_here};

fn segment() -> Segment {
    Segment::anonymous(&Plan::smallest()).unwrap()
}

fn locks(segment: &Segment) -> Locks<'_> {
    segment.region(RegionKind::Cache).locks()
}

fn no_repair() {
    panic!("nothing was broken");
}

#[test]
fn the_next_owner_repairs_what_a_dead_one_left() {
    let _alone = alone();
    let segment = segment();
    let locks = locks(&segment);
    let child = fork(|| {
        let _guard = locks.lock(3, Locks::PATIENCE, no_repair).unwrap();
        die_here();
    });
    assert_eq!(child.wait(), End::Signal(libc::SIGKILL));
    let mut repaired = false;
    let guard = locks.lock(3, Locks::PATIENCE, || repaired = true).unwrap();
    assert!(guard.recovered() && repaired);
    drop(guard);
    assert!(!locks.lock(3, Locks::PATIENCE, no_repair).unwrap().recovered(), "once is enough");
    assert!(!locks.lock(2, Locks::PATIENCE, no_repair).unwrap().recovered(), "other shards are whole");
    assert_eq!(segment.info().recoveries, 1);
}

#[test]
fn a_repair_that_is_killed_is_done_again() {
    let _alone = alone();
    let segment = segment();
    let locks = locks(&segment);
    for _ in 0..3 {
        let child = fork(|| {
            let _guard = locks.lock(0, Locks::PATIENCE, || die_here());
            die_here();
        });
        child.wait();
    }
    let mut repaired = false;
    assert!(locks.lock(0, Locks::PATIENCE, || repaired = true).unwrap().recovered());
    assert!(repaired);
}

#[test]
fn a_panic_under_the_lock_leaves_it_to_be_repaired() {
    let segment = segment();
    let locks = locks(&segment);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = locks.lock(0, Locks::PATIENCE, no_repair).unwrap();
        panic!("in the middle of a change");
    }));
    assert!(panicked.is_err());
    assert!(locks.lock(0, Locks::PATIENCE, || {}).unwrap().recovered());
}

#[test]
fn nobody_waits_for_ever_for_a_stopped_owner() {
    let _alone = alone();
    let segment = segment();
    let locks = locks(&segment);
    let child = fork(|| {
        let guard = locks.lock(0, Locks::PATIENCE, no_repair).unwrap();
        stop_here();
        drop(guard);
    });
    child.wait_stopped();
    let started = Instant::now();
    assert!(locks.lock(0, Duration::from_millis(200), no_repair).is_none());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(2), "waited {waited:?}");
    let started = Instant::now();
    assert!(locks.lock(0, Duration::ZERO, no_repair).is_none());
    assert!(started.elapsed() < Duration::from_millis(50), "a try does not wait");
    assert_eq!(segment.info().lock_timeouts, 1);
    child.signal(libc::SIGCONT);
    assert_eq!(child.wait(), End::Exit(0));
    assert!(!locks.lock(0, Locks::PATIENCE, no_repair).unwrap().recovered(), "it was alive all the time");
}

#[test]
fn a_waiter_gets_the_lock_of_an_owner_that_dies_meanwhile() {
    let _alone = alone();
    let segment = segment();
    let locks = locks(&segment);
    let child = fork(|| {
        let _guard = locks.lock(0, Locks::PATIENCE, no_repair).unwrap();
        stop_here();
    });
    child.wait_stopped();
    let waiter = fork(|| assert!(locks.lock(0, Duration::from_secs(20), || {}).unwrap().recovered()));
    std::thread::sleep(Duration::from_millis(120));
    child.kill();
    let started = Instant::now();
    assert_eq!(waiter.wait(), End::Exit(0));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn asking_twice_is_refused_and_not_a_deadlock() {
    let segment = segment();
    let locks = locks(&segment);
    let _guard = locks.lock(0, Locks::PATIENCE, no_repair).unwrap();
    let started = Instant::now();
    assert!(locks.lock(0, Locks::PATIENCE, no_repair).is_none());
    assert!(started.elapsed() < Locks::PATIENCE);
    assert!(locks.lock(99, Locks::PATIENCE, no_repair).is_none(), "there is no such lock");
}

#[test]
fn a_lease_outlives_its_term_but_not_its_holder() {
    let _alone = alone();
    let segment = segment();
    let leases = segment.leases().unwrap();
    let (key, hour) = (segment.hasher().key(b"refresh"), Duration::from_secs(3600));
    let token = AtomicU64::new(0);
    let acquire = || leases.acquire(key, Owner::current(), SystemClock.now(), hour);
    let child = fork(|| {
        assert!(matches!(acquire(), Acquired::Mine(_)));
        stop_here();
    });
    child.wait_stopped();
    assert!(matches!(acquire(), Acquired::Theirs { owner, .. } if owner.pid == child.pid as u32));
    child.kill();
    let Acquired::Mine(lease) = acquire() else { panic!("the holder is dead") };
    assert!(lease.token() > token.swap(lease.token(), SeqCst));
    assert_eq!(segment.counters().get(Counter::LeaseTakenOver), 1);
}

#[test]
fn a_pid_that_was_given_away_is_not_its_old_process() {
    let me = Owner::current();
    assert!(!me.is_dead());
    assert!(Owner { started: me.started + 1, ..me }.is_dead(), "same pid, another process");
    assert!(!Owner { pid: 1, namespace: me.namespace + 1, ..me }.is_dead(), "cannot be seen from here");
}

#[test]
fn a_process_that_only_waits_to_be_reaped_is_dead() {
    let _alone = alone();
    let segment = segment();
    let cell = segment.cells().unwrap().cell(segment.hasher().key(b"started")).unwrap();
    let child = fork(|| {
        cell.store(Owner::current().started, SeqCst);
        die_here();
    });
    let owner = || Owner { pid: child.pid as u32, started: cell.load(SeqCst), ..Owner::current() };
    assert!(
        super::processes::eventually(Duration::from_secs(5), || cell.load(SeqCst) != 0 && owner().is_dead())
    );
}
