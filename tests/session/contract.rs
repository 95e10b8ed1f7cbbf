//! What every store must do alike.

use std::time::{Duration, Instant};

use slbp::session::facade::{Ask, Saved, Sessions};
use slbp::session::settings::{Mode, Settings};
use slbp::session::store::Kind;

use crate::world::{Kept, World, ask, is_missing, look, opened, patiently, put, sessions_of, strictly};

type Check = fn(&World, &Sessions);

const CHECKS: &[(&str, Check)] = &[
    ("what_is_saved_is_read_whatever_it_is", what_is_saved_is_read_whatever_it_is),
    (
        "an_unknown_id_is_made_only_where_that_is_asked_for",
        an_unknown_id_is_made_only_where_that_is_asked_for,
    ),
    ("a_lock_is_waited_for_and_given_back", a_lock_is_waited_for_and_given_back),
    ("a_lock_that_is_not_given_back_ends", a_lock_that_is_not_given_back_ends),
    ("whoever_was_overtaken_saves_nothing", whoever_was_overtaken_saves_nothing),
    ("without_a_lock_the_first_to_save_wins", without_a_lock_the_first_to_save_wins),
    ("a_lock_goes_before_those_without", a_lock_goes_before_those_without),
    ("read_only_neither_waits_nor_writes", read_only_neither_waits_nor_writes),
    ("a_destroyed_session_stays_dead", a_destroyed_session_stays_dead),
    ("a_moved_session_is_empty_and_saves_nothing", a_moved_session_is_empty_and_saves_nothing),
    (
        "a_session_that_was_only_looked_at_is_not_left_behind",
        a_session_that_was_only_looked_at_is_not_left_behind,
    ),
    ("an_unused_session_ends_and_a_used_one_lives", an_unused_session_ends_and_a_used_one_lives),
    ("saving_twice_is_fine", saving_twice_is_fine),
    ("a_session_of_another_site_is_none", a_session_of_another_site_is_none),
    ("too_much_is_refused_and_what_was_there_stays", too_much_is_refused_and_what_was_there_stays),
    ("concurrent_increments_are_all_counted", concurrent_increments_are_all_counted),
];

fn keeps_the_contract(kept: Kept) {
    let world = World::new(kept);
    for (name, check) in CHECKS {
        std::thread::scope(|scope| {
            let world = &world;
            // Ids of one check are not those of another: each has a site of its own.
            let run =
                move || check(world, &sessions_of(vec![world.store()], Some(b"secret"), name.as_bytes()));
            let named = std::thread::Builder::new().name(format!("{kept:?}: {name}"));
            named.spawn_scoped(scope, run).unwrap();
        });
    }
}

#[test]
fn shared_memory_keeps_the_contract() {
    keeps_the_contract(Kept::Shm);
}

#[test]
fn redis_keeps_the_contract() {
    keeps_the_contract(Kept::Redis);
}

#[test]
fn a_redis_cluster_keeps_the_contract() {
    keeps_the_contract(Kept::RedisCluster);
}

#[test]
fn memcached_keeps_the_contract() {
    keeps_the_contract(Kept::Memcached);
}

#[test]
fn the_database_keeps_the_contract() {
    keeps_the_contract(Kept::Database);
}

fn what_is_saved_is_read_whatever_it_is(_: &World, sessions: &Sessions) {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..300_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for data in [
        &b""[..],
        b"a|i:1;",
        &all_bytes,
        "{\"name\":\"J\u{fc}rgen\"}".as_bytes(),
        &[b'x'; 100_000],
        &large,
        b"x",
    ] {
        put(sessions, b"id", data);
        assert!(look(sessions, b"id") == data, "{} bytes", data.len());
    }
}

fn an_unknown_id_is_made_only_where_that_is_asked_for(_: &World, sessions: &Sessions) {
    assert!(is_missing(sessions, b"unknown", &strictly(Mode::Locked)));
    assert!(is_missing(sessions, b"unknown", &strictly(Mode::Locked)), "asking made it");
    for odd in [&b""[..], b"a b", b"a\0b", b"../x", &[b'a'; 257]] {
        assert!(is_missing(sessions, odd, &ask(Mode::Locked)), "{odd:?}");
    }
    let (mut session, data) = opened(sessions, b"unknown", &ask(Mode::Locked));
    assert!(data.is_empty());
    assert_eq!(sessions.save(&mut session, b"x").unwrap(), Saved::Yes);
    assert_eq!(opened(sessions, b"unknown", &strictly(Mode::Optimistic)).1, b"x");
}

fn a_lock_is_waited_for_and_given_back(world: &World, sessions: &Sessions) {
    let (mut first, _) = opened(sessions, b"id", &ask(Mode::Locked));
    let error = sessions.open(b"id", &ask(Mode::Locked)).unwrap_err();
    assert!(error.to_string().contains("another request"), "{error}");
    std::thread::scope(|scope| {
        let name = std::thread::current().name().unwrap_or("").rsplit(' ').next().unwrap_or("").to_owned();
        let waiting = scope.spawn(move || {
            let other = sessions_of(vec![world.store()], Some(b"secret"), name.as_bytes());
            opened(&other, b"id", &patiently(Mode::Locked)).1
        });
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(sessions.save(&mut first, b"1").unwrap(), Saved::Yes);
        assert_eq!(waiting.join().unwrap(), b"1");
    });
}

