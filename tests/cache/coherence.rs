//! Two hosts on one store: what one writes, the other must not go on denying.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slbp::cache::facade::{Cache, Expiry};
use slbp::cache::keys::Key;
use slbp::cache::settings::{Backend, Settings};
use slbp::remote::settings::{Address, RedisSettings};

use crate::common::lateness::{Lateness, most};
use crate::common::redis::RedisServer;
use crate::common::wait_until;
use crate::world::{Layers, World, encoded, get, int, key, set};

/// How long after a write another host may still deny it.
const WITHIN: Duration = Duration::from_millis(50);

/// A link that was silent for so long is not believed.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long B still answers with anything but `wanted`.
fn stale_for(b: &Cache, key: Key<'_>, wanted: Option<i64>) -> Duration {
    let started = Instant::now();
    while get(b, key) != wanted.map(int) {
        // Whoever only spins is the first to be put aside on a busy machine.
        std::thread::sleep(Duration::from_micros(100));
        assert!(started.elapsed() < Duration::from_secs(20), "B never sees it");
    }
    started.elapsed()
}

#[test]
fn a_write_is_seen_on_the_other_host_within_50_ms() {
    for layers in [Layers::ShmRedisListening, Layers::ShmRedisClusterListening] {
        let world = World::new(layers);
        let (a, b) = (world.cache(), world.cache());
        let lateness = Lateness::watch();
        let mut times = Vec::new();
        for n in 0..200 {
            set(&a, key("k"), &int(n));
            times.push(stale_for(&b, key("k"), Some(n)));
            assert_eq!(get(&b, key("k")), Some(int(n)), "from B's own memory");
        }
        a.delete(key("k"));
        times.push(stale_for(&b, key("k"), None));
        for flush in
            [&|| a.flush(), &|| a.flush_group(b"posts"), &|| a.invalidate_tags(&[b"t"])] as [&dyn Fn(); 3]
        {
            a.set(key("k"), &encoded(&int(1)), Expiry::Default, &[b"t"]).unwrap();
            stale_for(&b, key("k"), Some(1));
            flush();
            times.push(stale_for(&b, key("k"), None));
        }
        lateness.check(most(times), WITHIN);
        assert!(b.stats().l1.hits > 20, "B did use its own memory: {:?}", b.stats());
    }
}

/// WP-CLI does not listen; it is obeyed, and it obeys.
#[test]
fn a_command_on_the_console_and_the_site_obey_one_another() {
    let listening = World::new(Layers::ShmRedisListening);
    let site = listening.cache();
    let mut host = listening.host(World::segment(), "console");
    host.may_listen = false;
    let console = Cache::open(host, listening.settings()).unwrap();
    for n in 0..20 {
        set(&console, key("k"), &int(n));
        stale_for(&site, key("k"), Some(n));
        set(&site, key("k"), &int(-n));
        assert_eq!(get(&console, key("k")), Some(int(-n)), "at once, for it asks Redis");
    }
    console.begin_request();
    site.flush();
    assert_eq!(get(&console, key("k")), None);
}

#[test]
fn with_memcached_the_next_request_sees_what_another_host_wrote() {
    for layers in [Layers::ShmMemcached, Layers::ShmMemcachedServers] {
        let world = World::new(layers);
        let (a, b) = (world.cache(), world.cache());
        for n in 0..50 {
            let name = format!("key:{}", n % 7);
            set(&a, key(&name), &int(n));
            b.begin_request();
            for _ in 0..3 {
                assert_eq!(get(&b, key(&name)), Some(int(n)), "at last from B's own memory");
            }
        }
        a.delete(key("key:0"));
        b.begin_request();
        assert_eq!(get(&b, key("key:0")), None);
        assert!(get(&b, key("key:1")).is_some());
        a.flush_group(b"posts");
        b.begin_request();
        assert_eq!(get(&b, key("key:1")), None);
        assert!(b.stats().l1.hits > 20, "B did use its own memory: {:?}", b.stats());
    }
}

/// A way to Redis that can be long, or cut without either end noticing.
struct Cable {
    port: u16,
    cut: Arc<AtomicBool>,
}

impl Cable {
    fn to(server: &RedisServer, latency: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicBool::new(false));
        let (target, is_cut) = (server.port(), Arc::clone(&cut));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (one, two) = (Arc::clone(&is_cut), Arc::clone(&is_cut));
                std::thread::spawn(move || carry(near, far, latency, &one));
                std::thread::spawn(move || carry(far_too, near_too, latency, &two));
            }
        });
        Self { port, cut }
    }

    fn address(&self) -> Address {
        Address::Tcp { host: "127.0.0.1".to_owned(), port: self.port, tls: false }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, latency: Duration, cut: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        std::thread::sleep(latency);
        while cut.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
}

