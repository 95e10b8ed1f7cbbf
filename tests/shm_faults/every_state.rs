//! A writer killed after any of its stores.
//!
//! The operation runs in a child one instruction at a time. Each time the shared bytes have
//! changed, the test reads them while the writer stands still with its lock held (a reader that
//! waited would hang here), and keeps a copy. Afterwards every copy is put back as if the writer
//! had been killed right there, its lock marked as the kernel marks it, and the survivors must find
//! everything whole. So this is every state that a kill can leave, not a sample.
#![cfg(all(target_env = "gnu", target_arch = "x86_64"))] // where the lock word of a mutex is known

use std::time::Duration;

use slbp::clock::Timestamp;
use slbp::shm::{Acquired, Decision, Key, Owner, Plan, Record, Region, RegionKind, Segment};

use super::processes::{alone, single_step};

/// What the kernel writes into the lock word of a robust mutex whose owner died.
const OWNER_DIED: u32 = 0x4000_0000;
const LOCK_BYTES: usize = size_of::<slbp::shm::RobustMutex>();

const NOW: u64 = 1000;

/// The bytes of a region and its locks.
struct Bytes {
    start: *mut u8,
    len: usize,
    locks: usize,
}

impl Bytes {
    fn of(region: &Region<'_>) -> Self {
        let locks = region.locks().len();
        // SAFETY: a region's locks lie right before its bytes, in the same mapping.
        let start = unsafe { region.address().sub(locks * LOCK_BYTES) }.cast_mut();
        Self { start, len: region.len() + locks * LOCK_BYTES, locks }
    }

