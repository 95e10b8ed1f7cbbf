//! What shared memory costs, in nanoseconds a call beside plain peers of the same run.
//!
//! `cargo bench --no-default-features --bench shm`. Each figure is the best of many short rounds,
//! because the machine is shared and only the best round was alone. The last part runs the hot key
//! from several processes at once and prints the wall time a call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use siphasher::sip128::{SipHasher13, SipHasher24};
use slbp::clock::{Clock, SystemClock};
use slbp::shm::{Acquired, Counter, Decision, Key, Locks, Owner, Plan, Record, RegionKind, Segment};

const ROUNDS: usize = 400;
const CALLS: usize = 2_000;

/// Prints the nanoseconds a call in the best round. `call` gets a number that runs up.
fn measure<R>(what: &str, mut call: impl FnMut(usize) -> R) {
    let mut best = f64::MAX;
    for round in 0..ROUNDS {
        let started = Instant::now();
        for step in 0..CALLS {
            black_box(call(black_box(round * CALLS + step)));
        }
        best = best.min(started.elapsed().as_nanos() as f64 / CALLS as f64);
    }
    show(what, best);
}

fn show(what: &str, nanos: f64) {
    println!("{what:<52} {nanos:>8.1} ns");
}

fn count_up(state: Option<u64>) -> Decision<u64> {
    let next = state.unwrap_or(0) + 1;
    Decision { new: Some(next), expires: u64::MAX, result: next }
}

fn main() {
    let segment = Segment::anonymous(&Plan::for_size(64 << 20).unwrap()).unwrap();
    peers();
    hashes(&segment);
    words(&segment);
    records(&segment);
    locks(&segment);
    control(&segment);
    hot_key(&segment);
}

fn peers() {
    println!("-- peers");
    let word = AtomicU64::new(0);
    measure("one atomic add", |_| word.fetch_add(1, Ordering::AcqRel));
    let map: Mutex<HashMap<u128, u64>> = Mutex::new((0..10_000).map(|key| (key, 0)).collect());
    measure("std Mutex<HashMap<u128, u64>> update, 10,000 keys", |n| {
        *map.lock().unwrap().entry(n as u128 % 10_000).or_insert(0) += 1;
    });
    measure("clock read", |_| SystemClock.now());
}

fn hashes(segment: &Segment) {
    println!("-- hashing a key of 48 bytes");
    let text = *b"/var/www/html|wp_|general|ip:203.0.113.7|abcdefg";
    let (thirteen, twenty_four) = (SipHasher13::new_with_keys(1, 2), SipHasher24::new_with_keys(1, 2));
    measure("SipHash-1-3-128", |_| thirteen.hash(black_box(&text)));
    measure("SipHash-2-4-128", |_| twenty_four.hash(black_box(&text)));
    measure("BLAKE3 keyed", |_| blake3::keyed_hash(&[7; 32], black_box(&text)));
    let hasher = segment.hasher();
    measure("Hasher::key", |_| hasher.key(black_box(&text)));
    let (site, rest) = text.split_at(18);
    measure("Hasher::key_of 2 parts", |_| hasher.key_of(black_box(&[site, rest])));
    let space = hasher.key(b"list");
    measure("Hasher::key_of_number", |n| hasher.key_of_number(space, n as u128));
}

fn keys(segment: &Segment, count: usize) -> Vec<Key> {
    (0..count as u64).map(|n| segment.hasher().key(&n.to_le_bytes())).collect()
}

/// Strides through `keys`, so that neighbours in time are none in memory.
fn pick(keys: &[Key], n: usize) -> Key {
    *keys.get(n * 7919 % keys.len()).unwrap()
}

