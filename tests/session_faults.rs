//! Sessions under fire: eight workers count in one session and are killed while they do. No increment
//! that was reported may be lost, and none that was not may count twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, unsafe_code)]

mod common;
#[path = "support/processes.rs"]
mod processes;
#[path = "session/world.rs"]
#[allow(dead_code)] // each suite uses a part of it
mod world;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use slbp::session::facade::{Ask, Saved};
use slbp::session::settings::{Mode, Settings};
use slbp::shm::RegionKind;

use processes::{End, alone, fork};
use world::{Kept, World, ask, look};

const WORKERS: u64 = 8;

/// Increments of each at least, and kills.
const EACH: u64 = 500;
const KILLS: usize = 12;

/// What workers have begun and finished; a worker that is killed is replaced.
struct Board {
    begun: &'static AtomicU64,
    done: &'static AtomicU64,
    /// Not 0: all is done.
    over: &'static AtomicU64,
}

fn asking() -> Ask {
    // Shorter than anybody would set it, so that the dead do not hold up the test.
    let settings = Settings {
        mode: Mode::Locked,
        lock_ttl: Duration::from_millis(500),
        lock_wait: Duration::from_secs(20),
    };
    Ask { settings, ..ask(Mode::Locked) }
}

fn count_up(world: &World, board: &Board) {
    let sessions = world.sessions();
    let ask = asking();
    while board.over.load(SeqCst) == 0 {
        let Ok(Some(mut session)) = sessions.open(b"counter", &ask) else { continue };
        let data = sessions.take_data(&mut session);
        let count: u64 = String::from_utf8(data).unwrap().parse().unwrap_or(0);
        board.begun.fetch_add(1, SeqCst);
        match sessions.save(&mut session, (count + 1).to_string().as_bytes()) {
            Ok(Saved::Yes) => board.done.fetch_add(1, SeqCst),
            Ok(_) => board.begun.fetch_sub(1, SeqCst),
            // It may have been done: it counts as begun.
            Err(_) => continue,
        };
    }
}

#[test]
fn concurrent_increments_with_kills_lose_nothing() {
    let _alone = alone();
    for kept in [Kept::Shm, Kept::Redis, Kept::Memcached, Kept::Database] {
        let world = World::new(kept);
        let mut carve = world.segment.region(RegionKind::Metrics).carve();
        let mut word = || carve.one().unwrap();
        let board = Board { begun: word(), done: word(), over: word() };

        let employ = || fork(|| count_up(&world, &board));
        let mut team: Vec<_> = (0..WORKERS).map(|_| employ()).collect();
        let (mut kills, mut next) = (0, WORKERS * EACH / KILLS as u64);
        while board.done.load(SeqCst) < WORKERS * EACH {
            std::thread::sleep(Duration::from_millis(2));
            if kills < KILLS && board.done.load(SeqCst) * KILLS as u64 >= next {
                next += WORKERS * EACH;
                let victim = kills % team.len();
                let dead = std::mem::replace(&mut team[victim], employ());
                assert_eq!(dead.kill(), End::Signal(libc::SIGKILL), "a worker failed");
                kills += 1;
            }
        }
        board.over.store(1, SeqCst);
        for worker in team {
            assert_eq!(worker.wait(), End::Exit(0));
        }
        let counted: u64 = String::from_utf8(look(&world.sessions(), b"counter")).unwrap().parse().unwrap();
        let (begun, done) = (board.begun.load(SeqCst), board.done.load(SeqCst));
        assert!(
            (done..=begun).contains(&counted),
            "{kept:?}: {done} reported, {begun} begun, {counted} counted"
        );
    }
}