    fn get(&self) -> &[u8] {
        // SAFETY: mapped for as long as the segment, and the writer stands still while we look.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// Puts `state` back, with the locks that were held marked as a dead owner's.
    fn put_back(&self, state: &[u8]) {
        assert_eq!(state.len(), self.len);
        // SAFETY: nobody else uses the segment now; the lock word is the first of a mutex (glibc).
        unsafe {
            std::ptr::copy_nonoverlapping(state.as_ptr(), self.start, self.len);
            for word in (0..self.locks).map(|lock| self.start.add(lock * LOCK_BYTES).cast::<u32>()) {
                if *word != 0 {
                    *word = OWNER_DIED;
                }
            }
        }
    }
}

/// Runs `operation` in a child and visits every state of the `kind` region that it passes through:
/// with `meanwhile` as it happens, with `afterwards` as if the child had died in it.
fn visit(
    kind: RegionKind,
    segment: &Segment,
    operation: impl FnOnce(),
    meanwhile: impl Fn(),
    afterwards: impl Fn(usize),
) {
    let bytes = Bytes::of(&segment.region(kind));
    let mut states = vec![bytes.get().to_vec()];
    let traced = single_step(operation, || {
        if states.last().is_some_and(|last| last != bytes.get()) {
            states.push(bytes.get().to_vec());
            meanwhile();
        }
    });
    if !traced {
        eprintln!("skipped: this system does not allow a test to trace its child");
        return;
    }
    assert!(states.len() > 1, "the operation changed nothing");
    for (number, state) in states.iter().enumerate() {
        bytes.put_back(state);
        afterwards(number);
    }
}

fn segment() -> Segment {
    let plan = Plan { words: 128, records: 64, cells: 8, leases: 16, ..Plan::smallest() };
    Segment::anonymous(&plan).unwrap()
}

/// Keys of one run of the word table, which has two slots in this plan.
fn neighbour(n: u128) -> Key {
    Key::from_bits((n * 64 + 5) << 64 | n)
}

fn count_up(state: Option<u64>) -> Decision<u64> {
    let next = state.unwrap_or(0) + 1;
    Decision { new: Some(next), expires: NOW, result: next }
}

#[test]
fn claiming_a_slot() {
    let _alone = alone();
    let segment = segment();
    let words = segment.words().unwrap();
    words.update(neighbour(1), NOW, count_up).unwrap();
    let is_sound = || {
        assert_eq!(words.peek(neighbour(1)), Some(1));
        assert!(matches!(words.peek(neighbour(2)), None | Some(1)));
    };
    let operation = || _ = words.update(neighbour(2), NOW, count_up).unwrap();
    visit(RegionKind::Words, &segment, operation, is_sound, |_| {
        is_sound();
        let counted = words.peek(neighbour(2)).unwrap_or(0);
        assert_eq!(words.update(neighbour(2), NOW, count_up), Ok(counted + 1), "no slot is lost");
        assert_eq!(words.peek(neighbour(1)), Some(1));
    });
}

#[test]
fn claiming_an_expired_slot() {
    let _alone = alone();
    let segment = segment();
    let words = segment.words().unwrap();
    words.update(neighbour(1), NOW, count_up).unwrap();
    words.update(neighbour(2), NOW, count_up).unwrap();
    let is_sound = || {
        assert!((1..=3).all(|n| matches!(words.peek(neighbour(n)), None | Some(1))));
        assert!(words.used(NOW) >= 1, "the other slot keeps its key");
    };
    let operation = || _ = words.update(neighbour(3), NOW + 1, count_up).unwrap();
    visit(RegionKind::Words, &segment, operation, is_sound, |_| {
        is_sound();
        // Both slots can be had by strangers once everything has expired.
        assert_eq!(
            words.update(neighbour(8), NOW + 1, |_| Decision { new: Some(8), expires: NOW + 1, result: 8 }),
            Ok(8)
        );
        assert_eq!(
            words.update(neighbour(9), NOW + 1, |_| Decision { new: Some(9), expires: NOW + 1, result: 9 }),
            Ok(9)
        );
        assert_eq!((words.peek(neighbour(8)), words.peek(neighbour(9))), (Some(8), Some(9)));
    });
}

#[test]
fn updating_and_removing_a_word() {
    let _alone = alone();
    let segment = segment();
    let words = segment.words().unwrap();
    words.update(neighbour(1), NOW, count_up).unwrap();
    let operation = || {
        words.update(neighbour(1), NOW, count_up).unwrap();
        words.remove(neighbour(1));
    };
    let is_sound = || assert!(matches!(words.peek(neighbour(1)), None | Some(1 | 2)));
    visit(RegionKind::Words, &segment, operation, is_sound, |_| {
        is_sound();
        let counted = words.peek(neighbour(1)).unwrap_or(0);
        assert_eq!(words.update(neighbour(1), NOW, count_up), Ok(counted + 1));
    });
}

fn key(n: u64) -> Key {
    Key::from_bits(u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn record(n: u64, text: &str, expires: Option<u64>) -> Record {
    Record::new(key(n), (n % 2) as u16, expires, text.as_bytes()).unwrap()
}

fn text_of(segment: &Segment, n: u64) -> Option<String> {
    let record = segment.records().unwrap().get(key(n), NOW)?;
    Some(String::from_utf8(record.payload().to_vec()).unwrap())
}

/// Ten records that nothing touches must be readable all the time.
fn bystanders_are_whole(segment: &Segment) {
    assert!((0..10).all(|n| text_of(segment, n) == Some(format!("bystander {n}"))));
}

/// After the next write, counts are true and every free record can be had.
fn nothing_is_lost(segment: &Segment) {
    let records = segment.records().unwrap();
    records.put(&record(100, "next", None), NOW).unwrap();
    assert_eq!(text_of(segment, 100).as_deref(), Some("next"));
    let mut counts = [0, 0];
    records.for_each(NOW, |record| counts[usize::from(record.group)] += 1);
    for n in 200.. {
        if records.put(&record(n, "filler", None), NOW).is_err() {
            break;
        }
        counts[n as usize % 2] += 1;
    }
    assert_eq!(counts[0] + counts[1], records.capacity(), "a free record was lost");
    assert_eq!([records.len(0), records.len(1)], counts);
    bystanders_are_whole(segment);
}

/// Visits every state of `operation`, which may leave key 50 as one of `allowed`.
fn visit_records(prepare: impl Fn(&Segment), operation: impl Fn(&Segment), allowed: &[Option<&str>]) {
    let _alone = alone();
    let segment = segment();
    let records = segment.records().unwrap();
    (0..10).for_each(|n| _ = records.put(&record(n, &format!("bystander {n}"), None), NOW).unwrap());
    prepare(&segment);
    let is_sound = || {
        bystanders_are_whole(&segment);
        let found = text_of(&segment, 50);
        assert!(allowed.contains(&found.as_deref()), "{found:?}");
    };
    visit(
        RegionKind::Records,
        &segment,
        || operation(&segment),
        is_sound,
        |_| {
            is_sound();
            nothing_is_lost(&segment);
            is_sound();
        },
    );
    assert!(segment.info().recoveries > 10, "a dead writer's lock was taken over");
}

#[test]
fn putting_a_new_record() {
    let put = |segment: &Segment| _ = segment.records().unwrap().put(&record(50, "new", None), NOW).unwrap();
    visit_records(|_| {}, put, &[None, Some("new")]);
}

#[test]
fn replacing_a_record() {
    let put = |text| {
        move |segment: &Segment| _ = segment.records().unwrap().put(&record(50, text, None), NOW).unwrap()
    };
    visit_records(put("old"), put("new"), &[Some("old"), Some("new")]);
}

#[test]
fn removing_a_record() {
    let put = |segment: &Segment| _ = segment.records().unwrap().put(&record(50, "old", None), NOW).unwrap();
    let remove = |segment: &Segment| assert!(segment.records().unwrap().remove(key(50)).unwrap());
    visit_records(put, remove, &[Some("old"), None]);
}

#[test]
fn putting_into_a_full_table_with_something_expired() {
    let fill = |segment: &Segment| {
        let records = segment.records().unwrap();
        records.put(&record(60, "expires", Some(NOW)), NOW - 1).unwrap();
        (300..)
            .take_while(|n| records.put(&record(*n, "filler", Some(NOW + 1)), NOW - 1).is_ok())
            .for_each(|_| {});
    };
    let put = |segment: &Segment| _ = segment.records().unwrap().put(&record(50, "new", None), NOW).unwrap();
    let _alone = alone();
    let segment = segment();
    let records = segment.records().unwrap();
    (0..10).for_each(|n| _ = records.put(&record(n, &format!("bystander {n}"), None), NOW - 1).unwrap());
    fill(&segment);
    let is_sound = || {
        bystanders_are_whole(&segment);
        assert!(matches!(text_of(&segment, 50).as_deref(), None | Some("new")));
    };
    visit(
        RegionKind::Records,
        &segment,
        || put(&segment),
        is_sound,
        |_| {
            is_sound();
            put(&segment);
            assert_eq!(text_of(&segment, 50).as_deref(), Some("new"));
            assert_eq!(records.used(), records.capacity());
            bystanders_are_whole(&segment);
        },
    );
}

#[test]
fn naming_a_cell() {
    let _alone = alone();
    let segment = segment();
    let cells = segment.cells().unwrap();
    cells.cell(key(1)).unwrap().store(11, std::sync::atomic::Ordering::SeqCst);
    let value = |n| cells.cell(key(n)).unwrap().load(std::sync::atomic::Ordering::SeqCst);
    visit(
        RegionKind::Cells,
        &segment,
        || assert_eq!(value(2), 0),
        || assert_eq!(value(1), 11),
        |_| {
            assert_eq!((value(1), value(2)), (11, 0));
            assert_eq!(cells.used(), 2, "a half-named cell is not lost");
        },
    );
}

#[test]
fn taking_a_lease() {
    let _alone = alone();
    let segment = segment();
    let leases = segment.leases().unwrap();
    let (me, now, ttl) = (Owner::current(), Timestamp::from_secs(NOW), Duration::from_secs(60));
    let gone = Owner { started: me.started + 1, ..me };
    // The slot still names us, alive, from a lease whose time is over.
    assert!(matches!(leases.acquire(key(1), me, Timestamp::from_secs(1), ttl), Acquired::Mine(_)));
    let operation = || assert!(matches!(leases.acquire(key(1), gone, now, ttl), Acquired::Mine(_)));
    visit(
        RegionKind::Leases,
        &segment,
        operation,
        || assert!(leases.used(now) <= 1),
        |_| {
            let Acquired::Mine(lease) = leases.acquire(key(1), me, now, ttl) else {
                panic!("its holder is dead")
            };
            assert!(leases.holds(lease, now));
            assert!(matches!(leases.acquire(key(1), me, now, ttl), Acquired::Theirs { .. }));
            assert!(leases.release(lease) && leases.used(now) == 0);
        },
    );
}
