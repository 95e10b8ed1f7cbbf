//! The link to Memcached against real servers: every way to reach them, and every way in which they
//! can fail under a call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::lateness::Lateness;
use common::memcached::MemcachedServer;
use common::{in_child, wait_until};
use slbp::clock::SystemClock;
use slbp::remote::breaker::{Breaker, Policy};
use slbp::remote::memcached::MemcachedLink;
use slbp::remote::memcached::protocol::{Mode, Reply, Request};
use slbp::remote::settings::{Address, MemcachedSettings, Secret};
use slbp::remote::{Fault, FaultKind};
use slbp::shm::{Plan, Segment};

const LIMIT: Duration = Duration::from_millis(200);

fn link(settings: &MemcachedSettings) -> MemcachedLink {
    let segment: &'static Segment = Box::leak(Box::new(Segment::anonymous(&Plan::smallest()).unwrap()));
    let breaker = |address: &Address| {
        let key = segment.hasher().key_of(&[address.to_string().as_bytes()]);
        Breaker::new(segment.cells().unwrap().cell(key).unwrap(), Policy::default())
    };
    let breakers = settings.servers.iter().map(breaker).collect();
    MemcachedLink::new(settings.clone(), breakers, Arc::new(SystemClock))
}

fn to(servers: &[&MemcachedServer]) -> MemcachedSettings {
    MemcachedSettings { timeout: LIMIT, read_timeout: LIMIT, ..MemcachedServer::settings(servers) }
}

fn ask(link: &mut MemcachedLink, request: Request) -> Result<Reply, Fault> {
    let routed = link.route(request);
    link.batch(&[routed]).pop().unwrap()
}

fn set(link: &mut MemcachedLink, key: &str, value: &[u8]) -> Result<Reply, Fault> {
    ask(link, Request::store(key.as_bytes(), value, 0, 0, Mode::Set))
}

fn get(link: &mut MemcachedLink, key: &str) -> Result<Option<Vec<u8>>, Fault> {
    Ok(match ask(link, Request::get(key.as_bytes()))? {
        Reply::Found(item) => Some(item.value),
        _ => None,
    })
}

/// What every way to Memcached must do.
fn works(settings: &MemcachedSettings) {
    let mut link = link(settings);
    let large = vec![b'x'; 900_000];
    for value in [b"".as_slice(), b"a\0\r\nEN\r\nb", &large] {
        assert_eq!(set(&mut link, "k", value).unwrap(), Reply::Done);
        assert_eq!(get(&mut link, "k").unwrap().unwrap(), value);
    }
    let names: Vec<String> = (0..100).map(|n| format!("key:{n}")).collect();
    let sets = names.iter().map(|name| Request::store(name.as_bytes(), name.as_bytes(), 0, 0, Mode::Add));
    let gets = names.iter().map(|name| Request::get(name.as_bytes()));
    let batch: Vec<_> = sets.chain(gets).map(|request| link.route(request)).collect();
    let replies = link.batch(&batch);
    for (name, reply) in names.iter().zip(&replies[100..]) {
        assert!(matches!(reply, Ok(Reply::Found(item)) if item.value == name.as_bytes()), "{reply:?}");
    }
    let Ok(Reply::Found(item)) = ask(&mut link, Request::look(b"k")) else { panic!("it is there") };
    let swap = |unique| Request::store(b"k", b"new", 0, 0, Mode::Unchanged(unique));
    assert_eq!(ask(&mut link, swap(item.unique)).unwrap(), Reply::Done);
    assert_eq!(ask(&mut link, swap(item.unique)).unwrap(), Reply::Refused);
    assert_eq!(ask(&mut link, Request::delete(b"k")).unwrap(), Reply::Done);
    assert_eq!(get(&mut link, "k").unwrap(), None);
}

#[test]
fn tcp_unix_socket_and_several_servers() {
    let (tcp, unix) = (MemcachedServer::start(), MemcachedServer::start_on_socket());
    works(&to(&[&tcp]));
    works(&to(&[&unix]));
    let more = [MemcachedServer::start(), MemcachedServer::start()];
    works(&to(&[&tcp, &unix, &more[0], &more[1]]));
}

#[test]
fn a_server_with_users_wants_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "site:secret\n").unwrap();
    let server = MemcachedServer::start_with(&["-Y", users.to_str().unwrap()]);
    let login = |password: &str| MemcachedSettings {
        login: Some(("site".to_owned(), Secret::new(password))),
        ..to(&[&server])
    };
    works(&login("secret"));
    let refused = set(&mut link(&login("guess")), "k", b"v").unwrap_err();
    assert_eq!(refused.kind(), FaultKind::Refused);
    assert!(!matches!(set(&mut link(&to(&[&server])), "k", b"v"), Ok(Reply::Done)), "without a login");
}

