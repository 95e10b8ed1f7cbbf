//! The second layer fails in every way it can, and comes back.

use std::time::{Duration, Instant};

use slbp::cache::facade::{Cache, Expiry};
use slbp::cache::keys::Key;
use slbp::cache::settings::{Backend, Settings};
use slbp::cache::value::Value;
use slbp::shm::Counter;

use crate::common::lateness::Lateness;
use crate::common::memcached::MemcachedServer;
use crate::common::wait_until;
use crate::world::{Layers, World, encoded, get, int, key, set};

/// After an outage the layer is to be in use again within this time.
const BACK_WITHIN: Duration = Duration::from_secs(5);

const WITH_A_STORE: [Layers; 3] = [Layers::ShmRedis, Layers::ShmRedisListening, Layers::ShmMemcached];

fn pause(world: &World) {
    world.redis.iter().for_each(|redis| redis.pause());
    world.memcached.iter().for_each(MemcachedServer::pause);
}

fn resume(world: &World) {
    world.redis.iter().for_each(|redis| redis.resume());
    world.memcached.iter().for_each(MemcachedServer::resume);
}

fn kill(world: &mut World) {
    world.redis.iter_mut().for_each(|redis| redis.kill());
    world.memcached.iter_mut().for_each(MemcachedServer::kill);
}

fn restart(world: &mut World) {
    world.redis.iter_mut().for_each(|redis| redis.restart());
    world.memcached.iter_mut().for_each(MemcachedServer::restart);
}

/// Waits until the store is in use again, and sees a value go from one host to another.
fn wait_until_back(world: &World, cache: &Cache) {
    let (began, lateness) = (Instant::now(), Lateness::watch());
    wait_until("the store is in use again", || {
        cache.begin_request();
        get(cache, key("probe"));
        cache.stats().breaker == Some("closed")
    });
    let other = world.cache();
    wait_until("values go from one host to another", || {
        cache.begin_request();
        other.begin_request();
        set(cache, key("probe"), &int(1)) && get(&other, key("probe")).is_some()
    });
    lateness.check(began.elapsed(), BACK_WITHIN);
    wait_until("what it missed is made up for", || {
        cache.begin_request();
        set(cache, key("probe"), &int(1)) && get(cache, key("probe")).is_some()
    });
}

#[test]
fn a_dead_store_costs_next_to_nothing_once_the_breaker_is_open() {
    for layers in WITH_A_STORE {
        let mut world = World::hasty(layers);
        let segment = World::segment();
        let cache = world.cache_on(segment);
        set(&cache, key("k"), &int(1));
        kill(&mut world);
        for _ in 0..5 {
            cache.begin_request();
            get(&cache, key("k"));
        }
        assert_eq!(cache.stats().breaker, Some("open"));
        let (started, lateness) = (Instant::now(), Lateness::watch());
        for n in 0..200 {
            cache.begin_request();
            assert_eq!(get(&cache, key(&format!("cold:{n}"))), None);
        }
        lateness.check(started.elapsed(), Duration::from_millis(200));
        restart(&mut world);
        wait_until_back(&world, &cache);
        let counters = segment.counters();
        assert!(counters.get(Counter::BreakerOpened) > 0 && counters.get(Counter::BreakerClosed) > 0);
    }
}

#[test]
fn a_host_on_its_own_still_caches_for_a_moment() {
    for layers in WITH_A_STORE {
        let mut world = World::hasty(layers);
        let cache = world.cache();
        kill(&mut world);
        wait_until("it knows that it is on its own", || {
            get(&cache, key("probe"));
            !cache.stats().linked
        });
        get(&cache, key("probe"));
        let add = |name: &str, n| cache.add(key(name), &encoded(&int(n)), Expiry::Default, &[]).unwrap();
        // What it stores lives for a second: a starved machine has another try.
        for attempt in 0.. {
            let (old, new) = (format!("old {attempt}"), format!("new {attempt}"));
            let started = Instant::now();
            let stored = (set(&cache, key(&old), &int(1)), get(&cache, key(&old)));
            let added = (add(&new, 5), add(&new, 6), cache.increment(key(&new), 2));
            let deleted = (cache.delete(key(&old)), get(&cache, key(&old)));
            let took = started.elapsed();
            let all = (stored, added, deleted);
            if all == ((true, Some(int(1))), (true, false, Some(7)), (true, None)) {
                break;
            }
            assert!(took > Duration::from_millis(900) && attempt < 20, "{layers:?}: {all:?} after {took:?}");
        }
        set(&cache, key("k"), &int(2));
        std::thread::sleep(Duration::from_millis(1050));
        assert_eq!(get(&cache, key("k")), None, "others may have changed it meanwhile");
    }
}

