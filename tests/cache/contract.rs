//! What every combination of layers must do alike.

use std::time::{Duration, Instant};

use slbp::cache::facade::{Cache, Expiry};
use slbp::cache::keys::Key;
use slbp::cache::value::{OwnedKey, Value};

use crate::common::redis::bulk;
use crate::common::wait_until;
use crate::tokens;
use crate::world::{Layers, World, encoded, get, int, key, set};

/// What expiries are counted in.
const MILLISECOND: Duration = Duration::from_millis(1);

type Check = fn(&World, &Cache);

const CHECKS: &[(&str, Check)] = &[
    ("values_of_every_kind_come_back", values_of_every_kind_come_back),
    ("add_and_replace_look_first", add_and_replace_look_first),
    ("deleting_tells_whether_there_was_something", deleting_tells_whether_there_was_something),
    ("many_keys_come_in_their_order", many_keys_come_in_their_order),
    ("increments_keep_the_expiry_and_stop_at_zero", increments_keep_the_expiry_and_stop_at_zero),
    ("what_expires_is_gone_and_the_past_deletes", what_expires_is_gone_and_the_past_deletes),
    ("flushing_reaches_what_it_names_and_no_more", flushing_reaches_what_it_names_and_no_more),
    (
        "a_value_that_is_too_large_is_refused_and_takes_the_old_one_with_it",
        a_value_that_is_too_large_is_refused_and_takes_the_old_one_with_it,
    ),
    ("workers_of_a_host_see_each_others_values", workers_of_a_host_see_each_others_values),
    ("what_is_stored_after_a_flush_stays", what_is_stored_after_a_flush_stays),
    ("statistics_count_by_layer", statistics_count_by_layer),
    ("what_nobody_else_touched_is_stored", tokens::what_nobody_else_touched_is_stored),
    (
        "whoever_wrote_deleted_or_flushed_meanwhile_wins",
        tokens::whoever_wrote_deleted_or_flushed_meanwhile_wins,
    ),
    ("to_everybody_else_a_reservation_is_a_miss", tokens::to_everybody_else_a_reservation_is_a_miss),
    ("a_read_takes_a_token_only_when_it_misses", tokens::a_read_takes_a_token_only_when_it_misses),
    ("no_update_is_lost", tokens::no_update_is_lost),
    ("a_deletion_during_a_computation_is_obeyed", tokens::a_deletion_during_a_computation_is_obeyed),
    ("a_key_that_is_too_long_is_no_other_key", tokens::a_key_that_is_too_long_is_no_other_key),
];

/// Runs every check on a cache of its own in front of the same servers.
fn keeps_the_contract(layers: Layers) {
    let mut world = World::new(layers);
    for (name, check) in CHECKS {
        world.prefix = (*name).to_owned();
        std::thread::scope(|scope| {
            let world = &world;
            let run = move || check(world, &world.cache());
            // Whatever fails in it is reported under the check's name.
            let named = std::thread::Builder::new().name(format!("{layers:?}: {name}"));
            named.spawn_scoped(scope, run).unwrap();
        });
    }
}

#[test]
fn shared_memory_keeps_the_contract() {
    keeps_the_contract(Layers::Shm);
}

#[test]
fn redis_keeps_the_contract() {
    keeps_the_contract(Layers::ShmRedis);
}

#[test]
fn redis_with_a_listener_keeps_the_contract() {
    keeps_the_contract(Layers::ShmRedisListening);
}

#[test]
fn a_redis_cluster_keeps_the_contract() {
    keeps_the_contract(Layers::ShmRedisCluster);
}

#[test]
fn a_redis_cluster_with_listeners_keeps_the_contract() {
    keeps_the_contract(Layers::ShmRedisClusterListening);
}

#[test]
fn memcached_keeps_the_contract() {
    keeps_the_contract(Layers::ShmMemcached);
}

#[test]
fn several_memcached_keep_the_contract() {
    keeps_the_contract(Layers::ShmMemcachedServers);
}

#[test]
fn redis_over_tls_keeps_the_contract() {
    keeps_the_contract(Layers::ShmRedisTls);
}

#[test]
fn redis_behind_sentinels_with_a_listener_keeps_the_contract() {
    keeps_the_contract(Layers::ShmRedisSentinelListening);
}

/// What a page used last time is fetched at once.
#[test]
fn many_keys_of_many_groups_come_in_one_round_trip() {
    let world = World::new(Layers::ShmRedisListening);
    let redis = world.redis.as_ref().unwrap();
    let (writer, reader) = (world.cache(), world.cache());
    let names: Vec<(String, String)> =
        (0..100).map(|n| (format!("group{}", n % 7), format!("key{n}"))).collect();
    let keys: Vec<Key<'_>> =
        names.iter().map(|(group, name)| Key::new(group.as_bytes(), name.as_bytes())).collect();
    for key in &keys {
        assert!(set(&writer, *key, &int(1)));
    }
    redis.ask(&["CONFIG", "RESETSTAT"]);
    assert!(reader.get_many(&keys).iter().all(Option::is_some));
    let stats = String::from_utf8(bulk(redis.ask(&["INFO", "commandstats"]))).unwrap();
    assert!(stats.contains("cmdstat_mget:calls=1,"), "{stats}");
    assert!(!stats.contains("cmdstat_get:"), "{stats}");
    wait_until("all of it is served from shared memory", || {
        reader.get_many(&keys).iter().all(Option::is_some) && {
            redis.ask(&["CONFIG", "RESETSTAT"]);
            reader.get_many(&keys).iter().all(Option::is_some)
                && !String::from_utf8(bulk(redis.ask(&["INFO", "commandstats"]))).unwrap().contains("mget")
        }
    });
}

