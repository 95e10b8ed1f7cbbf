//! Eight workers count on one key, and are killed while they do: no increment that was reported may
//! be lost, and none that was not reported may count more than once.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use slbp::cache::facade::{Cache, Expiry};
use slbp::shm::{RegionKind, Segment};

use crate::processes::{End, alone, fork};
use crate::world::{Layers, World, encoded, get, int, key};

const WORKERS: u64 = 8;

/// Increments of each at least, and kills.
const EACH: u64 = 500;
const KILLS: usize = 24;

/// What workers have begun and finished; a worker that is killed is replaced.
struct Board {
    begun: &'static AtomicU64,
    done: &'static AtomicU64,
    /// Not 0: all is done.
    over: &'static AtomicU64,
}

fn count_up(cache: &Cache, board: &Board) {
    while board.over.load(SeqCst) == 0 {
        board.begun.fetch_add(1, SeqCst);
        if cache.increment(key("n"), 1).is_some() {
            board.done.fetch_add(1, SeqCst);
        } else {
            board.begun.fetch_sub(1, SeqCst);
        }
    }
}

#[test]
fn concurrent_increments_with_kills_lose_nothing() {
    let _alone = alone();
    for layers in [Layers::Shm, Layers::ShmRedis, Layers::ShmMemcached] {
        let world = World::new(layers);
        let segment: &'static Segment = World::segment();
        let mut carve = segment.region(RegionKind::Metrics).carve();
        let mut word = || carve.one().unwrap();
        let board = Board { begun: word(), done: word(), over: word() };
        let cache = world.cache_on(segment);
        cache.set(key("n"), &encoded(&int(0)), Expiry::Never, &[]).unwrap();

        let employ = || fork(|| count_up(&world.cache_on(segment), &board));
        let mut team: Vec<_> = (0..WORKERS).map(|_| employ()).collect();
        let mut kills = 0;
        while board.done.load(SeqCst) < WORKERS * EACH || kills < KILLS {
            std::thread::sleep(Duration::from_millis(15));
            let victim = kills % team.len();
            let dead = std::mem::replace(&mut team[victim], employ());
            match dead.kill() {
                End::Signal(libc::SIGKILL) => kills += 1,
                other => panic!("a worker failed: {other:?}"),
            }
        }
        board.over.store(1, SeqCst);
        for child in team {
            assert_eq!(child.wait(), End::Exit(0));
        }
        cache.begin_request();
        let Some(slbp::cache::value::Value::Int(counted)) = get(&cache, key("n")) else {
            panic!("it is gone")
        };
        let (begun, done) = (board.begun.load(SeqCst) as i64, board.done.load(SeqCst) as i64);
        eprintln!("{layers:?}: {done} reported, {counted} counted, {begun} begun, {kills} kills");
        assert!(done <= counted && counted <= begun, "{layers:?}: {done} <= {counted} <= {begun}");
    }
}