/// redis-cache#386: what was deleted during the outage came back after it.
#[test]
fn nothing_that_was_changed_during_an_outage_comes_back_after_it() {
    for layers in WITH_A_STORE {
        let world = World::hasty(layers);
        let cache = world.cache();
        let other_host = world.cache();
        let in_group = Key::new(b"group", b"k");
        for key in ["deleted", "changed", "counted", "kept"].map(key).into_iter().chain([in_group]) {
            wait_until("it is stored", || set(&cache, key, &int(1)) && get(&other_host, key).is_some());
        }
        pause(&world);
        cache.delete(key("deleted"));
        set(&cache, key("changed"), &int(2));
        cache.increment(key("counted"), 1);
        cache.flush_group(b"group");
        resume(&world);
        wait_until_back(&world, &cache);
        for host in [&cache, &other_host] {
            // Nothing else was lost.
            wait_until("what was not touched is there", || {
                host.begin_request();
                get(host, key("kept")) == Some(int(1))
            });
            assert_eq!(get(host, key("deleted")), None);
            assert_ne!(get(host, key("changed")), Some(int(1)));
            assert_ne!(get(host, key("counted")), Some(int(1)));
            assert_eq!(get(host, in_group), None);
        }
        assert!(cache.stats().counts.iter().any(|(name, count)| *name == "cache_replayed" && *count > 0));
    }
}

#[test]
fn more_changes_than_can_be_remembered_flush_the_site() {
    for layers in WITH_A_STORE {
        let world = World::hasty(layers);
        let cache = world.cache();
        for n in 0..400 {
            set(&cache, key(&format!("key:{n}")), &int(n));
        }
        pause(&world);
        for n in 0..400 {
            cache.delete(key(&format!("key:{n}")));
        }
        resume(&world);
        wait_until_back(&world, &cache);
        for n in 0..400 {
            assert_eq!(get(&cache, key(&format!("key:{n}"))), None);
        }
    }
}

#[test]
fn a_store_that_comes_back_empty_empties_shared_memory_too() {
    for layers in [Layers::ShmRedisListening, Layers::ShmMemcached] {
        let mut world = World::new(layers);
        let cache = world.cache();
        set(&cache, key("k"), &int(1));
        get(&cache, key("k"));
        assert_eq!(get(&cache, key("k")), Some(int(1)));
        restart(&mut world);
        wait_until("it is noticed", || {
            cache.begin_request();
            get(&cache, key("k")).is_none()
        });
        wait_until_back(&world, &cache);
    }
}

#[test]
fn a_slow_store_is_waited_for_within_its_limit() {
    for layers in WITH_A_STORE {
        let world = World::hasty(layers);
        let cache = world.cache();
        set(&cache, key("k"), &int(1));
        pause(&world);
        for _ in 0..4 {
            cache.begin_request();
            let (started, lateness) = (Instant::now(), Lateness::watch());
            get(&cache, key("other"));
            lateness.check(started.elapsed(), Duration::from_millis(900));
        }
        resume(&world);
        wait_until_back(&world, &cache);
    }
}

