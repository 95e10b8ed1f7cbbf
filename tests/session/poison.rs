//! What somebody else wrote into the store.

use slbp::session::facade::Saved;
use slbp::session::settings::Mode;

use crate::world::{Kept, Server, World, ask, is_missing, look, opened, put, sessions_of, strictly};

fn key(server: &crate::common::redis::RedisServer) -> String {
    let reply = server.ask(&["KEYS", "*"]);
    let redis::Value::Array(keys) = reply else { panic!("{reply:?}") };
    String::from_utf8(crate::common::redis::bulk(keys.into_iter().next().unwrap())).unwrap()
}

#[test]
fn redis_sees_neither_the_id_nor_takes_what_others_write() {
    let world = World::new(Kept::Redis);
    let Server::Redis(server) = &world.server else { panic!() };
    let sessions = world.sessions();
    put(&sessions, b"an-id-that-nobody-may-read", b"user|i:1;");
    let key = key(server);
    assert!(!key.contains("an-id") && key.len() == 42, "{key}");

    // Data that is not signed, signed for another version, or no data at all.
    let good = crate::common::redis::bulk(server.ask(&["HGET", &key, "d"]));
    assert!(good.windows(4).any(|part| part == b"user"));
    for forged in ["Quser|O:4:\"Evil\":0:{}", "R0123456789abcdefuser|i:1;", "", "junk"] {
        server.ask(&["HSET", &key, "d", forged]);
        assert!(is_missing(&sessions, b"an-id-that-nobody-may-read", &strictly(Mode::Locked)), "{forged}");
        let (mut session, data) = opened(&sessions, b"an-id-that-nobody-may-read", &ask(Mode::Locked));
        assert!(data.is_empty() && session.is_forged);
        sessions.leave(&mut session, false).unwrap();
    }
    // It is written over.
    put(&sessions, b"an-id-that-nobody-may-read", b"anew");
    assert_eq!(look(&sessions, b"an-id-that-nobody-may-read"), b"anew");

    for (wrong, arguments) in [("a string", vec!["SET", &key, "x"]), ("a list", vec!["RPUSH", &key, "x"])] {
        server.ask(&["DEL", &key]);
        server.ask(&arguments);
        assert!(sessions.open(b"an-id-that-nobody-may-read", &ask(Mode::Locked)).is_err(), "{wrong}");
    }
    server.ask(&["DEL", &key]);
    server.ask(&["HSET", &key, "v", "many", "l", "soon", "t", "me", "d", "x"]);
    assert!(sessions.open(b"an-id-that-nobody-may-read", &ask(Mode::Locked)).is_err());
    // The store still works for others.
    put(&sessions, b"another", b"1");
    assert_eq!(look(&sessions, b"another"), b"1");
}

#[test]
fn without_a_secret_sessions_work_unsigned() {
    let world = World::new(Kept::Redis);
    let sessions = sessions_of(vec![world.store()], None, b"");
    put(&sessions, b"id", b"1");
    let (mut session, data) = opened(&sessions, b"id", &strictly(Mode::Optimistic));
    assert_eq!(data, b"1");
    assert_eq!(sessions.save(&mut session, b"2").unwrap(), Saved::Yes);
}
