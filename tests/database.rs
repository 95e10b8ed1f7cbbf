//! The link to the site's database against real servers: every way in, the session it runs in, and
//! what happens when the server goes away or the process forks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::in_child;
use common::mariadb::{MariaDb, shared};
use mysql::prelude::Queryable;
use serde_json::{Value, json};
use slbp::ports::{Database, DatabaseFault, Detached};
use slbp::remote::database::{DatabaseLink, DatabaseSettings};

fn link(explicit: Value) -> DatabaseLink {
    DatabaseLink::new(DatabaseSettings::read(explicit, &Detached::default()).unwrap())
}

fn value(link: &DatabaseLink, sql: &str) -> String {
    link.query(sql).unwrap().remove(0).remove(0).unwrap()
}

#[test]
fn the_server_is_reached_by_socket_and_by_port() {
    let (server, database) = (shared(), shared().database());
    let port = server.port();
    for host in [
        format!("localhost:{}", database.socket.display()),
        format!("127.0.0.1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
    ] {
        let link = link(json!({"host": host, "user": "root", "name": database.name}));
        assert_eq!(value(&link, "SELECT DATABASE()"), database.name, "{host}");
    }
}

#[test]
fn tls_is_used_when_asked_for_and_the_certificate_is_checked() {
    let (server, files) = MariaDb::start_with_tls();
    let host = format!("127.0.0.1:{}", server.port());
    let cipher =
        "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER'";

    let trusted = link(json!({"host": host, "user": "root", "ssl_ca": files.path().join("ca.pem")}));
    assert!(value(&trusted, cipher).contains("AES"), "the session is encrypted");
    let blind = link(json!({"host": host, "user": "root", "flags": 2048 | 64}));
    assert!(!value(&blind, cipher).is_empty(), "MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT is obeyed");
    let public = link(json!({"host": host, "user": "root", "ssl": true}));
    let fault = public.query("SELECT 1").unwrap_err();
    assert!(fault.is_lost() && fault.message.contains("certificate"), "{fault}");
}

#[test]
fn the_session_does_not_depend_on_the_servers_defaults() {
    let server = MariaDb::start_with(&[
        "--default-time-zone=+05:00",
        "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
        "--character-set-server=latin1",
        "--transaction-isolation=SERIALIZABLE",
    ]);
    let link = DatabaseLink::new(server.database().settings());
    assert_eq!(value(&link, "SELECT @@tx_isolation"), "READ-COMMITTED");
    assert_eq!(value(&link, "SELECT @@time_zone"), "+00:00");
    assert_eq!(value(&link, "SELECT '\u{1F4B6}'"), "\u{1F4B6}", "four-byte characters survive");
    assert_eq!(value(&link, "SELECT 'a\\'b'"), "a'b", "a backslash escapes");
}

#[test]
fn counts_ids_and_faults_are_reported_as_the_server_means_them() {
    let link = DatabaseLink::new(shared().database().settings());
    link.execute("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n INT NULL)").unwrap();
    let inserted = link.execute("INSERT INTO t (n) VALUES (1), (2), (NULL)").unwrap();
    assert_eq!((inserted.affected, inserted.last_id), (3, 1));
    assert_eq!(link.execute("UPDATE t SET n = 1").unwrap().affected, 2, "only rows that changed");
    assert_eq!(
        link.query("SELECT id, n FROM t WHERE id = 3").unwrap(),
        vec![vec![Some("3".to_owned()), Some("1".to_owned())]]
    );
    let fault = link.query("SELECT * FROM missing").unwrap_err();
    assert_eq!(fault.code, 1146);
    assert!(!fault.is_lost() && !fault.is_conflict());
}

#[test]
fn a_killed_server_is_reported_and_found_again() {
    let mut server = MariaDb::start();
    let link = DatabaseLink::new(server.database().settings());
    link.execute("CREATE TABLE t (id INT PRIMARY KEY)").unwrap();
    server.kill();
    assert!(link.query("SELECT 1").unwrap_err().is_lost());
    assert!(link.query("SELECT 1").unwrap_err().is_lost(), "nobody listens");
    server.restart();
    assert_eq!(value(&link, "SELECT COUNT(*) FROM t"), "0", "the same link works again");
}

#[test]
fn an_idle_connection_that_the_server_closed_is_replaced_but_not_in_a_transaction() {
    let database = shared().database();
    let link = DatabaseLink::new(database.settings());
    let cut = |link: &DatabaseLink| {
        let id = value(link, "SELECT CONNECTION_ID()");
        database.connect().query_drop(format!("KILL {id}")).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
    };
    cut(&link);
    assert_eq!(value(&link, "SELECT 7"), "7");
    link.execute("CREATE TABLE t (id INT PRIMARY KEY)").unwrap();
    link.execute("START TRANSACTION").unwrap();
    link.execute("INSERT INTO t VALUES (1)").unwrap();
    cut(&link);
    assert!(
        link.execute("INSERT INTO t VALUES (2)").unwrap_err().is_lost(),
        "not half of it on a new connection"
    );
    assert_eq!(value(&link, "SELECT COUNT(*) FROM t"), "0");
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let server = MariaDb::start();
    let database = server.database();
    let link = link(json!({"socket": database.socket, "user": "root", "read_timeout": 0.3}));
    link.query("SELECT 1").unwrap();
    server.pause();
    let start = Instant::now();
    let fault = link.query("SELECT 1").unwrap_err();
    server.resume();
    assert_eq!(fault.code, DatabaseFault::NO_ANSWER);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(value(&link, "SELECT 7"), "7", "a late answer is not read as the next one");
}

#[test]
fn a_fork_opens_its_own_connection_and_leaves_the_parents_alone() {
    let database = shared().database();
    let link = DatabaseLink::new(database.settings());
    let ours = value(&link, "SELECT CONNECTION_ID()");
    assert!(in_child(|| {
        let theirs = value(&link, "SELECT CONNECTION_ID()");
        link.close();
        theirs != ours
    }));
    assert_eq!(value(&link, "SELECT CONNECTION_ID()"), ours);
    let alive: Option<u32> = database
        .connect()
        .query_first(format!("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {ours}"))
        .unwrap();
    assert_eq!(alive, Some(1));
}
