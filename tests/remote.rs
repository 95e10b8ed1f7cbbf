//! The links to remote stores against real servers: every way to reach Redis, and every way in
//! which it can fail under a call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::lateness::Lateness;
use common::redis::{RedisCluster, RedisSentinel, RedisServer, bulk, command};
use common::{in_child, wait_until};
use redis::Value;
use slbp::remote::FaultKind;
use slbp::remote::redis::{RedisLink, Replay, Script, shared};
use slbp::remote::settings::{Address, RedisSettings, Secret};

static COUNT: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])"));

/// What every way to Redis must do: one command, a batch in order, a script.
fn works(settings: RedisSettings) {
    let mut link = RedisLink::new(settings);
    assert_eq!(link.run(&command(&["SET", "k", "a\0b"]), Replay::Safe).unwrap(), Value::Okay);
    assert_eq!(bulk(link.run(&command(&["GET", "k"]), Replay::Safe).unwrap()), b"a\0b");

    let keys: Vec<String> = (0..100).map(|n| format!("key:{n}")).collect();
    let sets: Vec<_> = keys.iter().map(|key| command(&["SET", key, key])).collect();
    link.batch(&sets, Replay::Safe).unwrap();
    let gets: Vec<_> = keys.iter().map(|key| command(&["GET", key])).collect();
    let values: Vec<_> = link.batch(&gets, Replay::Safe).unwrap().into_iter().map(bulk).collect();
    assert_eq!(values, keys.iter().map(|key| key.as_bytes().to_vec()).collect::<Vec<_>>());

    for expected in [5, 10] {
        let sum = link.eval(&COUNT, &[b"sum"], &[b"5"], Replay::Never).unwrap();
        assert_eq!(sum, Value::Int(expected));
    }
}

#[test]
fn tcp_and_unix_socket() {
    let server = RedisServer::start();
    works(server.settings());
    server.ask(&["FLUSHALL"]);
    works(server.settings_unix());
}

#[test]
fn password_acl_user_and_database() {
    let server =
        RedisServer::start_with(&["--requirepass", "s3cret", "--user", "app", "on", ">pw", "~*", "+@all"]);
    let password = RedisSettings { password: Some(Secret::new("s3cret")), ..server.settings() };
    works(password.clone());
    works(RedisSettings {
        username: Some("app".to_owned()),
        password: Some(Secret::new("pw")),
        database: 3,
        ..server.settings()
    });

    let wrong = RedisSettings { password: Some(Secret::new("guess")), ..server.settings() };
    for refused in [wrong, server.settings()] {
        let fault = RedisLink::new(refused).run(&command(&["GET", "k"]), Replay::Safe).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Refused, "{fault}");
        assert!(!fault.to_string().contains("guess"));
    }
}

#[test]
fn tls_with_a_verified_certificate() {
    let (server, settings) = RedisServer::start_with_tls();
    works(settings.clone());

    let unverified = RedisSettings { tls: Default::default(), ..settings };
    let fault = RedisLink::new(unverified).run(&command(&["PING"]), Replay::Safe).unwrap_err();
    assert!(fault.is_outage(), "a certificate nobody vouches for is refused: {fault}");
    drop(server);
}

#[test]
fn a_cluster_of_three() {
    let cluster = RedisCluster::start();
    works(cluster.settings());
    let holding: Vec<Value> = cluster.nodes.iter().map(|node| node.ask(&["DBSIZE"])).collect();
    assert!(holding.iter().all(|size| *size != Value::Int(0)), "keys are spread: {holding:?}");
}

#[test]
fn a_key_that_moves_in_the_cluster_is_followed() {
    let cluster = RedisCluster::start();
    let mut link = RedisLink::new(cluster.settings());
    link.run(&command(&["SET", "foo", "before"]), Replay::Safe).unwrap();

    // Slot 12182 belongs to the third node. Move it to the first as redis-cli --cluster would.
    let id = |node: &RedisServer| String::from_utf8(bulk(node.ask(&["CLUSTER", "MYID"]))).unwrap();
    let (from, to) = (&cluster.nodes[2], &cluster.nodes[0]);
    to.ask(&["CLUSTER", "SETSLOT", "12182", "IMPORTING", &id(from)]);
    from.ask(&["CLUSTER", "SETSLOT", "12182", "MIGRATING", &id(to)]);
    from.ask(&["MIGRATE", "127.0.0.1", &to.port().to_string(), "foo", "0", "5000"]);
    assert_eq!(bulk(link.run(&command(&["GET", "foo"]), Replay::Safe).unwrap()), b"before", "ASK");

    for node in &cluster.nodes {
        node.ask(&["CLUSTER", "SETSLOT", "12182", "NODE", &id(to)]);
    }
    for _ in 0..3 {
        assert_eq!(bulk(link.run(&command(&["GET", "foo"]), Replay::Safe).unwrap()), b"before", "MOVED");
    }
}