/// A lock of a second, as a worker leaves it that is killed.
fn short() -> Ask {
    let settings = Settings { lock_ttl: Duration::from_secs(1), ..Settings::default() };
    Ask { settings, ..ask(Mode::Locked) }
}

fn a_lock_that_is_not_given_back_ends(_: &World, sessions: &Sessions) {
    put(sessions, b"id", b"1");
    let began = Instant::now();
    let (_killed, _) = opened(sessions, b"id", &short());
    assert_eq!(opened(sessions, b"id", &short()).1, b"1");
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(900), "{waited:?}");
}

fn whoever_was_overtaken_saves_nothing(_: &World, sessions: &Sessions) {
    put(sessions, b"id", b"1");
    let (mut slow, _) = opened(sessions, b"id", &short());
    let (mut quick, _) = opened(sessions, b"id", &short());
    assert_eq!(sessions.save(&mut slow, b"slow").unwrap(), Saved::Overtaken, "while another holds the lock");
    assert_eq!(sessions.save(&mut quick, b"quick").unwrap(), Saved::Yes);
    assert_eq!(sessions.save(&mut slow, b"slow").unwrap(), Saved::Overtaken, "when it is free again");
    assert_eq!(look(sessions, b"id"), b"quick");
}

fn without_a_lock_the_first_to_save_wins(_: &World, sessions: &Sessions) {
    for start in [None, Some(&b"0"[..])] {
        let id: &[u8] = if start.is_some() { b"old" } else { b"new" };
        if let Some(data) = start {
            put(sessions, id, data);
        }
        let (mut one, _) = opened(sessions, id, &ask(Mode::Optimistic));
        let (mut other, _) = opened(sessions, id, &ask(Mode::Optimistic));
        assert_eq!(sessions.save(&mut one, b"one").unwrap(), Saved::Yes);
        assert_eq!(sessions.save(&mut other, b"other").unwrap(), Saved::Overtaken);
        assert_eq!(look(sessions, id), b"one");
    }
}

fn a_lock_goes_before_those_without(_: &World, sessions: &Sessions) {
    put(sessions, b"id", b"0");
    let (mut without, data) = opened(sessions, b"id", &ask(Mode::Optimistic));
    assert_eq!(data, b"0");
    let (mut with, _) = opened(sessions, b"id", &ask(Mode::Locked));
    assert_eq!(sessions.save(&mut without, b"without").unwrap(), Saved::Overtaken);
    assert_eq!(sessions.save(&mut with, b"with").unwrap(), Saved::Yes);
    assert_eq!(look(sessions, b"id"), b"with");
}

fn read_only_neither_waits_nor_writes(_: &World, sessions: &Sessions) {
    put(sessions, b"id", b"0");
    let (mut with, _) = opened(sessions, b"id", &ask(Mode::Locked));
    let (mut reader, data) = opened(sessions, b"id", &ask(Mode::ReadOnly));
    assert_eq!(data, b"0");
    assert_eq!(sessions.save(&mut reader, b"1").unwrap(), Saved::Unwanted);
    sessions.leave(&mut reader, true).unwrap();
    assert_eq!(sessions.save(&mut with, b"2").unwrap(), Saved::Yes);
    assert_eq!(look(sessions, b"id"), b"2");
}

fn a_destroyed_session_stays_dead(_: &World, sessions: &Sessions) {
    put(sessions, b"id", b"0");
    let (mut late, _) = opened(sessions, b"id", &ask(Mode::Optimistic));
    let (_holder, _) = opened(sessions, b"id", &ask(Mode::Locked));
    sessions.destroy(b"id", Kind::Destroyed, Duration::from_secs(60)).unwrap();
    assert!(is_missing(sessions, b"id", &strictly(Mode::Locked)), "the lock goes with it");
    assert_eq!(sessions.save(&mut late, b"late").unwrap(), Saved::Overtaken);
    assert!(is_missing(sessions, b"id", &strictly(Mode::Locked)));
    // The same id may begin a new session where unknown ids are taken; those who come late still lose.
    let (mut anew, data) = opened(sessions, b"id", &ask(Mode::Locked));
    assert!(data.is_empty());
    assert_eq!(sessions.save(&mut late, b"late").unwrap(), Saved::Overtaken);
    assert_eq!(sessions.save(&mut anew, b"anew").unwrap(), Saved::Yes);
    assert_eq!(look(sessions, b"id"), b"anew");
    sessions.destroy(b"never", Kind::Destroyed, Duration::from_secs(60)).unwrap();
}

