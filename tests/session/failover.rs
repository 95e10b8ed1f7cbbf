//! Redis, then Memcached, then the database: what is away, comes back, or was asleep.

use std::time::{Duration, Instant};

use slbp::session::facade::{Saved, Sessions};
use slbp::session::settings::Mode;
use slbp::session::store::Kind;

use crate::common::redis::RedisServer;
use crate::common::wait_until;
use crate::world::{Kept, Server, World, ask, is_missing, look, opened, put, sessions, strictly};

/// Hosts that have the same three stores.
struct Chained {
    redis: World,
    memcached: World,
    database: World,
}

impl Chained {
    /// Redis keeps what it had when it is restarted.
    fn new() -> Self {
        let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
        let redis = World { server: Server::Redis(server), segment: crate::world::segment() };
        Self { redis, memcached: World::new(Kept::Memcached), database: World::new(Kept::Database) }
    }

    fn sessions(&self) -> Sessions {
        sessions(vec![self.redis.store(), self.memcached.store(), self.database.store()])
    }

    fn server(&mut self) -> &mut RedisServer {
        match &mut self.redis.server {
            Server::Redis(server) => server,
            _ => unreachable!(),
        }
    }

    /// Until the breaker lets Redis be asked again and it answers: a session that only it can lock.
    fn wait_for_redis(&self) {
        let only = sessions(vec![self.redis.store()]);
        wait_until("redis answers again", || only.count().is_ok());
    }
}

#[test]
fn a_session_outlives_each_store_and_no_old_copy_wins() {
    let mut chained = Chained::new();
    let sessions = chained.sessions();
    put(&sessions, b"id", b"1");
    put(&sessions, b"dead", b"1");
    assert_eq!(look(&sessions, b"id"), b"1");

    chained.server().kill();
    let began = Instant::now();
    assert_eq!(look(&sessions, b"id"), b"1", "memcached has a copy");
    put(&sessions, b"id", b"2");
    put(&sessions, b"new", b"1");
    sessions.destroy(b"dead", Kind::Destroyed, Duration::from_secs(60)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));

    chained.server().restart();
    chained.wait_for_redis();
    assert_eq!(look(&sessions, b"id"), b"2", "redis has 1, from before");
    assert_eq!(look(&sessions, b"new"), b"1");
    assert!(is_missing(&sessions, b"dead", &strictly(Mode::Locked)), "redis has it, from before");

    // It is written where it is at home again, and everywhere.
    let (mut session, data) = opened(&sessions, b"id", &ask(Mode::Locked));
    assert_eq!(data, b"2");
    assert_eq!(sessions.save(&mut session, b"3").unwrap(), Saved::Yes);
    for world in [&chained.redis, &chained.memcached, &chained.database] {
        assert_eq!(look(&world.sessions(), b"id"), b"3");
    }
}

#[test]
fn what_a_sleeping_store_still_does_when_it_wakes_changes_nothing() {
    let mut chained = Chained::new();
    let sessions = chained.sessions();
    put(&sessions, b"id", b"1");
    let (mut session, _) = opened(&sessions, b"id", &ask(Mode::Locked));
    chained.server().pause();
    // Redis gets this write, and does it when it wakes.
    assert_eq!(sessions.save(&mut session, b"2").unwrap(), Saved::Yes);
    put(&sessions, b"id", b"3");
    chained.server().resume();
    chained.wait_for_redis();
    assert_eq!(look(&sessions, b"id"), b"3");
}

#[test]
fn with_every_store_away_nobody_waits_long() {
    let mut world = World::new(Kept::Redis);
    let sessions = world.sessions();
    put(&sessions, b"id", b"1");
    let (mut session, _) = opened(&sessions, b"id", &ask(Mode::Locked));
    let Server::Redis(server) = &mut world.server else { panic!() };
    server.pause();
    let began = Instant::now();
    for _ in 0..50 {
        assert!(sessions.open(b"other", &ask(Mode::Locked)).is_err());
    }
    assert!(sessions.save(&mut session, b"2").is_err());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    server.resume();
    // The requests that were given up still came to Redis; it locked nothing for them.
    wait_until("what was asked for in vain is not locked", || {
        sessions.open(b"other", &ask(Mode::Locked)).is_ok()
    });
    wait_until("redis is used again", || matches!(sessions.open(b"id", &ask(Mode::ReadOnly)), Ok(Some(_))));
}
