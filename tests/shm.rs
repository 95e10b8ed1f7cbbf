//! Shared memory through its public face: what each table promises, in one process.
//! Several processes, kills and files have their own suites: `shm_kill.rs` and `shm_file.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use slbp::clock::Timestamp;
use slbp::shm::{
    Acquired, Counter, Decision, Key, Mode, Owner, Plan, Record, Refused, RegionKind, Segment, Written,
};

fn segment() -> Segment {
    Segment::anonymous(&Plan::smallest()).unwrap()
}

fn count_up(state: Option<u64>) -> Decision<u64> {
    let next = state.unwrap_or(0) + 1;
    Decision { new: Some(next), expires: 100, result: next }
}

#[test]
fn words_count() {
    let segment = segment();
    let words = segment.words().unwrap();
    let key = segment.hasher().key(b"client");
    assert_eq!(words.peek(key), None);
    assert_eq!(words.update(key, 10, count_up), Ok(1));
    assert_eq!(words.update(key, 10, count_up), Ok(2));
    assert_eq!(words.peek(key), Some(2));
    assert_eq!(words.used(10), 1);
    assert!(words.remove(key));
    assert!(!words.remove(key));
    assert_eq!(words.update(key, 10, count_up), Ok(1));
}

#[test]
fn a_decision_for_nothing_takes_no_slot() {
    let segment = segment();
    let words = segment.words().unwrap();
    let look = |state| Decision { new: None, expires: 0, result: state };
    assert_eq!(words.update(segment.hasher().key(b"x"), 10, look), Ok(None));
    assert_eq!(words.used(0), 0);
}

#[test]
fn a_full_table_forgets_only_what_has_expired() {
    let segment = segment();
    let words = segment.words().unwrap();
    let hasher = segment.hasher();
    let mut taken = Vec::new();
    let refused = (0..20_000u32).map(|n| hasher.key(&n.to_le_bytes())).find(|key| {
        match words.update(*key, 50, count_up) {
            Ok(_) => {
                taken.push(*key);
                false
            }
            Err(refused) => {
                assert_eq!(refused, Refused::Full);
                true
            }
        }
    });
    let refused = refused.expect("4096 slots do not hold 20,000 keys");
    assert!(taken.iter().all(|key| words.peek(*key) == Some(1)), "nothing live was evicted");
    assert_eq!(segment.counters().get(Counter::TableFull), 1);
    assert_eq!(
        words.update(refused, 100, count_up),
        Err(Refused::Full),
        "at its expiry a state still counts"
    );
    assert_eq!(words.update(refused, 101, count_up), Ok(1));
}

#[test]
fn records_are_put_replaced_and_removed() {
    let segment = segment();
    let records = segment.records().unwrap();
    let key = segment.hasher().key(b"203.0.113.7");
    assert_eq!(records.get(key, 1), None);
    let first = Record::new(key, 3, None, b"spam").unwrap();
    assert_eq!(records.put(&first, 1), Ok(Written::Inserted));
    assert_eq!(records.get(key, 1), Some(first));
    let second = Record::new(key, 4, Some(50), b"a longer reason").unwrap();
    assert_eq!(records.put(&second, 1), Ok(Written::Replaced));
    assert_eq!(records.get(key, 49), Some(second));
    assert_eq!(records.get(key, 50), None, "expired");
    assert_eq!((records.len(3), records.len(4)), (0, 1));
    assert_eq!(records.remove(key), Ok(true));
    assert_eq!(records.remove(key), Ok(false));
    assert_eq!(records.used(), 0);
}

#[test]
fn a_full_list_refuses_until_something_expires() {
    let segment = segment();
    let records = segment.records().unwrap();
    let key = |n: usize| segment.hasher().key(&n.to_le_bytes());
    for n in 0..records.capacity() {
        let expires = (n == 77).then_some(20);
        assert_eq!(records.put(&Record::new(key(n), 0, expires, b"x").unwrap(), 10), Ok(Written::Inserted));
    }
    let one_more = Record::new(key(1_000_000), 0, None, b"y").unwrap();
    assert_eq!(records.put(&one_more, 10), Err(Refused::Full));
    assert_eq!(records.put(&one_more, 20), Ok(Written::Inserted));
    assert_eq!(records.get(key(77), 1), None);
    assert_eq!(records.used(), records.capacity());
    let mut seen = 0;
    records.for_each(20, |_| seen += 1);
    assert_eq!(seen, records.capacity());
    assert_eq!(records.remove_if(|record| record.payload() == b"x"), Ok(records.capacity() - 1));
    assert_eq!(records.used(), 1);
}

