//! Fifteen hundred kills.
//!
//! Eight workers use every table as fast as they can while SIGKILL hits a random one every few
//! milliseconds; it is replaced at once. Every value checks itself, so a torn one ends its reader
//! and the test. A worker that makes no progress is a hang. At the end the books must balance: an
//! update that was begun and not reported may or may not have happened, any other must have.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use slbp::clock::{Clock, SystemClock};
use slbp::shm::{
    Acquired, Counter, Decision, Key, Leases, Locks, Owner, Plan, Record, RecordTable, Refused, RegionKind,
    Segment, WordTable,
};

use super::processes::{Child, End, alone, fork};

const WORKERS: usize = 8;
const KILLS: usize = 1_500;
const PERMANENT: u64 = 32;
const PAIRS: usize = 4;

/// No progress for this long is a hang, on a machine that is busy with other things too.
const HANG: Duration = Duration::from_secs(20);

/// What the workers tell the test: one word for each of them, or for all.
struct Board<'a> {
    progress: &'a [AtomicU64],
    /// Updates of the hot word that were begun, and those that were done.
    begun: &'a [AtomicU64],
    done: &'a [AtomicU64],
    /// The token of the lease holder, while there is one.
    holder: &'a AtomicU64,
    /// Times that a lease was entered while its last holder had not left.
    abandoned: &'a AtomicU64,
    /// Seconds that pass with the work, for expiry.
    clock: &'a AtomicU64,
    busy: &'a AtomicU64,
}

impl<'a> Board<'a> {
    fn of(segment: &'a Segment) -> Self {
        let mut carve = segment.region(RegionKind::Metrics).carve();
        Self {
            progress: carve.slice(WORKERS).unwrap(),
            begun: carve.slice(WORKERS).unwrap(),
            done: carve.slice(WORKERS).unwrap(),
            holder: carve.one().unwrap(),
            abandoned: carve.one().unwrap(),
            clock: carve.one().unwrap(),
            busy: carve.one().unwrap(),
        }
    }
}

struct Worker<'a> {
    number: usize,
    random: u64,
    me: Owner,
    segment: &'a Segment,
    board: Board<'a>,
    words: WordTable<'a>,
    records: RecordTable<'a>,
    leases: Leases<'a>,
    /// Pairs of words that a lock keeps equal.
    pairs: &'a [[AtomicU64; 2]],
    locks: Locks<'a>,
}

impl<'a> Worker<'a> {
    fn new(segment: &'a Segment, number: usize, seed: u64) -> Self {
        let cache = segment.region(RegionKind::Cache);
        Self {
            number,
            random: seed,
            me: Owner::current(),
            segment,
            board: Board::of(segment),
            words: segment.words().unwrap(),
            records: segment.records().unwrap(),
            leases: segment.leases().unwrap(),
            pairs: cache.carve().slice(PAIRS).unwrap(),
            locks: cache.locks(),
        }
    }

    fn run(&mut self) -> ! {
        loop {
            match self.pick(8) {
                0 => self.count_on_the_hot_word(),
                1 => self.churn_a_word(),
                2 => self.replace_a_permanent_record(),
                3 => self.read_records(),
                4 => self.churn_a_record(),
                5 => self.move_a_pair(),
                6 => self.hold_the_lease(),
                _ => self.bump_a_cell(),
            }
            self.board.progress[self.number].fetch_add(1, SeqCst);
        }
    }