#[test]
fn with_its_link_cut_a_host_is_stale_no_longer_than_the_heartbeat() {
    let world = World::new(Layers::ShmRedisListening);
    let redis = world.redis.as_ref().unwrap();
    let cable = Cable::to(redis, Duration::ZERO);
    let a = world.cache();
    let settings = Settings {
        backend: Backend::Redis(RedisSettings::at(cable.address()).with_timeouts(Duration::from_millis(200))),
        ..world.settings()
    };
    let b = Cache::open(world.host(World::segment(), "b"), settings).unwrap();
    b.begin_request();
    wait_until("B listens", || b.stats().linked);

    set(&a, key("k"), &int(1));
    stale_for(&b, key("k"), Some(1));
    get(&b, key("k"));
    let lateness = Lateness::watch();
    cable.cut.store(true, Ordering::SeqCst);
    set(&a, key("k"), &int(2));
    let written = Instant::now();
    let mut last_stale = Duration::ZERO;
    while written.elapsed() < Duration::from_secs(3) {
        match get(&b, key("k")) {
            Some(value) if value == int(1) => last_stale = written.elapsed(),
            other => assert_eq!(other, None, "B cannot know better"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    lateness.check(last_stale, HEARTBEAT + Duration::from_millis(300));

    cable.cut.store(false, Ordering::SeqCst);
    wait_until("B is back", || {
        b.begin_request();
        get(&b, key("k")) == Some(int(2))
    });
    lateness.check(written.elapsed(), Duration::from_secs(3 + 5));
}

#[test]
fn a_store_far_away_is_slow_and_nothing_else() {
    let world = World::new(Layers::ShmRedisListening);
    let latency = Duration::from_millis(20);
    let cable = Cable::to(world.redis.as_ref().unwrap(), latency);
    let far = RedisSettings::at(cable.address()).with_timeouts(Duration::from_secs(10));
    let settings = Settings { backend: Backend::Redis(far), ..world.settings() };
    let (a, b) = (world.cache(), Cache::open(world.host(World::segment(), "b"), settings).unwrap());
    b.begin_request();
    wait_until("B listens", || b.stats().linked);
    let lateness = Lateness::watch();
    let mut times = Vec::new();
    for n in 0..20 {
        set(&a, key("k"), &int(n));
        times.push(stale_for(&b, key("k"), Some(n)));
        set(&b, key("k"), &int(-n));
        assert_eq!(get(&b, key("k")), Some(int(-n)));
        stale_for(&a, key("k"), Some(-n));
    }
    // The invalidation goes one way, and B's question both.
    lateness.check(most(times), WITHIN + 3 * latency);
    let names: Vec<String> = (0..50).map(|n| format!("key:{n}")).collect();
    let keys: Vec<Key<'_>> = names.iter().map(|name| key(name)).collect();
    let started = Instant::now();
    b.get_many(&keys);
    lateness.check(started.elapsed(), WITHIN + 2 * latency);
    assert_eq!(b.stats().breaker, Some("closed"));
}

/// The worker that listens is gone: another one takes over.
#[test]
fn when_redis_drops_the_listener_shared_memory_is_passed_over_until_it_is_back() {
    let world = World::new(Layers::ShmRedisListening);
    let (a, b) = (world.cache(), world.cache());
    let lateness = Lateness::watch();
    let mut times = Vec::new();
    for n in 0..5 {
        set(&a, key("k"), &int(n));
        stale_for(&b, key("k"), Some(n));
        world.redis.as_ref().unwrap().ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        set(&a, key("k"), &int(n + 100));
        times.push(stale_for(&b, key("k"), Some(n + 100)));
        wait_until("B listens again", || b.stats().linked);
    }
    times.sort_unstable();
    lateness.check(times[2], WITHIN);
}

/// A reader that fetched the old value must not put it into shared memory after the invalidation.
#[test]
fn readers_that_race_with_writers_leave_nothing_stale_behind() {
    let world = World::new(Layers::ShmRedisListening);
    let segment = World::segment();
    let a = world.cache();
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let lateness = Lateness::watch();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let b = world.cache_on(segment);
                while !stop.load(Ordering::SeqCst) && started.elapsed() < Duration::from_secs(20) {
                    get(&b, key("k"));
                }
            });
        }
        let b = world.cache_on(segment);
        let times = (0..300).map(|n| {
            set(&a, key("k"), &int(n));
            stale_for(&b, key("k"), Some(n))
        });
        let times = times.collect();
        stop.store(true, Ordering::SeqCst);
        lateness.check(most(times), WITHIN);
    });
}