/// The link still tells of every change, so nothing here is out of date.
#[test]
fn one_slow_answer_leaves_shared_memory_as_it_is() {
    let world = World::hasty(Layers::ShmRedisListening);
    let redis = world.redis.as_ref().unwrap();
    let cache = world.cache();
    let names: Vec<String> = (0..20).map(|n| format!("key:{n}")).collect();
    let all_are_here = || {
        let before = cache.stats().l1.hits;
        names.iter().all(|name| get(&cache, key(name)) == Some(int(1)))
            && cache.stats().l1.hits - before == 20
    };
    // On a starved machine the link may fall silent too.
    for _ in 0..20 {
        wait_until("all are in shared memory", || {
            names
                .iter()
                .for_each(|name| _ = get(&cache, key(name)).is_some() || set(&cache, key(name), &int(1)));
            all_are_here()
        });
        let lost = World::count(&cache, "cache_links_lost");
        redis.pause();
        assert_eq!(get(&cache, key("cold")), None);
        redis.resume();
        let here = all_are_here();
        if cache.stats().linked && World::count(&cache, "cache_links_lost") == lost {
            assert!(here, "{:?}", cache.stats());
            return;
        }
    }
    panic!("the link is lost every time");
}

#[test]
fn a_full_redis_refuses_and_keeps_no_old_value() {
    let world = World::new(Layers::ShmRedisListening);
    let redis = world.redis.as_ref().unwrap();
    let cache = world.cache();
    set(&cache, key("k"), &int(1));
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(!set(&cache, key("k"), &int(2)));
    assert_eq!(get(&cache, key("k")), None);
    assert_eq!(cache.stats().breaker, Some("closed"), "it is full, not gone");
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(set(&cache, key("k"), &int(3)));
    assert_eq!(get(&cache, key("k")), Some(int(3)));
}

#[test]
fn a_full_memcached_refuses_and_keeps_no_old_value() {
    let mut world = World::new(Layers::ShmMemcached);
    world.memcached = vec![MemcachedServer::start_with(&["-M", "-m", "8"])];
    let cache = world.cache();
    let mut random = 1u64;
    let mut noise = || {
        let bytes = (0..500_000).map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 56) as u8
        });
        Value::Bytes(bytes.collect())
    };
    let full = (0..100).find(|n| !set(&cache, key(&n.to_string()), &noise()));
    let full = full.expect("8 MB take no 50 MB").to_string();
    assert_eq!(get(&cache, key(&full)), None);
    assert!(!set(&cache, key("0"), &noise()), "it is as full as before");
    assert_eq!(get(&cache, key("0")), None, "not the old value");
    assert_eq!(cache.stats().breaker, Some("closed"), "it is full, not gone");
    for n in 0..100 {
        cache.delete(key(&n.to_string()));
    }
    assert!(set(&cache, key("0"), &int(3)));
    assert_eq!(get(&cache, key("0")), Some(int(3)));
}

/// The master dies, and a replica takes its place.
#[test]
fn after_a_failover_the_new_master_is_used() {
    let mut world = World::hasty(Layers::ShmRedisSentinelListening);
    let (a, b) = (world.cache(), world.cache());
    wait_until("it is seen on the other host", || set(&a, key("k"), &int(1)) && get(&b, key("k")).is_some());
    world.sentinel.as_mut().unwrap().master.kill();
    wait_until("values go by way of the new master", || {
        a.begin_request();
        b.begin_request();
        a.stats().linked && set(&a, key("k"), &int(2)) && get(&b, key("k")) == Some(int(2))
    });
    a.delete(key("k"));
    wait_until("and invalidations too", || get(&b, key("k")).is_none());
}

#[test]
fn one_dead_memcached_of_three_costs_only_its_own_keys() {
    let mut world = World::new(Layers::ShmMemcachedServers);
    let cache = world.cache();
    let names: Vec<String> = (0..90).map(|n| format!("key:{n}")).collect();
    for name in &names {
        set(&cache, key(name), &int(1));
    }
    world.memcached[0].kill();
    cache.begin_request();
    let other = world.cache();
    let found = names.iter().filter(|name| get(&other, key(name)).is_some()).count();
    assert!((40..85).contains(&found), "{found} of 90 are left");
    world.memcached[0].restart();
    wait_until("all servers are in use again", || {
        other.begin_request();
        names.iter().all(|name| set(&other, key(name), &int(2)) && get(&other, key(name)) == Some(int(2)))
    });
}

