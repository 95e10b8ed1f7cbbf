//! Writes that must be refused because somebody else was quicker.

use std::sync::Barrier;

use slbp::cache::codec::Encoded;
use slbp::cache::facade::{Cache, Expiry, Lookup, RememberOptions, Token};
use slbp::cache::value::Value;
use slbp::error::Error;

use crate::common::wait_until;
use crate::world::{World, decoded, encoded, get, int, key, set};

/// Who updates one value at the same time, and how often each.
const WORKERS: i64 = 4;
const EACH: i64 = 25;

/// What somebody else does meanwhile.
type Change = fn(&Cache);

fn read(cache: &Cache) -> (Option<Value>, Token) {
    let mut out = Vec::new();
    let (found, token) = cache.read_for_write(key("k"), &[b"t"], &mut out).unwrap();
    (found.map(|found| decoded(&out[..found.len])), token)
}

fn put(cache: &Cache, token: Token, value: i64) -> bool {
    cache.set_if_unchanged(token, &encoded(&int(value)), Expiry::Default)
}

pub fn what_nobody_else_touched_is_stored(_: &World, cache: &Cache) {
    let (found, token) = read(cache);
    assert_eq!(found, None);
    assert!(put(cache, token, 1));
    assert_eq!(get(cache, key("k")), Some(int(1)));
    let (found, token) = read(cache);
    assert_eq!(found, Some(int(1)));
    assert!(put(cache, token, 2));
    assert_eq!(get(cache, key("k")), Some(int(2)));
    cache.flush();
    let (found, token) = read(cache);
    assert_eq!(found, None, "what was flushed is not there");
    assert!(put(cache, token, 3));
    assert_eq!(get(cache, key("k")), Some(int(3)));
}

/// A read from the database that began before another's write must not be stored after it.
pub fn whoever_wrote_deleted_or_flushed_meanwhile_wins(world: &World, _: &Cache) {
    let (cache, neighbour) = &world.pair();
    let changes: [(&str, Change); 7] = [
        ("set", |other| assert!(set(other, key("k"), &int(8)))),
        ("set and deleted", |other| {
            set(other, key("k"), &int(8));
            other.delete(key("k"));
        }),
        ("deleted", |other| _ = other.delete(key("k"))),
        ("flushed", |other| other.flush()),
        ("its group flushed", |other| other.flush_group(b"posts")),
        ("its tag invalidated", |other| other.invalidate_tags(&[b"t"])),
        ("set with another token", |other| {
            let (_, token) = read(other);
            assert!(put(other, token, 8));
        }),
    ];
    for (change, make) in changes {
        for was_there in [false, true] {
            for other in [cache, neighbour] {
                cache.delete(key("k"));
                if was_there {
                    set(cache, key("k"), &int(7));
                }
                let (found, token) = read(cache);
                assert_eq!(found.is_some(), was_there, "{change}");
                other.begin_request();
                make(other);
                cache.begin_request();
                let stored = put(cache, token, 1);
                let case = format!("{:?}: {change}, there before: {was_there}", world.layers);
                // Of another host's flush this one may not have heard yet: then it is obeyed later.
                assert!(!stored || change.contains("flushed") || change.contains("tag"), "{case}");
                wait_until(&case, || get(cache, key("k")) != Some(int(1)));
                if change.contains("delete") || change.contains("flushed") {
                    assert_eq!(get(cache, key("k")), None, "{case}");
                }
            }
        }
    }
}

pub fn to_everybody_else_a_reservation_is_a_miss(_: &World, cache: &Cache) {
    let reserve = || read(cache).1;
    reserve();
    assert_eq!(get(cache, key("k")), None);
    assert_eq!(cache.get_many(&[key("k")]), [None]);
    assert_eq!(cache.increment(key("k"), 1), None);
    assert!(!cache.replace(key("k"), &encoded(&int(1)), Expiry::Default, &[]).unwrap());
    assert!(!cache.delete(key("k")));
    let (first, second) = (reserve(), reserve());
    assert!(put(cache, second, 1), "several wait for the same database, one stores");
    assert!(!put(cache, first, 2));
    cache.delete(key("k"));
    reserve();
    assert!(cache.add(key("k"), &encoded(&int(3)), Expiry::Default, &[]).unwrap());
    assert_eq!(get(cache, key("k")), Some(int(3)));
    assert_eq!(cache.stats().counts.iter().find(|(name, _)| *name == "cache_refused").unwrap().1, 0);
}

pub fn a_read_takes_a_token_only_when_it_misses(_: &World, cache: &Cache) {
    let mut out = Vec::new();
    let token = cache.get_or_token(key("k"), &[], &mut out).unwrap().unwrap_err();
    assert!(put(cache, token, 5));
    let found = cache.get_or_token(key("k"), &[], &mut out).unwrap().unwrap();
    assert_eq!(decoded(&out[..found.len]), int(5));
}

/// WordPress' lost update: two requests change one option each of the array that holds all of them.
pub fn no_update_is_lost(world: &World, _: &Cache) {
    let (one, other) = world.hosts();
    let start = Barrier::new(WORKERS as usize);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (start, host) = (&start, if worker % 2 == 0 { one } else { other });
            scope.spawn(move || {
                let cache = world.cache_on(host);
                start.wait();
                for n in 0..EACH {
                    let stored = cache.update(key("all"), Expiry::Default, &[], |current| {
                        let mut all = current.map_or(Vec::new(), list);
                        all.push(int(worker * EACH + n));
                        Ok::<Option<Encoded>, Error>(Some(encoded(&Value::list(all))))
                    });
                    assert!(stored.unwrap());
                }
            });
        }
    });
    let mut out = Vec::new();
    let found = world.cache_on(one).get(key("all"), &mut out).unwrap();
    let all = list(&out[..found.len]);
    assert_eq!(all.len() as i64, WORKERS * EACH);
    assert!((0..WORKERS * EACH).all(|n| all.contains(&int(n))), "{all:?}");
}

fn list(encoded: &[u8]) -> Vec<Value> {
    match decoded(encoded) {
        Value::Array(items) => items.into_iter().map(|(_, value)| value).collect(),
        other => panic!("{other:?}"),
    }
}

pub fn a_deletion_during_a_computation_is_obeyed(world: &World, _: &Cache) {
    let (cache, neighbour) = &world.pair();
    for other in [cache, neighbour] {
        let mut out = Vec::new();
        let lookup = cache.remember(key("k"), &RememberOptions::default(), &mut out).unwrap();
        let Lookup::Compute(computation) = lookup else { panic!("nothing is there yet") };
        other.begin_request();
        other.delete(key("k"));
        assert!(!computation.finish(&encoded(&int(1))), "{:?}", world.layers);
        cache.begin_request();
        assert_eq!(get(cache, key("k")), None, "{:?}", world.layers);
    }
}

pub fn a_key_that_is_too_long_is_no_other_key(_: &World, cache: &Cache) {
    let names = ["x", "y"].map(|letter| letter.repeat(5000));
    for name in &names {
        let mut out = Vec::new();
        let (found, token) = cache.read_for_write(key(name), &[], &mut out).unwrap();
        assert!(found.is_none());
        assert!(!put(cache, token, 1));
        let lookup = cache.remember(key(name), &RememberOptions::default(), &mut out).unwrap();
        let Lookup::Compute(computation) = lookup else { panic!("another key's value") };
        assert!(!computation.finish(&encoded(&int(1))));
    }
}
