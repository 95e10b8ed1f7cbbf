//! Hosts with a cache each, and the servers that they share.

use std::sync::Arc;
use std::time::Duration;

use slbp::cache::codec::{Encoded, Objects, decode, encode};
use slbp::cache::facade::{Cache, Expiry, Host};
use slbp::cache::keys::Key;
use slbp::cache::settings::{Backend, Settings};
use slbp::cache::value::{Tree, Value};
use slbp::clock::{Clock, SystemClock};
use slbp::remote::settings::{MemcachedSettings, RedisSettings};
use slbp::shm::{Plan, Segment};

use crate::common::memcached::MemcachedServer;
use crate::common::redis::{RedisCluster, RedisSentinel, RedisServer};
use crate::common::wait_until;

/// The layers of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    Shm,
    /// Redis, and nobody listens to it: as in a command on the console.
    ShmRedis,
    ShmRedisListening,
    ShmRedisCluster,
    ShmRedisClusterListening,
    ShmMemcached,
    /// Three servers, one of them on a unix socket.
    ShmMemcachedServers,
    ShmRedisTls,
    ShmRedisSentinelListening,
}

impl Layers {
    pub fn has_redis(self) -> bool {
        matches!(self, Self::ShmRedis | Self::ShmRedisListening)
    }

    pub fn has_cluster(self) -> bool {
        matches!(self, Self::ShmRedisCluster | Self::ShmRedisClusterListening)
    }

    pub fn listens(self) -> bool {
        matches!(
            self,
            Self::ShmRedisListening | Self::ShmRedisClusterListening | Self::ShmRedisSentinelListening
        )
    }
}

/// The servers of one test.
pub struct World {
    pub layers: Layers,
    pub redis: Option<RedisServer>,
    pub memcached: Vec<MemcachedServer>,
    cluster: Option<RedisCluster>,
    pub sentinel: Option<RedisSentinel>,
    tls: Option<(RedisServer, RedisSettings)>,
    pub clock: Arc<dyn Clock>,
    /// What the site's keys begin with.
    pub prefix: String,
    /// How long a connection and an answer may take.
    limits: (Duration, Duration),
}

impl World {
    /// Servers that are waited for, however starved the machine is: what is tested is not time.
    pub fn new(layers: Layers) -> Self {
        Self::with_limits(layers, Duration::from_secs(10), Duration::from_secs(10))
    }

    /// Servers that are given up on as soon as by default: what is tested is an outage.
    pub fn hasty(layers: Layers) -> Self {
        Self::with_limits(layers, Duration::from_millis(200), Duration::from_millis(500))
    }

    fn with_limits(layers: Layers, timeout: Duration, read_timeout: Duration) -> Self {
        let redis = layers.has_redis().then(RedisServer::start);
        let cluster = layers.has_cluster().then(RedisCluster::start);
        let memcached = match layers {
            Layers::ShmMemcached => vec![MemcachedServer::start()],
            Layers::ShmMemcachedServers => {
                vec![MemcachedServer::start(), MemcachedServer::start(), MemcachedServer::start_on_socket()]
            }
            _ => Vec::new(),
        };
        let (clock, prefix) = (Arc::new(SystemClock), "site".to_owned());
        let sentinel = (layers == Layers::ShmRedisSentinelListening).then(RedisSentinel::start);
        let tls = (layers == Layers::ShmRedisTls).then(RedisServer::start_with_tls);
        let limits = (timeout, read_timeout);
        Self { layers, redis, memcached, cluster, sentinel, tls, clock, prefix, limits }
    }

    pub fn settings(&self) -> Settings {
        let (timeout, read_timeout) = self.limits;
        let redis = |settings| Backend::Redis(RedisSettings { timeout, read_timeout, ..settings });
        let named = (self.redis.as_ref().map(RedisServer::settings_unix))
            .or_else(|| self.cluster.as_ref().map(RedisCluster::settings))
            .or_else(|| self.sentinel.as_ref().map(RedisSentinel::settings))
            .or_else(|| self.tls.as_ref().map(|(_, settings)| settings.clone()));
        let backend = match named {
            Some(settings) => redis(settings),
            None if !self.memcached.is_empty() => {
                let servers: Vec<&MemcachedServer> = self.memcached.iter().collect();
                let settings = MemcachedServer::settings(&servers);
                Backend::Memcached(MemcachedSettings { timeout, read_timeout, ..settings })
            }
            None => Backend::Shm,
        };
        Settings {
            backend,
            expiration: Some(Duration::from_secs(3600)),
            prefix: self.prefix.clone(),
            max_value_size: 1 << 20,
            compress_from: 1024,
            site_share: 1.0,
            jitter: 0.0,
        }
    }

    /// A segment that lives as long as the test binary.
    pub fn segment() -> &'static Segment {
        let plan = Plan { cache: 8 << 20, cache_locks: 32, ..Plan::smallest() };
        Box::leak(Box::new(Segment::anonymous(&plan).unwrap()))
    }

    /// Sites of different hosts have different names here, because their threads live in one process.
    pub fn host(&self, segment: &'static Segment, site: &str) -> Host {
        Host {
            segment,
            clock: Arc::clone(&self.clock),
            site: format!("{site} {segment:p}").into_bytes(),
            may_listen: self.layers.listens(),
            secret: Some(b"the eight salts".to_vec()),
        }
    }

    /// Whether hosts see one another at all.
    pub fn shares_a_store(&self) -> bool {
        self.layers != Layers::Shm
    }

    /// The count called `name`.
    pub fn count(cache: &Cache, name: &str) -> u64 {
        cache.stats().counts.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Two caches that see what the other does: on two hosts if they share a store, else on one.
    pub fn pair(&self) -> (Cache, Cache) {
        let (one, other) = self.hosts();
        (self.cache_on(one), self.cache_on(other))
    }

    /// The segments of two hosts, or twice that of one.
    pub fn hosts(&self) -> (&'static Segment, &'static Segment) {
        let one = Self::segment();
        (one, if self.shares_a_store() { Self::segment() } else { one })
    }

    /// A cache on a host of its own.
    pub fn cache(&self) -> Cache {
        self.cache_on(Self::segment())
    }

    pub fn cache_on(&self, segment: &'static Segment) -> Cache {
        let cache = Cache::open(self.host(segment, "site"), self.settings()).unwrap();
        cache.begin_request();
        wait_until("the host listens", || !self.layers.listens() || cache.stats().linked);
        cache
    }
}

pub fn encoded(value: &Value) -> Encoded {
    encode(value, 64 << 20).unwrap()
}

pub fn key(name: &str) -> Key<'_> {
    Key::new(b"posts", name.as_bytes())
}

pub fn decoded(bytes: &[u8]) -> Value {
    decode(bytes, Objects::Allowed, &mut Tree).unwrap()
}

pub fn get(cache: &Cache, key: Key<'_>) -> Option<Value> {
    let mut out = Vec::new();
    let found = cache.get(key, &mut out)?;
    Some(decoded(&out[..found.len]))
}

pub fn set(cache: &Cache, key: Key<'_>, value: &Value) -> bool {
    cache.set(key, &encoded(value), Expiry::Default, &[]).unwrap()
}

pub fn int(value: i64) -> Value {
    Value::Int(value)
}