#[test]
fn a_stopped_server_costs_one_time_out_however_long_the_batch() {
    let server = MemcachedServer::start();
    let mut link = link(&to(&[&server]));
    set(&mut link, "k", b"v").unwrap();
    server.pause();
    let batch: Vec<_> = (0..100).map(|n| link.route(Request::get(format!("{n}").as_bytes()))).collect();
    let (started, lateness) = (Instant::now(), Lateness::watch());
    let replies = link.batch(&batch);
    lateness.check(started.elapsed(), LIMIT + Duration::from_millis(150));
    assert!(
        replies.iter().all(|reply| reply.as_ref().is_err_and(|fault| fault.kind() == FaultKind::Timeout))
    );
    server.resume();
}

/// phpredis#1418, in Memcached's clothes: the answer that came too late was for another key.
#[test]
fn a_late_reply_is_never_taken_for_the_next_one() {
    let server = MemcachedServer::start();
    let mut link = link(&to(&[&server]));
    set(&mut link, "first", b"1").unwrap();
    set(&mut link, "second", b"2").unwrap();
    server.pause();
    assert!(get(&mut link, "first").is_err());
    server.resume();
    wait_until("it answers again", || match get(&mut link, "second") {
        Ok(value) => {
            assert_eq!(value.as_deref(), Some(b"2".as_slice()));
            true
        }
        Err(_) => false,
    });
}

#[test]
fn a_dead_server_costs_its_own_keys_and_comes_back() {
    let mut servers = [MemcachedServer::start(), MemcachedServer::start(), MemcachedServer::start()];
    let mut link = link(&to(&servers.iter().collect::<Vec<_>>()));
    let names: Vec<String> = (0..60).map(|n| format!("key:{n}")).collect();
    names.iter().for_each(|name| assert_eq!(set(&mut link, name, b"v").unwrap(), Reply::Done));
    servers[1].kill();
    for name in &names {
        let is_its_own = link.server_of(name.as_bytes()) == 1;
        assert_eq!(get(&mut link, name).is_err(), is_its_own, "{name}");
    }
    servers[1].restart();
    wait_until("it is in use again", || names.iter().all(|name| set(&mut link, name, b"w").is_ok()));
}

/// A server more moves only its own share of the keys: a quarter of them, not nearly all.
#[test]
fn a_new_server_moves_only_its_own_keys() {
    let addresses: Vec<Address> = (0..4).map(|n| Address::Unix(format!("/run/m{n}.sock").into())).collect();
    let server_of = |servers: &[Address]| {
        let link = link(&MemcachedSettings { servers: servers.to_vec(), ..MemcachedServer::settings(&[]) });
        (0..10_000).map(|n| link.server_of(format!("key:{n}").as_bytes())).collect::<Vec<_>>()
    };
    let (three, four) = (server_of(&addresses[..3]), server_of(&addresses));
    let moved: Vec<_> = three.iter().zip(&four).filter(|(before, after)| before != after).collect();
    assert!(moved.iter().all(|(_, after)| **after == 3), "nothing moves between those that stay");
    assert!((2_200..2_800).contains(&moved.len()), "{}", moved.len());
    for server in 0..4 {
        let share = four.iter().filter(|of| **of == server).count();
        assert!((2_200..2_800).contains(&share), "{share}");
    }
}

#[test]
fn a_server_that_answers_drop_by_drop_is_not_waited_for() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"VA 1000 c1 f0 t-1\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port, tls: false };
    let mut link = link(&MemcachedSettings { servers: vec![address], ..to(&[]) });
    let (started, lateness) = (Instant::now(), Lateness::watch());
    assert_eq!(get(&mut link, "k").unwrap_err().kind(), FaultKind::Timeout);
    lateness.check(started.elapsed(), LIMIT + Duration::from_millis(150));
}

#[test]
fn a_child_never_uses_its_parents_connection() {
    let server = MemcachedServer::start();
    let mut link = link(&to(&[&server]));
    set(&mut link, "k", b"parent").unwrap();
    assert!(in_child(|| {
        (0..50).all(|_| get(&mut link, "k").unwrap().as_deref() == Some(b"parent".as_slice()))
            && set(&mut link, "k", b"child").unwrap() == Reply::Done
    }));
    assert_eq!(get(&mut link, "k").unwrap().as_deref(), Some(b"child".as_slice()));
}