#[test]
fn sentinels_lead_to_the_master_and_to_the_next_one() {
    let mut group = RedisSentinel::start();
    let mut link = RedisLink::new(group.settings());
    link.run(&command(&["SET", "k", "v"]), Replay::Safe).unwrap();
    wait_until("the replica has it", || group.replica.ask(&["GET", "k"]) == Value::BulkString(b"v".to_vec()));

    group.master.kill();
    wait_until("the replica is master", || link.run(&command(&["SET", "k", "w"]), Replay::Safe).is_ok());
    assert_eq!(bulk(group.replica.ask(&["GET", "k"])), b"w");
}

#[test]
fn a_stopped_server_costs_one_time_out_however_long_the_batch() {
    let server = RedisServer::start();
    let mut link = RedisLink::new(server.settings().with_timeouts(Duration::from_millis(100)));
    link.run(&command(&["PING"]), Replay::Safe).unwrap();
    server.pause();
    let started = Instant::now();
    let gets: Vec<_> = (0..100).map(|n| command(&["GET", &n.to_string()])).collect();
    let fault = link.batch(&gets, Replay::Safe).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Timeout);
    assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
    server.resume();
}

#[test]
fn a_stopped_cluster_node_costs_one_time_out_too() {
    let cluster = RedisCluster::start();
    let mut link = RedisLink::new(cluster.settings().with_timeouts(Duration::from_millis(200)));
    let gets: Vec<_> = (0..100).map(|n| command(&["GET", &n.to_string()])).collect();
    link.batch(&gets, Replay::Safe).unwrap();
    cluster.nodes[1].pause();
    let started = Instant::now();
    assert_eq!(link.batch(&gets, Replay::Safe).unwrap_err().kind(), FaultKind::Timeout);
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    cluster.nodes[1].resume();
}

/// phpredis#1418: after a time-out the late reply was taken for the next command's.
#[test]
fn a_late_reply_is_never_taken_for_the_next_one() {
    let server = RedisServer::start();
    server.ask(&["MSET", "first", "1", "second", "2"]);
    let mut link = RedisLink::new(server.settings().with_timeouts(Duration::from_millis(100)));
    link.run(&command(&["GET", "first"]), Replay::Safe).unwrap();
    for _ in 0..20 {
        server.pause();
        link.run(&command(&["GET", "first"]), Replay::Safe).unwrap_err();
        server.resume();
        assert_eq!(bulk(link.run(&command(&["GET", "second"]), Replay::Safe).unwrap()), b"2");
    }
}

#[test]
fn a_restarted_server_is_reached_by_the_same_link() {
    let mut server = RedisServer::start();
    let mut link = RedisLink::new(server.settings());
    link.eval(&COUNT, &[b"sum"], &[b"5"], Replay::Safe).unwrap();
    server.restart();
    let sum = link.eval(&COUNT, &[b"sum"], &[b"5"], Replay::Safe).unwrap();
    assert_eq!(sum, Value::Int(5), "reconnected, and the script was sent again");
}

#[test]
fn what_must_not_run_twice_is_not_sent_again() {
    let mut server = RedisServer::start();
    let mut link = RedisLink::new(server.settings());
    link.run(&command(&["PING"]), Replay::Never).unwrap();
    server.restart();
    let fault = link.run(&command(&["INCR", "n"]), Replay::Never).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Down);
    assert_eq!(link.run(&command(&["INCR", "n"]), Replay::Never).unwrap(), Value::Int(1));
}

#[test]
fn an_error_of_one_command_leaves_the_others_and_the_connection() {
    let server = RedisServer::start();
    let mut link = RedisLink::new(server.settings());
    let batch = [command(&["SET", "k", "text"]), command(&["INCR", "k"]), command(&["GET", "k"])];
    let id = link.run(&command(&["CLIENT", "ID"]), Replay::Safe).unwrap();
    let replies = link.batch(&batch, Replay::Safe).unwrap();
    assert!(matches!(replies[1], Value::ServerError(_)));
    assert_eq!(replies[2], Value::BulkString(b"text".to_vec()));
    let fault = link.run(&command(&["INCR", "k"]), Replay::Safe).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Command);
    assert_eq!(link.run(&command(&["CLIENT", "ID"]), Replay::Safe).unwrap(), id, "same connection");
}