fn values_of_every_kind_come_back(_: &World, cache: &Cache) {
    let array = Value::Array(vec![
        (OwnedKey::Bytes(b"second".to_vec()), int(2)),
        (OwnedKey::Int(-5), Value::Bytes(b"\xff\0binary".to_vec())),
        (OwnedKey::Bytes(b"".to_vec()), Value::list([Value::Null, Value::Bool(true)])),
    ]);
    let object =
        Value::Object { class: b"stdClass".to_vec(), properties: vec![(b"a".to_vec(), array.clone())] };
    let values = [
        Value::Null,
        Value::Bool(false),
        Value::Bool(true),
        int(0),
        int(i64::MIN),
        Value::Float(0.1),
        Value::text(""),
        Value::Bytes(vec![b'x'; 100_000]),
        array,
        object,
        Value::Serialized(b"O:1:\"A\":0:{}".to_vec()),
    ];
    for value in values {
        assert!(set(cache, key("k"), &value));
        assert_eq!(get(cache, key("k")), Some(value.clone()));
        assert_eq!(get(cache, key("k")), Some(value), "and again, now from nearer");
    }
    assert_eq!(get(cache, key("other")), None);
    assert_eq!(get(cache, Key::new(b"terms", b"k")), None, "another group");
}

fn add_and_replace_look_first(_: &World, cache: &Cache) {
    let add = |n| cache.add(key("k"), &encoded(&int(n)), Expiry::Default, &[]).unwrap();
    let replace = |n| cache.replace(key("k"), &encoded(&int(n)), Expiry::Default, &[]).unwrap();
    assert!(!replace(1));
    assert_eq!(get(cache, key("k")), None);
    assert!(add(2));
    assert!(!add(3));
    assert_eq!(get(cache, key("k")), Some(int(2)));
    assert!(replace(4));
    assert_eq!(get(cache, key("k")), Some(int(4)));
    cache.flush();
    assert!(!replace(5), "what was flushed is not there");
    assert!(add(6));
    assert_eq!(get(cache, key("k")), Some(int(6)));
}

fn deleting_tells_whether_there_was_something(_: &World, cache: &Cache) {
    set(cache, key("a"), &int(1));
    assert!(cache.delete(key("a")));
    assert_eq!(get(cache, key("a")), None);
    assert!(!cache.delete(key("a")));
    set(cache, key("a"), &int(1));
    cache.flush();
    assert!(!cache.delete(key("a")), "what was flushed is not there");
    set(cache, key("a"), &int(1));
    set(cache, key("b"), &int(2));
    assert_eq!(cache.delete_many(&[key("a"), key("missing"), key("b")]), [true, false, true]);
}

fn many_keys_come_in_their_order(_: &World, cache: &Cache) {
    let names: Vec<String> = (0..100).map(|n| format!("key:{n}")).collect();
    let values: Vec<_> = (0..100).map(|n| encoded(&int(n))).collect();
    let items: Vec<_> = names.iter().zip(&values).map(|(name, value)| (key(name), value)).collect();
    assert!(cache.set_many(&items, Expiry::Default).iter().all(|stored| *stored));
    let mut keys: Vec<Key<'_>> = names.iter().rev().map(|name| key(name)).collect();
    keys.insert(50, key("missing"));
    for _ in 0..2 {
        let found = cache.get_many(&keys);
        assert_eq!(found.len(), 101);
        assert_eq!(found[50], None);
        for (n, value) in (0..100).rev().zip(found.iter().flatten()) {
            assert_eq!(value.body, encoded(&int(n)).bytes);
        }
    }
    assert!(cache.get_many(&[]).is_empty());
}

fn increments_keep_the_expiry_and_stop_at_zero(_: &World, cache: &Cache) {
    assert_eq!(cache.increment(key("n"), 1), None, "missing");
    set(cache, key("n"), &Value::text("5"));
    assert_eq!(cache.increment(key("n"), 1), None, "no integer");
    set(cache, key("n"), &int(5));
    assert_eq!(cache.increment(key("n"), 3), Some(8));
    assert_eq!(get(cache, key("n")), Some(int(8)));
    assert_eq!(cache.increment(key("n"), -100), Some(0));
    assert_eq!(get(cache, key("n")), Some(int(0)));
    let ttl = Duration::from_millis(700);
    let stored = Instant::now();
    cache.set(key("n"), &encoded(&int(5)), Expiry::After(ttl), &[]).unwrap();
    while let Some(sum) = cache.increment(key("n"), 1) {
        assert!(sum > 5);
        assert!(stored.elapsed() < ttl + Duration::from_secs(5), "the expiry is the first one's");
    }
    assert!(stored.elapsed() >= ttl - MILLISECOND, "the expiry is the first one's");
    assert_eq!(get(cache, key("n")), None);
    set(cache, key("n"), &int(i64::MAX - 1));
    assert_eq!(cache.increment(key("n"), 5), Some(i64::MAX), "it does not wrap");
    cache.flush();
    assert_eq!(cache.increment(key("n"), 1), None, "what was flushed is not there");
}