/// What a server did not hear of while it was away is told it before it is believed again.
#[test]
fn what_one_of_three_memcached_missed_is_made_up_for() {
    let world = World::hasty(Layers::ShmMemcachedServers);
    let (cache, other) = (world.cache(), world.cache());
    let names: Vec<String> = (0..60).map(|n| format!("key:{n}")).collect();
    for name in &names {
        wait_until("it is stored", || set(&cache, key(name), &int(1)) && get(&other, key(name)).is_some());
    }
    world.memcached[1].pause();
    for name in &names {
        cache.delete(key(name));
    }
    world.memcached[1].resume();
    wait_until("the server is in use again and has been told", || {
        cache.begin_request();
        for name in &names {
            assert_eq!(get(&cache, key(name)), None);
        }
        let stats = cache.stats();
        let replayed = stats.counts.iter().any(|(name, count)| *name == "cache_replayed" && *count > 0);
        stats.breaker == Some("closed") && replayed
    });
    wait_until("the other host uses it again", || {
        other.begin_request();
        names.iter().for_each(|name| assert_eq!(get(&other, key(name)), None));
        other.stats().breaker == Some("closed")
    });
}

#[test]
fn values_with_objects_stay_here_when_nobody_can_sign_them() {
    let world = World::new(Layers::ShmRedisListening);
    let segment = World::segment();
    let mut host = world.host(segment, "unsigned");
    host.secret = None;
    let cache = Cache::open(host, world.settings()).unwrap();
    cache.begin_request();
    wait_until("it listens", || cache.stats().linked);
    let object = Value::Object { class: b"A".to_vec(), properties: vec![] };
    wait_until("it is served from here, where the link is alive", || {
        set(&cache, key("k"), &object) && get(&cache, key("k")).as_ref() == Some(&object)
    });
    assert_eq!(world.redis.as_ref().unwrap().ask(&["EXISTS", "site:posts:k"]), redis::Value::Int(0));
    let plain = Value::list([int(1)]);
    assert!(set(&cache, key("k"), &plain));
    assert_eq!(get(&cache, key("k")), Some(plain));
    let unsigned = cache.stats().counts.iter().find(|(name, _)| *name == "cache_unsigned").unwrap().1;
    assert!(unsigned >= 1);
}

#[test]
fn foreign_and_forged_entries_are_misses_and_forged_ones_are_counted() {
    let world = World::new(Layers::ShmRedis);
    let redis = world.redis.as_ref().unwrap();
    let cache = world.cache();
    let object = Value::Object { class: b"A".to_vec(), properties: vec![] };
    set(&cache, key("mine"), &object);
    let forger = Settings { backend: Backend::Redis(redis.settings_unix()), ..world.settings() };
    let mut host = world.host(World::segment(), "forger");
    host.secret = Some(b"other salts".to_vec());
    let forger = Cache::open(host, forger).unwrap();
    set(&forger, key("forged"), &object);
    redis.ask(&["COPY", "site:posts:mine", "site:posts:moved"]);
    redis.ask(&["SET", "site:posts:foreign", "a:1:{i:0;i:1;}"]);
    redis.ask(&["LPUSH", "site:posts:list", "x"]);
    assert_eq!(get(&cache, key("mine")), Some(object));
    for name in ["forged", "moved", "foreign", "list"] {
        assert_eq!(get(&cache, key(name)), None, "{name}");
    }
    let count = |wanted| cache.stats().counts.iter().find(|(name, _)| *name == wanted).unwrap().1;
    assert_eq!((count("cache_forged"), count("cache_refused")), (2, 1));
    assert!(set(&cache, key("list"), &int(1)), "and they can be written over");
    assert_eq!(get(&cache, key("list")), Some(int(1)));
}
