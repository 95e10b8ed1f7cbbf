//! Eight processes at once, nobody dies: every count must be exact.

use std::sync::atomic::Ordering::SeqCst;

use slbp::shm::{Counter, Decision, Key, Plan, Record, Refused, Segment};

use super::processes::{Child, End, alone, fork};

const PROCESSES: u64 = 8;

fn run(work: impl Fn(u64) + Copy) {
    let children: Vec<Child> = (0..PROCESSES).map(|n| fork(move || work(n))).collect();
    for child in children {
        assert_eq!(child.wait(), End::Exit(0));
    }
}

/// Repeats a change that was refused because a process that held the lock got no processor for half
/// a second, which happens on a machine that is busy with ten other things.
fn insist<T>(change: impl Fn() -> Result<T, Refused>) -> T {
    (0..40).find_map(|_| change().ok()).expect("the lock is not to be had")
}

fn count_up(state: Option<u64>) -> Decision<()> {
    Decision { new: Some(state.unwrap_or(0) + 1), expires: u64::MAX, result: () }
}

#[test]
fn updates_of_one_key_are_exact() {
    let _alone = alone();
    let segment = Segment::anonymous(&Plan::smallest()).unwrap();
    let (words, key) = (segment.words().unwrap(), segment.hasher().key(b"hot"));
    run(|_| (0..20_000).for_each(|_| insist(|| words.update(key, 1, count_up))));
    assert_eq!(words.peek(key), Some(PROCESSES * 20_000));
}

/// All processes meet each key when it is new, so they race for its slot. Two slots for one key
/// would show as a count below eight.
#[test]
fn a_new_key_gets_one_slot() {
    let _alone = alone();
    let segment = Segment::anonymous(&Plan { words: 1 << 15, ..Plan::smallest() }).unwrap();
    let words = segment.words().unwrap();
    let key = |n: u64| segment.hasher().key(&n.to_le_bytes());
    run(|_| (0..10_000).for_each(|n| insist(|| words.update(key(n), 1, count_up))));
    for n in 0..10_000 {
        assert_eq!(words.peek(key(n)), Some(PROCESSES), "key {n}");
        assert!(words.remove(key(n)) && words.peek(key(n)).is_none(), "key {n} lies in two slots");
    }
}

/// More keys than slots, all short-lived: slots change hands all the time. Each state names its
/// key, so one that reached another key's slot is seen.
#[test]
fn a_slot_that_changes_hands_never_shows_a_strangers_state() {
    let _alone = alone();
    let segment = Segment::anonymous(&Plan { words: 128, ..Plan::smallest() }).unwrap();
    let words = segment.words().unwrap();
    let clock = segment.cells().unwrap().cell(Key::from_bits(1)).unwrap();
    clock.store(1, SeqCst);
    run(|process| {
        let mut random = process + 1;
        for step in 0..60_000u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = random >> 56;
            let now = if step % 16 == 0 { clock.fetch_add(1, SeqCst) } else { clock.load(SeqCst) };
            // A full neighbourhood is an answer too.
            let _ = words.update(segment.hasher().key(&name.to_le_bytes()), now, |state| {
                let count = state.map_or(0, |state| {
                    assert_eq!(state >> 32, name, "the state of another key");
                    state & 0xffff_ffff
                });
                Decision { new: Some(name << 32 | (count + 1)), expires: now, result: () }
            });
        }
    });
    for name in 0..256u64 {
        let key = segment.hasher().key(&name.to_le_bytes());
        assert!(words.peek(key).is_none_or(|state| state >> 32 == name));
        words.remove(key);
        assert_eq!(words.peek(key), None, "key {name} lies in two slots");
    }
    assert_eq!(words.used(0), 0);
}

/// Writers replace records all the time; readers must see each one whole and never miss it.
#[test]
fn a_record_that_is_replaced_is_never_missed_nor_torn() {
    let _alone = alone();
    let segment = Segment::anonymous(&Plan { records: 64, ..Plan::smallest() }).unwrap();
    let records = segment.records().unwrap();
    let key = |n: u64| segment.hasher().key(&n.to_le_bytes());
    let record =
        |n: u64, fill: u8| Record::new(key(n), 0, None, &[fill; 100][..usize::from(fill % 100)]).unwrap();
    (0..16).for_each(|n| _ = records.put(&record(n, 1), 1).unwrap());
    run(|process| {
        for step in 0..6_000u64 {
            let n = (step * 7 + process) % 16;
            if process < 3 {
                insist(|| records.put(&record(n, (step % 251) as u8), 1));
                insist(|| records.put(&record(100 + process, 3), 1));
                assert!(insist(|| records.remove(key(100 + process))));
            } else {
                let found = records.get(key(n), 1).expect("it is always there");
                let fill = found.payload().first().copied().unwrap_or(0);
                assert!(found.payload().iter().all(|byte| *byte == fill), "torn: {:?}", found.payload());
                assert_eq!(found.payload().len(), usize::from(fill % 100));
                assert_eq!(records.get(key(999), 1), None);
            }
        }
    });
    assert_eq!((records.used(), records.len(0)), (16, 16));
}

#[test]
fn counters_and_cells_lose_nothing() {
    let _alone = alone();
    let segment = Segment::anonymous(&Plan::smallest()).unwrap();
    let (counters, cells) = (segment.counters(), segment.cells().unwrap());
    run(|_| {
        for n in 0..2_000u64 {
            counters.add(Counter::LimiterAllowed, 1);
            insist(|| cells.cell(segment.hasher().key(&(n % 100).to_le_bytes()))).fetch_add(1, SeqCst);
        }
    });
    assert_eq!(counters.get(Counter::LimiterAllowed), PROCESSES * 2_000);
    assert_eq!(cells.used(), 100, "a name that all ask for at once gets one cell");
    for n in 0..100u64 {
        let cell = cells.cell(segment.hasher().key(&n.to_le_bytes())).unwrap();
        assert_eq!(cell.load(SeqCst), PROCESSES * 20);
    }
}