fn a_moved_session_is_empty_and_saves_nothing(_: &World, sessions: &Sessions) {
    put(sessions, b"id", b"0");
    sessions.destroy(b"id", Kind::Destroyed, Duration::from_secs(60)).unwrap();
    sessions.destroy(b"id", Kind::Moved, Duration::from_secs(60)).unwrap();
    for ask in [strictly(Mode::Locked), ask(Mode::Locked), ask(Mode::Optimistic)] {
        let (mut late, data) = opened(sessions, b"id", &ask);
        assert!(data.is_empty());
        assert_eq!(sessions.save(&mut late, b"late").unwrap(), Saved::Unwanted);
        sessions.leave(&mut late, true).unwrap();
    }
}

fn a_session_that_was_only_looked_at_is_not_left_behind(_: &World, sessions: &Sessions) {
    let (mut session, _) = opened(sessions, b"id", &ask(Mode::Locked));
    sessions.leave(&mut session, false).unwrap();
    assert!(is_missing(sessions, b"id", &strictly(Mode::Locked)));
    put(sessions, b"id", b"1");
    let (mut session, _) = opened(sessions, b"id", &ask(Mode::Locked));
    sessions.leave(&mut session, true).unwrap();
    assert_eq!(opened(sessions, b"id", &strictly(Mode::Locked)).1, b"1", "the lock was given back");
}

fn an_unused_session_ends_and_a_used_one_lives(_: &World, sessions: &Sessions) {
    const LIFETIME: Duration = Duration::from_millis(1500);
    let brief = |mode| Ask { lifetime: LIFETIME, ..ask(mode) };
    let begin = |id: &[u8]| {
        let (mut session, _) = opened(sessions, id, &brief(Mode::Locked));
        assert_eq!(sessions.save(&mut session, b"1").unwrap(), Saved::Yes);
        Instant::now()
    };
    let (mut began, mut used) = (begin(b"unused"), begin(b"used"));
    // Memcached keeps an item up to two seconds longer.
    while began.elapsed() < LIFETIME * 2 + Duration::from_secs(2) {
        let data = opened(sessions, b"used", &brief(Mode::Optimistic)).1;
        if used.elapsed() > LIFETIME / 2 {
            // The machine was asleep for so long that nothing can be said.
            (began, used) = (begin(b"unused"), begin(b"used"));
            continue;
        }
        used = Instant::now();
        assert_eq!(data, b"1");
        std::thread::sleep(LIFETIME / 15);
    }
    assert!(is_missing(sessions, b"unused", &strictly(Mode::Locked)));
    sessions.collect().unwrap();
}

fn saving_twice_is_fine(_: &World, sessions: &Sessions) {
    let (mut session, _) = opened(sessions, b"id", &ask(Mode::Locked));
    assert_eq!(sessions.save(&mut session, b"1").unwrap(), Saved::Yes);
    assert_eq!(sessions.save(&mut session, b"2").unwrap(), Saved::Yes);
    put(sessions, b"id", b"3");
    assert_eq!(sessions.save(&mut session, b"4").unwrap(), Saved::Overtaken);
    assert_eq!(look(sessions, b"id"), b"3");
}

fn a_session_of_another_site_is_none(world: &World, sessions: &Sessions) {
    put(sessions, b"id", b"admin");
    for (secret, realm) in
        [(Some(&b"secret"[..]), &b"other site"[..]), (Some(b"other"), b"site"), (None, b"site")]
    {
        let other = sessions_of(vec![world.store()], secret, realm);
        assert!(is_missing(&other, b"id", &strictly(Mode::Locked)));
    }
}

fn too_much_is_refused_and_what_was_there_stays(_: &World, sessions: &Sessions) {
    put(sessions, b"id", b"1");
    let (mut session, _) = opened(sessions, b"id", &ask(Mode::Locked));
    let random: Vec<u8> =
        (0..5u64 << 20).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8).collect();
    sessions.save(&mut session, &random).unwrap_err();
    sessions.leave(&mut session, false).unwrap();
    assert_eq!(opened(sessions, b"id", &strictly(Mode::Locked)).1, b"1");
}

fn concurrent_increments_are_all_counted(world: &World, _: &Sessions) {
    const THREADS: u64 = 4;
    const EACH: u64 = 25;
    std::thread::scope(|scope| {
        for mode in [Mode::Locked, Mode::Locked, Mode::Optimistic, Mode::Optimistic] {
            scope.spawn(move || {
                let sessions = sessions_of(vec![world.store()], Some(b"secret"), b"increments");
                let mut done = 0;
                while done < EACH {
                    let (mut session, data) = opened(&sessions, b"counter", &patiently(mode));
                    let count: u64 = String::from_utf8(data).unwrap().parse().unwrap_or(0);
                    if sessions.save(&mut session, (count + 1).to_string().as_bytes()).unwrap() == Saved::Yes
                    {
                        done += 1;
                    }
                }
            });
        }
    });
    let sessions = sessions_of(vec![world.store()], Some(b"secret"), b"increments");
    assert_eq!(look(&sessions, b"counter"), (THREADS * EACH).to_string().as_bytes());
}