#[test]
fn a_record_too_large_is_misuse() {
    let key = Key::from_bits(7);
    assert!(Record::new(key, 0, None, &[0; 129]).unwrap_err().to_string().contains("payload"));
    assert!(Record::new(key, 1024, None, &[]).unwrap_err().to_string().contains("group"));
}

#[test]
fn a_cell_is_one_word_for_all_who_know_its_name() {
    let segment = segment();
    let cells = segment.cells().unwrap();
    let name = |n: usize| segment.hasher().key(&n.to_le_bytes());
    let first = cells.cell(name(0)).unwrap();
    first.store(7, std::sync::atomic::Ordering::Relaxed);
    for n in 1..Plan::smallest().cells {
        assert_eq!(cells.cell(name(n)).unwrap().load(std::sync::atomic::Ordering::Relaxed), 0);
    }
    assert!(std::ptr::eq(cells.cell(name(0)).unwrap(), first));
    assert_eq!(cells.cell(name(9999)).unwrap_err(), Refused::Full);
}

#[test]
fn a_lease_is_held_by_one_until_it_ends() {
    let segment = segment();
    let leases = segment.leases().unwrap();
    let (key, me) = (segment.hasher().key(b"refresh"), Owner::current());
    let (now, second) = (Timestamp::from_secs(1000), Duration::from_secs(1));
    let Acquired::Mine(mine) = leases.acquire(key, me, now, second) else { panic!("free") };
    assert!(matches!(leases.acquire(key, me, now, second), Acquired::Theirs { owner, .. } if owner == me));
    assert!(leases.holds(mine, now));
    assert!(leases.renew(mine, now.plus(second), second * 5));
    assert!(!leases.holds(mine, now.plus(second * 6)));
    let Acquired::Mine(next) = leases.acquire(key, me, now.plus(second * 6), second) else { panic!("over") };
    assert!(next.token() > mine.token());
    assert!(!leases.release(mine), "it is no longer ours");
    assert!(leases.release(next));
    assert!(matches!(leases.acquire(key, me, now, second), Acquired::Mine(_)));
}

#[test]
fn the_info_says_what_is_used() {
    let segment = segment();
    segment
        .words()
        .unwrap()
        .update(segment.hasher().key(b"k"), 1, |_| Decision { new: Some(1), expires: u64::MAX, result: () })
        .unwrap();
    let info = segment.info();
    assert_eq!((info.mode, info.recoveries, info.lock_timeouts), (Mode::Anonymous, 0, 0));
    assert_eq!(info.size, Plan::smallest().total());
    let words = info.regions.iter().find(|region| region.kind == RegionKind::Words).unwrap();
    assert_eq!((words.used, words.capacity), (Some(1), Plan::smallest().words));
}

#[test]
fn when_every_lease_is_held_the_answer_says_so() {
    let segment = segment();
    let leases = segment.leases().unwrap();
    let (me, now, second) = (Owner::current(), Timestamp::from_secs(1000), Duration::from_secs(1));
    let key = |n: u32| segment.hasher().key(&n.to_le_bytes());
    let answers: Vec<_> = (0..1000).map(|n| leases.acquire(key(n), me, now, second)).collect();
    let given = answers.iter().filter(|answer| matches!(answer, Acquired::Mine(_))).count();
    assert_eq!(given, Plan::smallest().leases);
    assert!(answers.iter().all(|answer| matches!(answer, Acquired::Mine(_) | Acquired::Unavailable)));
    assert_eq!(leases.used(now), given);
    assert!(matches!(leases.acquire(key(5000), me, now.plus(second), second), Acquired::Mine(_)));
}