#[test]
fn a_child_never_uses_its_parents_connection() {
    let server = RedisServer::start();
    let mut link = RedisLink::new(server.settings());
    let ask_id = command(&["CLIENT", "ID"]);
    let id = link.run(&ask_id, Replay::Safe).unwrap();
    assert!(in_child(|| link.run(&ask_id, Replay::Safe).is_ok_and(|other| other != id)));
    assert_eq!(link.run(&ask_id, Replay::Safe).unwrap(), id, "and the child did not close it");
}

#[test]
fn nobody_home_is_told_at_once() {
    let nowhere = Address::Tcp { host: "127.0.0.1".to_owned(), port: common::free_port(), tls: false };
    let missing = Address::Unix("/nonexistent/redis.sock".into());
    for address in [nowhere, missing] {
        let started = Instant::now();
        let mut link = RedisLink::new(RedisSettings::at(address));
        assert_eq!(link.run(&command(&["PING"]), Replay::Safe).unwrap_err().kind(), FaultKind::Down);
        assert!(started.elapsed() < Duration::from_millis(100));
    }
}

/// `connect` on a unix socket has no time-out of its own.
#[test]
fn a_stopped_server_with_a_full_queue_does_not_hang() {
    let server = RedisServer::start_with(&["--tcp-backlog", "2"]);
    server.pause();
    let settings = server.settings_unix().with_timeouts(Duration::from_millis(50));
    let mut links: Vec<RedisLink> = (0..12).map(|_| RedisLink::new(settings.clone())).collect();
    let started = Instant::now();
    for link in &mut links {
        assert_eq!(link.run(&command(&["PING"]), Replay::Safe).unwrap_err().kind(), FaultKind::Timeout);
    }
    assert!(started.elapsed() < Duration::from_secs(3));
    server.resume();
}

#[test]
fn one_process_keeps_one_link_per_setting() {
    let server = RedisServer::start();
    let (one, two) = (shared(&server.settings()), shared(&server.settings()));
    assert!(std::sync::Arc::ptr_eq(&one, &two));
    assert!(!std::sync::Arc::ptr_eq(&one, &shared(&server.settings_unix())));
}

/// A server that answers every connection in its own way.
fn impostor(answer: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> RedisSettings {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(&answer));
    RedisSettings::at(Address::Tcp { host: "127.0.0.1".to_owned(), port, tls: false })
}

/// The system's time-out is for each read; a reply as a whole must not take longer either.
#[test]
fn a_server_that_answers_drop_by_drop_is_not_waited_for() {
    let dripping = impostor(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"$1000\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let limit = Duration::from_millis(200);
    let mut link = RedisLink::new(dripping.with_timeouts(limit));
    let (started, lateness) = (Instant::now(), Lateness::watch());
    let fault = link.run(&command(&["GET", "k"]), Replay::Safe).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Timeout);
    assert!(started.elapsed() >= limit);
    lateness.check(started.elapsed(), limit + Duration::from_millis(150));
}

#[test]
fn a_server_that_announces_more_than_it_sends_is_not_waited_for() {
    for lie in ["$536870912\r\nx", "*1000000000\r\n", "$9223372036854775807\r\n"] {
        let lying = impostor(move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(lie.as_bytes());
            std::thread::sleep(Duration::from_secs(5));
        });
        let limit = Duration::from_millis(200);
        let mut link = RedisLink::new(lying.with_timeouts(limit));
        let (started, lateness) = (Instant::now(), Lateness::watch());
        assert!(link.run(&command(&["GET", "k"]), Replay::Safe).is_err(), "{lie:?}");
        lateness.check(started.elapsed(), limit + Duration::from_millis(150));
    }
}

/// Without an end in sight nobody goes on reading, however fast it comes.
#[test]
fn a_reply_without_end_is_cut_off() {
    let flood = impostor(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"$536870000\r\n");
        let block = vec![b'x'; 1 << 20];
        while stream.write_all(&block).is_ok() {}
    });
    let mut link = RedisLink::new(flood.with_timeouts(Duration::from_secs(20)));
    assert!(link.run(&command(&["GET", "k"]), Replay::Safe).is_err());
}