    fn pick(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// Whether a table took the change. A lock that is held by somebody who gets no processor is
    /// not an error here, but it is counted.
    fn taken<T>(&self, result: Result<T, Refused>) -> Option<T> {
        if matches!(result, Err(Refused::Busy)) {
            self.board.busy.fetch_add(1, SeqCst);
        }
        result.ok()
    }

    fn now(&self) -> u64 {
        self.board.clock.load(SeqCst)
    }

    fn count_on_the_hot_word(&mut self) {
        self.board.begun[self.number].fetch_add(1, SeqCst);
        let count = |state: Option<u64>| Decision {
            new: Some(state.unwrap_or(0) + 1),
            expires: u64::MAX,
            result: (),
        };
        self.words.update(hot(), self.now(), count).unwrap();
        self.board.done[self.number].fetch_add(1, SeqCst);
    }

    fn churn_a_word(&mut self) {
        let name = 1000 + self.pick(400);
        let now = self.now();
        let result = self.words.update(key(name), now, |state| {
            let count = state.map_or(0, |state| {
                assert_eq!(state >> 32, name, "a word of another key");
                state & 0xffff_ffff
            });
            Decision { new: Some(name << 32 | (count + 1)), expires: now + 1, result: () }
        });
        self.taken(result);
        if self.pick(16) == 0 {
            self.words.remove(key(name));
            self.board.clock.fetch_add(1, SeqCst);
        }
    }

    fn replace_a_permanent_record(&mut self) {
        let name = self.pick(PERMANENT);
        let result = self.records.put(&record(name, self.random, None), self.now());
        self.taken(result);
    }

    fn read_records(&mut self) {
        let permanent = self.pick(PERMANENT);
        let found = self.records.get(key(permanent), self.now()).expect("a permanent record is always there");
        check(&found, permanent);
        let volatile = PERMANENT + self.pick(200);
        if let Some(found) = self.records.get(key(volatile), self.now()) {
            check(&found, volatile);
        }
        assert_eq!(self.records.get(key(77_777), self.now()), None);
    }

    fn churn_a_record(&mut self) {
        let name = PERMANENT + self.pick(200);
        let result = match self.pick(3) {
            0 => self.records.remove(key(name)).map(|_| ()),
            _ => self.records.put(&record(name, self.random, Some(self.now() + 3)), self.now()).map(|_| ()),
        };
        self.taken(result);
    }

    fn move_a_pair(&mut self) {
        let shard = self.pick(PAIRS as u64) as usize;
        let pair = &self.pairs[shard];
        let repair = || pair[1].store(pair[0].load(SeqCst), SeqCst);
        let Some(_guard) = self.locks.lock(shard, Locks::PATIENCE, repair) else {
            self.board.busy.fetch_add(1, SeqCst);
            return;
        };
        assert_eq!(pair[0].load(SeqCst), pair[1].load(SeqCst), "a broken shard was handed out");
        pair[0].fetch_add(1, SeqCst);
        (0..500).for_each(|_| std::hint::spin_loop());
        pair[1].fetch_add(1, SeqCst);
    }

    fn hold_the_lease(&mut self) {
        let now = SystemClock.now();
        let Acquired::Mine(lease) = self.leases.acquire(key(5), self.me, now, Duration::from_secs(600))
        else {
            return;
        };
        if self.board.holder.swap(lease.token(), SeqCst) != 0 {
            self.board.abandoned.fetch_add(1, SeqCst);
        }
        (0..200).for_each(|_| std::hint::spin_loop());
        let left = self.board.holder.compare_exchange(lease.token(), 0, SeqCst, SeqCst);
        assert!(left.is_ok(), "two held one lease");
        assert!((0..20).any(|_| self.leases.release(lease)), "a lease could not be given back");
    }

    fn bump_a_cell(&mut self) {
        let name = key(500 + self.pick(50));
        let cell = self.segment.cells().unwrap().cell(name);
        self.taken(cell).map(|cell| cell.fetch_add(1, SeqCst));
    }
}

fn hot() -> Key {
    key(9_999)
}

fn key(name: u64) -> Key {
    Key::from_bits(u128::from(name + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// A record that says who it is and whose every byte follows from its number.
fn record(name: u64, number: u64, expires: Option<u64>) -> Record {
    let mut payload = [name.to_le_bytes(), number.to_le_bytes()].concat();
    payload.resize(16 + number as usize % 100, (number % 251) as u8);
    Record::new(key(name), (name % 4) as u16, expires, &payload).unwrap()
}

fn check(found: &Record, name: u64) {
    let number = u64::from_le_bytes(found.payload()[8..16].try_into().unwrap());
    assert_eq!(found.payload(), record(name, number, None).payload(), "a torn record");
    assert_eq!(found.group, (name % 4) as u16);
}

#[test]
fn fifteen_hundred_kills_break_nothing() {
    let _alone = alone();
    let plan = Plan { words: 512, records: 256, ..Plan::smallest() };
    let segment = Segment::anonymous(&plan).unwrap();
    let board = Board::of(&segment);
    board.clock.store(1, SeqCst);
    let records = segment.records().unwrap();
    (0..PERMANENT).for_each(|name| _ = records.put(&record(name, 1, None), 1).unwrap());

    let mut team = Team::start(&segment, &board);
    let mut random = 42u64;
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = team.busy_one((random >> 33) as usize);
        std::thread::sleep(Duration::from_micros(random >> 50 & 2047));
        assert_eq!(team.replace(victim), End::Signal(libc::SIGKILL), "a worker failed before kill {kill}");
    }
    team.all_go_on();
    for worker in team.workers {
        assert_eq!(worker.child.kill(), End::Signal(libc::SIGKILL));
    }
    let ended_by_force = (KILLS + WORKERS) as u64;

    let info = segment.info();
    eprintln!(
        "{} steps, {} recoveries, {} leases taken over, {} times busy, {} refused as full",
        board.progress.iter().map(|word| word.load(SeqCst)).sum::<u64>(),
        info.recoveries,
        segment.counters().get(Counter::LeaseTakenOver),
        board.busy.load(SeqCst),
        segment.counters().get(Counter::TableFull),
    );
    assert!(info.recoveries > 0, "no kill hit a lock: the test tests nothing");
    assert!(segment.counters().get(Counter::LeaseTakenOver) > 0);
    assert!(board.abandoned.load(SeqCst) <= ended_by_force, "more left a lease behind than died");
    the_books_balance(&segment, &board, ended_by_force);
}

/// The workers as the test sees them.
struct Team<'a> {
    segment: &'a Segment,
    board: &'a Board<'a>,
    workers: Vec<Employed>,
    started: u64,
}

struct Employed {
    number: usize,
    child: Child,
    /// Its number's progress when it was started.
    before: u64,
    since: Instant,
}

impl<'a> Team<'a> {
    fn start(segment: &'a Segment, board: &'a Board<'a>) -> Self {
        let mut team = Self { segment, board, workers: Vec::new(), started: 0 };
        team.workers = (0..WORKERS).map(|number| team.employ(number)).collect();
        team
    }

    fn employ(&mut self, number: usize) -> Employed {
        self.started += 1;
        let (segment, seed) = (self.segment, self.started * 7919);
        let before = self.board.progress[number].load(SeqCst);
        let child = fork(move || Worker::new(segment, number, seed).run());
        Employed { number, child, before, since: Instant::now() }
    }

    /// Kills worker `number` and starts another in its place.
    fn replace(&mut self, number: usize) -> End {
        let next = self.employ(number);
        std::mem::replace(&mut self.workers[number], next).child.kill()
    }

    /// A worker that has done something since it was started, searched from `first` on.
    fn busy_one(&mut self, first: usize) -> usize {
        loop {
            if let Some(number) =
                (0..WORKERS).map(|n| (first + n) % WORKERS).find(|number| self.is_busy(*number))
            {
                return number;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn all_go_on(&mut self) {
        for number in 0..WORKERS {
            self.workers[number].before = self.board.progress[number].load(SeqCst);
            self.workers[number].since = Instant::now();
            while !self.is_busy(number) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Fails the test when the worker ended by itself, or does nothing for too long.
    fn is_busy(&mut self, number: usize) -> bool {
        let worker = &mut self.workers[number];
        if let Some(end) = worker.child.ended() {
            panic!("worker {} ended by itself: {end:?}", worker.number);
        }
        let is_busy = self.board.progress[number].load(SeqCst) != worker.before;
        assert!(is_busy || worker.since.elapsed() < HANG, "worker {} hangs", worker.number);
        is_busy
    }
}

fn the_books_balance(segment: &Segment, board: &Board<'_>, deaths: u64) {
    let sum = |words: &[AtomicU64]| words.iter().map(|word| word.load(SeqCst)).sum::<u64>();
    let (begun, done) = (sum(board.begun), sum(board.done));
    let counted = segment.words().unwrap().peek(hot()).unwrap();
    assert!(done <= counted && counted <= begun && begun - done <= deaths, "{done} <= {counted} <= {begun}");

    let (records, now) = (segment.records().unwrap(), board.clock.load(SeqCst));
    // A writer repairs what the last killed one left.
    records.put(&record(0, 5, None), now).unwrap();
    (0..PERMANENT).for_each(|name| check(&records.get(key(name), now).unwrap(), name));
    let mut counts = [0; 4];
    records.for_each(0, |found| {
        check(found, u64::from_le_bytes(found.payload()[..8].try_into().unwrap()));
        counts[usize::from(found.group)] += 1;
    });
    assert_eq!([0, 1, 2, 3].map(|group| records.len(group)), counts);
    let room = records.capacity() - records.used();
    let added = (10_000..).take_while(|name| records.put(&record(*name, 9, None), 0).is_ok()).count();
    assert_eq!(added, room, "a free record was lost");

    let words = segment.words().unwrap();
    words.remove(hot());
    (1000..1400).for_each(|name| _ = words.remove(key(name)));
    assert_eq!(words.used(0), 0, "a slot was lost");
}