/// A key that is in no table.
fn unknown(n: usize) -> Key {
    Key::from_bits((n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn words(segment: &Segment) {
    let words = segment.words().unwrap();
    println!("-- words ({} slots)", words.capacity());
    let hot = segment.hasher().key(b"hot");
    measure("update, one hot key", |_| words.update(hot, 1, count_up));
    measure("peek, one hot key", |_| words.peek(hot));
    let known = keys(segment, 10_000);
    known.iter().for_each(|key| _ = words.update(*key, 1, count_up).unwrap());
    measure("update, 10,000 keys", |n| words.update(pick(&known, n), 1, count_up));
    let half = keys(segment, words.capacity() / 2);
    half.iter().for_each(|key| _ = words.update(*key, 1, count_up).unwrap());
    measure("update, half full, all its keys", |n| words.update(pick(&half, n), 1, count_up));
    measure("update and remove, half full, new keys", |n| {
        words.update(unknown(n), 1, count_up).unwrap();
        words.remove(unknown(n))
    });
    measure("peek, half full, unknown keys", |n| words.peek(unknown(n)));
}

fn records(segment: &Segment) {
    let records = segment.records().unwrap();
    let all = keys(segment, records.capacity() * 9 / 10);
    for key in &all {
        records.put(&Record::new(*key, 1, None, b"a reason of some thirty letters").unwrap(), 1).unwrap();
    }
    println!("-- records ({} of {})", records.used(), records.capacity());
    measure("get, one hot key", |_| records.get(pick(&all, 1), 1));
    measure("get, all its keys", |n| records.get(pick(&all, n), 1));
    measure("get, unknown keys", |n| records.get(unknown(n), 1));
    let hasher = segment.hasher();
    let space = hasher.key(b"list");
    measure("hash and probe 33 prefix lengths (CIDR)", |n| {
        let address = (n as u32).wrapping_mul(2_654_435_761);
        (0..=32u32).any(|length| {
            let prefix = address & u32::MAX.checked_shl(32 - length).unwrap_or(0);
            records
                .get(hasher.key_of_number(space, u128::from(length) << 32 | u128::from(prefix)), 1)
                .is_some()
        })
    });
    measure("put and remove", |n| {
        records.put(&Record::new(unknown(n), 1, None, b"short").unwrap(), 1).unwrap();
        records.remove(unknown(n))
    });
}

fn locks(segment: &Segment) {
    println!("-- locks");
    let locks = segment.region(RegionKind::Cache).locks();
    measure("robust mutex, lock and unlock", |_| drop(locks.lock(0, Locks::PATIENCE, || {})));
    let mutex = Mutex::new(());
    measure("std Mutex, lock and unlock", |_| drop(mutex.lock()));
}

fn control(segment: &Segment) {
    println!("-- control");
    let (cells, leases, counters) = (segment.cells().unwrap(), segment.leases().unwrap(), segment.counters());
    let name = segment.hasher().key(b"generation");
    measure("cell by name", |_| cells.cell(name).unwrap().load(Ordering::Relaxed));
    measure("counter add", |_| counters.add(Counter::LimiterAllowed, 1));
    let (me, now, ttl) = (Owner::current(), SystemClock.now(), Duration::from_secs(5));
    measure("lease, acquire and release", |_| match leases.acquire(name, me, now, ttl) {
        Acquired::Mine(lease) => leases.release(lease),
        Acquired::Theirs { .. } | Acquired::Unavailable => false,
    });
}

fn hot_key(segment: &Segment) {
    println!("-- one hot key from several processes");
    for processes in [1, 2, 8] {
        let each = 400_000 / processes;
        let started = Instant::now();
        let children: Vec<_> = (0..processes).map(|_| fork(|| hammer(segment, each))).collect();
        for child in children {
            // SAFETY: waits for a child of ours.
            #[allow(unsafe_code)]
            unsafe {
                libc::waitpid(child, std::ptr::null_mut(), 0)
            };
        }
        show(
            &format!("update, {processes} processes"),
            started.elapsed().as_nanos() as f64 / (each * processes) as f64,
        );
    }
}

fn hammer(segment: &Segment, calls: usize) {
    let (words, key) = (segment.words().unwrap(), segment.hasher().key(b"hot"));
    (0..calls).for_each(|_| _ = black_box(words.update(key, 1, count_up)));
}

#[allow(unsafe_code)]
fn fork(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: this program has one thread; the child ends without running destructors.
    match unsafe { libc::fork() } {
        0 => {
            work();
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        child => child,
    }
}