fn what_expires_is_gone_and_the_past_deletes(_: &World, cache: &Cache) {
    let put = |expiry| cache.set(key("k"), &encoded(&int(1)), expiry, &[]).unwrap();
    let ttl = Duration::from_millis(200);
    let storing = Instant::now();
    assert!(put(Expiry::After(ttl)));
    let stored = Instant::now();
    while get(cache, key("k")) == Some(int(1)) {
        assert!(stored.elapsed() < ttl + Duration::from_secs(5), "it never expires");
    }
    assert!(storing.elapsed() >= ttl - MILLISECOND, "it expired early");
    assert!(put(Expiry::Never));
    assert!(put(Expiry::from_seconds(Some(-1))));
    assert_eq!(get(cache, key("k")), None);
}

fn flushing_reaches_what_it_names_and_no_more(world: &World, cache: &Cache) {
    let other_site = Cache::open(
        world.host(World::segment(), "other"),
        slbp::cache::settings::Settings {
            prefix: format!("{} of another", world.prefix),
            ..world.settings()
        },
    )
    .unwrap();
    let store = || {
        set(cache, Key::new(b"posts", b"1"), &int(1));
        set(cache, Key::new(b"terms", b"1"), &int(2));
        cache
            .set(Key::new(b"misc", b"t"), &encoded(&int(3)), Expiry::Default, &[b"product:7", b"price"])
            .unwrap();
        set(&other_site, Key::new(b"posts", b"1"), &int(9));
    };
    let state = || {
        [Key::new(b"posts", b"1"), Key::new(b"terms", b"1"), Key::new(b"misc", b"t")]
            .map(|key| get(cache, key).is_some())
    };
    store();
    assert_eq!(state(), [true, true, true]);
    cache.flush_group(b"posts");
    assert_eq!(state(), [false, true, true]);
    store();
    cache.invalidate_tags(&[b"price"]);
    assert_eq!(state(), [true, true, false]);
    store();
    assert_eq!(state(), [true, true, true]);
    cache.flush();
    assert_eq!(state(), [false, false, false]);
    assert_eq!(get(&other_site, Key::new(b"posts", b"1")), Some(int(9)));
}

/// The listener hears of each flush and asks for the generations while the next one begins.
fn what_is_stored_after_a_flush_stays(_: &World, cache: &Cache) {
    for n in 0..200 {
        match n % 3 {
            0 => cache.flush(),
            1 => cache.flush_group(b"posts"),
            _ => cache.invalidate_tags(&[b"t"]),
        }
        cache.set(key("k"), &encoded(&int(n)), Expiry::Default, &[b"t"]).unwrap();
        for _ in 0..3 {
            assert_eq!(get(cache, key("k")), Some(int(n)));
        }
    }
}

fn a_value_that_is_too_large_is_refused_and_takes_the_old_one_with_it(_: &World, cache: &Cache) {
    set(cache, key("k"), &int(1));
    assert!(!set(cache, key("k"), &Value::Bytes(vec![0; 2 << 20])));
    assert_eq!(get(cache, key("k")), None);
    assert!(!set(cache, key(&"x".repeat(5000)), &int(1)));
    let tags: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let tags: Vec<&[u8]> = tags.iter().map(|tag| tag.as_bytes()).collect();
    let error = cache.set(key("k"), &encoded(&int(1)), Expiry::Default, &tags).unwrap_err();
    assert!(error.to_string().contains("tags"));
}

fn workers_of_a_host_see_each_others_values(world: &World, _: &Cache) {
    let segment = World::segment();
    let (one, two) = (world.cache_on(segment), world.cache_on(segment));
    for n in 0..10 {
        set(&one, key("k"), &int(n));
        assert_eq!(get(&two, key("k")), Some(int(n)));
    }
    two.delete(key("k"));
    assert_eq!(get(&one, key("k")), None);
}

fn statistics_count_by_layer(world: &World, cache: &Cache) {
    set(cache, key("k"), &int(1));
    get(cache, key("k"));
    get(cache, key("missing"));
    let stats = cache.stats();
    let hits = if world.layers == Layers::Shm { stats.l1.hits } else { stats.l2.hits };
    let misses = if world.layers == Layers::Shm { stats.l1.misses } else { stats.l2.misses };
    assert_eq!((hits, misses), (1, 1), "{stats:?}");
    assert_eq!(stats.breaker, (world.layers != Layers::Shm).then_some("closed"));
}
