//! Hosts with sessions, and the servers that they share.

use std::sync::Arc;
use std::time::Duration;

use slbp::clock::SystemClock;
use slbp::remote::database::{DatabaseLink, DatabaseSettings};
use slbp::remote::settings::RedisSettings;
use slbp::session::facade::{Ask, Host, Saved, Session, Sessions};
use slbp::session::settings::{Mode, Settings};
use slbp::session::store::Store;
use slbp::session::store::cells::CellStore;
use slbp::session::store::database::DatabaseCells;
use slbp::session::store::guarded::Guarded;
use slbp::session::store::memcached::MemcachedCells;
use slbp::session::store::redis::RedisStore;
use slbp::session::store::shm::ShmCells;
use slbp::shm::{Plan, Segment};

use crate::common::mariadb::{self, Database};
use crate::common::memcached::MemcachedServer;
use crate::common::redis::{RedisCluster, RedisServer};

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Shm,
    Redis,
    RedisCluster,
    Memcached,
    Database,
}

/// The server of one store.
pub enum Server {
    None,
    Redis(RedisServer),
    Cluster(RedisCluster),
    Memcached(MemcachedServer),
    Database(Database),
}

/// A store with its server.
pub struct World {
    pub server: Server,
    pub segment: &'static Segment,
}

pub fn segment() -> &'static Segment {
    let plan = Plan { sessions: 4 << 20, session_locks: 2, ..Plan::smallest() };
    Box::leak(Box::new(Segment::anonymous(&plan).unwrap()))
}

impl World {
    pub fn new(kept: Kept) -> Self {
        let server = match kept {
            Kept::Shm => Server::None,
            Kept::Redis => Server::Redis(RedisServer::start()),
            Kept::RedisCluster => Server::Cluster(RedisCluster::start()),
            Kept::Memcached => Server::Memcached(MemcachedServer::start()),
            Kept::Database => Server::Database(mariadb::shared().database()),
        };
        Self { server, segment: segment() }
    }

    /// The store, as another worker of the same host opens it.
    pub fn store(&self) -> Box<dyn Store> {
        let clock = Arc::new(SystemClock);
        let redis = |settings: RedisSettings| {
            let settings = RedisSettings { prefix: "s:".to_owned(), ..settings };
            Box::new(Guarded::new(RedisStore::new(&settings), self.segment, Arc::new(SystemClock)).unwrap())
        };
        match &self.server {
            Server::None => Box::new(CellStore(ShmCells::new(self.segment, clock).unwrap())),
            Server::Redis(server) => redis(server.settings()),
            Server::Cluster(cluster) => redis(cluster.settings()),
            Server::Memcached(server) => {
                let settings = MemcachedServer::settings(&[server]);
                Box::new(CellStore(MemcachedCells::new(&settings, self.segment, clock).unwrap()))
            }
            Server::Database(database) => database_store(database.settings(), self.segment),
        }
    }

    pub fn sessions(&self) -> Sessions {
        sessions(vec![self.store()])
    }
}

pub fn database_store(settings: DatabaseSettings, segment: &'static Segment) -> Box<dyn Store> {
    let settings = DatabaseSettings { read_timeout: Duration::from_secs(2), ..settings };
    let cells = DatabaseCells::new(DatabaseLink::new(settings), "wp_slbp_sessions");
    Box::new(Guarded::new(CellStore(cells), segment, Arc::new(SystemClock)).unwrap())
}

pub fn sessions(stores: Vec<Box<dyn Store>>) -> Sessions {
    sessions_of(stores, Some(b"secret"), b"site")
}

pub fn sessions_of(stores: Vec<Box<dyn Store>>, secret: Option<&[u8]>, realm: &[u8]) -> Sessions {
    let host = Host {
        clock: Arc::new(SystemClock),
        sleep: std::thread::sleep,
        secret: secret.map(<[u8]>::to_vec),
        realm: realm.to_vec(),
    };
    Sessions::new(host, stores)
}

/// A session of a minute, whose lock nobody waits for.
pub fn ask(mode: Mode) -> Ask {
    let settings = Settings { mode, lock_wait: Duration::ZERO, ..Settings::default() };
    Ask { settings, create: true, lifetime: Duration::from_secs(60) }
}

/// The same for an id that must be known.
pub fn strictly(mode: Mode) -> Ask {
    Ask { create: false, ..ask(mode) }
}

pub fn patiently(mode: Mode) -> Ask {
    let settings = Settings { mode, ..Settings::default() };
    Ask { settings, ..ask(mode) }
}

pub fn opened(sessions: &Sessions, id: &[u8], ask: &Ask) -> (Session, Vec<u8>) {
    let mut session = sessions.open(id, ask).unwrap().expect("there is no session");
    let data = sessions.take_data(&mut session);
    (session, data)
}

pub fn is_missing(sessions: &Sessions, id: &[u8], ask: &Ask) -> bool {
    sessions.open(id, ask).unwrap().is_none()
}

/// Puts `data` into the session with `id`.
pub fn put(sessions: &Sessions, id: &[u8], data: &[u8]) {
    let (mut session, _) = opened(sessions, id, &patiently(Mode::Locked));
    assert_eq!(sessions.save(&mut session, data).unwrap(), Saved::Yes);
}

/// What is in it.
pub fn look(sessions: &Sessions, id: &[u8]) -> Vec<u8> {
    opened(sessions, id, &ask(Mode::ReadOnly)).1
}
