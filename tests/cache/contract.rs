//! What every combination of layers must do alike.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slbp::cache::facade::{Cache, Expiry};
use slbp::cache::keys::Key;
use slbp::cache::value::{OwnedKey, Value};

use crate::world::{Layers, World, encoded, get, int, key, set};

/// Runs `check` on a fresh cache of every combination, in a thread named after it. One test at a time:
/// each starts eight servers, and eighty at once starve a small machine until they miss their limits.
pub fn on_all_layers(check: impl Fn(&World, &Cache) + Sync) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for layers in Layers::ALL {
            let check = &check;
            let run = move || {
                let world = World::new(layers);
                check(&world, &world.cache());
            };
            std::thread::Builder::new().name(format!("{layers:?}")).spawn_scoped(scope, run).unwrap();
        }
    });
}

#[test]
fn values_of_every_kind_come_back() {
    on_all_layers(|_, cache| {
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
    });
}

#[test]
fn add_and_replace_look_first() {
    on_all_layers(|_, cache| {
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
    });
}

#[test]
fn deleting_tells_whether_there_was_something() {
    on_all_layers(|_, cache| {
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
    });
}

#[test]
fn many_keys_come_in_their_order() {
    on_all_layers(|_, cache| {
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
    });
}

#[test]
fn increments_keep_the_expiry_and_stop_at_zero() {
    on_all_layers(|_, cache| {
        assert_eq!(cache.increment(key("n"), 1), None, "missing");
        set(cache, key("n"), &Value::text("5"));
        assert_eq!(cache.increment(key("n"), 1), None, "no integer");
        cache.set(key("n"), &encoded(&int(5)), Expiry::After(Duration::from_millis(400)), &[]).unwrap();
        assert_eq!(cache.increment(key("n"), 3), Some(8));
        assert_eq!(get(cache, key("n")), Some(int(8)));
        assert_eq!(cache.increment(key("n"), -100), Some(0));
        assert_eq!(get(cache, key("n")), Some(int(0)));
        std::thread::sleep(Duration::from_millis(450));
        assert_eq!(get(cache, key("n")), None, "the expiry is the first one's");
        assert_eq!(cache.increment(key("n"), 1), None);
        set(cache, key("n"), &int(i64::MAX - 1));
        assert_eq!(cache.increment(key("n"), 5), Some(i64::MAX), "it does not wrap");
        cache.flush();
        assert_eq!(cache.increment(key("n"), 1), None, "what was flushed is not there");
    });
}

#[test]
fn what_expires_is_gone_and_the_past_deletes() {
    on_all_layers(|_, cache| {
        let put = |expiry| cache.set(key("k"), &encoded(&int(1)), expiry, &[]).unwrap();
        assert!(put(Expiry::After(Duration::from_millis(200))));
        assert_eq!(get(cache, key("k")), Some(int(1)));
        std::thread::sleep(Duration::from_millis(220));
        assert_eq!(get(cache, key("k")), None);
        assert!(put(Expiry::Never));
        assert!(put(Expiry::from_seconds(Some(-1))));
        assert_eq!(get(cache, key("k")), None);
    });
}

#[test]
fn flushing_reaches_what_it_names_and_no_more() {
    on_all_layers(|world, cache| {
        let other_site = Cache::open(
            world.host(World::segment(), "other"),
            slbp::cache::settings::Settings { prefix: "other".to_owned(), ..world.settings() },
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
    });
}

#[test]
fn a_value_that_is_too_large_is_refused_and_takes_the_old_one_with_it() {
    on_all_layers(|_, cache| {
        set(cache, key("k"), &int(1));
        assert!(!set(cache, key("k"), &Value::Bytes(vec![0; 2 << 20])));
        assert_eq!(get(cache, key("k")), None);
        assert!(!set(cache, key(&"x".repeat(5000)), &int(1)));
        let tags: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let tags: Vec<&[u8]> = tags.iter().map(|tag| tag.as_bytes()).collect();
        let error = cache.set(key("k"), &encoded(&int(1)), Expiry::Default, &tags).unwrap_err();
        assert!(error.to_string().contains("tags"));
    });
}

#[test]
fn workers_of_a_host_see_each_others_values() {
    on_all_layers(|world, _| {
        let segment = World::segment();
        let (one, two) = (world.cache_on(segment), world.cache_on(segment));
        for n in 0..10 {
            set(&one, key("k"), &int(n));
            assert_eq!(get(&two, key("k")), Some(int(n)));
        }
        two.delete(key("k"));
        assert_eq!(get(&one, key("k")), None);
    });
}

#[test]
fn statistics_count_by_layer() {
    on_all_layers(|world, cache| {
        set(cache, key("k"), &int(1));
        get(cache, key("k"));
        get(cache, key("missing"));
        let stats = cache.stats();
        let hits = if world.layers == Layers::Shm { stats.l1.hits } else { stats.l2.hits };
        let misses = if world.layers == Layers::Shm { stats.l1.misses } else { stats.l2.misses };
        assert_eq!((hits, misses), (1, 1), "{stats:?}");
        assert_eq!(stats.breaker, (world.layers != Layers::Shm).then_some("closed"));
    });
}
