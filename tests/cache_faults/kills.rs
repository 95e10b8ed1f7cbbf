//! Fifteen hundred kills.
//!
//! Eight workers read, write, delete and count on shared memory that is too small for what they
//! store, so that every write evicts, while SIGKILL hits a random busy one every few milliseconds.
//! Every value names its key and checks itself: a torn one, or another key's, ends its reader and the
//! test. A worker that makes no progress is a hang.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use slbp::cache::facade::{Cache, Expiry};
use slbp::cache::value::Value;
use slbp::shm::{Plan, RegionKind, Segment};

use crate::processes::{Child, End, alone, fork};
use crate::world::{Layers, World, encoded, get, int, key};

const WORKERS: usize = 8;
const KILLS: usize = 1_500;
const KEYS: u64 = 300;

/// No progress for this long is a hang, on a machine that is busy with other things too.
const HANG: Duration = Duration::from_secs(20);

struct Worker<'a> {
    cache: Cache,
    random: u64,
    progress: &'a AtomicU64,
}

impl Worker<'_> {
    fn run(&mut self) -> ! {
        loop {
            let name = self.pick(KEYS);
            match self.pick(10) {
                0..5 => self.read(name),
                5..8 => self.write(name),
                8 => _ = self.cache.delete(key(&name.to_string())),
                _ => self.count(name),
            }
            self.progress.fetch_add(1, SeqCst);
        }
    }

    fn read(&self, name: u64) {
        match get(&self.cache, key(&name.to_string())) {
            None | Some(Value::Int(_)) => {}
            Some(Value::Bytes(bytes)) => {
                let expected = body(name, bytes.len());
                assert_eq!(bytes, expected, "a torn value, or another key's");
            }
            Some(other) => panic!("nobody stored {other:?}"),
        }
    }

    fn write(&mut self, name: u64) {
        // Some are large, so that they go to other shards than the small ones of the same key.
        let len = if self.pick(8) == 0 { 3000 + self.pick(9000) } else { 8 + self.pick(400) };
        let value = Value::Bytes(body(name, len as usize));
        self.cache.set(key(&name.to_string()), &encoded(&value), Expiry::Default, &[]).unwrap();
    }

    fn count(&self, name: u64) {
        let name = name.to_string();
        if self.cache.increment(key(&name), 1).is_none() {
            self.cache.set(key(&name), &encoded(&int(0)), Expiry::Default, &[]).unwrap();
        }
    }

    fn pick(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }
}

/// A body of `len` bytes that could be no other key's and no other length's.
fn body(name: u64, len: usize) -> Vec<u8> {
    let seed = name.wrapping_mul(0x9E37_79B9) ^ len as u64;
    (0..len as u64).map(|n| (seed.wrapping_add(n).wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8).collect()
}

#[test]
fn fifteen_hundred_kills_break_nothing() {
    let _alone = alone();
    let plan = Plan { cache: 512 << 10, cache_locks: 8, ..Plan::smallest() };
    let segment: &'static Segment = Box::leak(Box::new(Segment::anonymous(&plan).unwrap()));
    let progress: &'static [AtomicU64] = segment.region(RegionKind::Metrics).carve().slice(WORKERS).unwrap();
    let world = World::new(Layers::Shm);

    let mut started = 0u64;
    let mut employ = |number: usize| {
        started += 1;
        let seed = started * 7919;
        let before = progress[number].load(SeqCst);
        let world = &world;
        let child = fork(move || {
            Worker { cache: world.cache_on(segment), random: seed, progress: &progress[number] }.run();
        });
        (child, before, Instant::now())
    };
    let mut team: Vec<(Child, u64, Instant)> = (0..WORKERS).map(&mut employ).collect();
    let mut random = 42u64;
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = busy_one(&mut team, progress, (random >> 33) as usize);
        std::thread::sleep(Duration::from_micros(random >> 50 & 2047));
        let dead = std::mem::replace(&mut team[victim], employ(victim));
        assert_eq!(dead.0.kill(), End::Signal(libc::SIGKILL), "a worker failed before kill {kill}");
    }
    for number in 0..WORKERS {
        busy_one(&mut team, progress, number);
    }
    team.into_iter().for_each(|(child, _, _)| assert_eq!(child.kill(), End::Signal(libc::SIGKILL)));

    let usage = world.cache_on(segment).stats();
    eprintln!(
        "{} operations, {} recoveries, {} items, {} evictions",
        progress.iter().map(|word| word.load(SeqCst)).sum::<u64>(),
        segment.info().recoveries,
        usage.items,
        usage.evictions,
    );
    assert!(segment.info().recoveries > 0, "no kill hit a lock: the test tests nothing");
    assert!(usage.evictions > 1000, "nothing was ever evicted: the test tests too little");
    // Nothing was wiped either: shared memory is as full as before the last kills.
    assert!(usage.items > 100, "{usage:?}");
}

/// A worker that has done something since it was started, searched from `first` on.
fn busy_one(team: &mut [(Child, u64, Instant)], progress: &[AtomicU64], first: usize) -> usize {
    loop {
        for number in (0..WORKERS).map(|n| (first + n) % WORKERS) {
            let (child, before, since) = &mut team[number];
            if let Some(end) = child.ended() {
                panic!("worker {number} ended by itself: {end:?}");
            }
            if progress[number].load(SeqCst) != *before {
                return number;
            }
            assert!(since.elapsed() < HANG, "worker {number} hangs");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
