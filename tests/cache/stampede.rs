//! One computes, the rest wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use slbp::cache::facade::{Cache, Expiry, Lookup, RememberOptions};
use slbp::cache::keys::Key;
use slbp::cache::value::Value;

use crate::common::lateness::Lateness;
use crate::common::wait_until;
use crate::world::{Layers, World, encoded, get, int, key};

/// `remember_cache` as the binding does it.
fn remember(
    cache: &Cache,
    key: Key<'_>,
    options: &RememberOptions<'_>,
    compute: impl FnOnce() -> Value,
) -> Value {
    let mut out = Vec::new();
    match cache.remember(key, options, &mut out).unwrap() {
        Lookup::Found(found) => crate::world::decoded(&out[..found.len]),
        Lookup::Compute(computation) => {
            let value = compute();
            computation.finish(&encoded(&value));
            value
        }
    }
}

/// For tests in which nobody may lose patience because the machine is starved.
const PATIENT: RememberOptions<'_> = RememberOptions {
    expiry: Expiry::Default,
    grace: Duration::ZERO,
    wait: Duration::from_secs(60),
    beta: 0.0,
    lease: Duration::from_secs(60),
    tags: &[],
};

fn on_all_layers(check: impl Fn(&World) + Sync) {
    std::thread::scope(|scope| {
        for layers in [Layers::Shm, Layers::ShmRedis, Layers::ShmRedisListening, Layers::ShmMemcached] {
            let check = &check;
            let run = move || check(&World::new(layers));
            std::thread::Builder::new().name(format!("{layers:?}")).spawn_scoped(scope, run).unwrap();
        }
    });
}

#[test]
fn of_many_workers_one_computes_on_one_host_and_on_two() {
    on_all_layers(|world| {
        let hosts = if world.layers == Layers::Shm { 1 } else { 2 };
        let segments: Vec<_> = (0..hosts).map(|_| World::segment()).collect();
        let computed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (segment, computed) = (segments[worker % hosts], &computed);
                scope.spawn(move || {
                    let cache = world.cache_on(segment);
                    let value = remember(&cache, key("k"), &PATIENT, || {
                        computed.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(300));
                        int(42)
                    });
                    assert_eq!(value, int(42));
                });
            }
        });
        assert_eq!(computed.into_inner(), 1);
    });
}

#[test]
fn while_a_new_value_is_computed_the_old_one_is_served_within_its_grace() {
    on_all_layers(|world| {
        let segment = World::segment();
        let options = RememberOptions {
            expiry: Expiry::After(Duration::from_millis(150)),
            grace: Duration::from_secs(600),
            ..PATIENT
        };
        let cache = world.cache_on(segment);
        assert_eq!(remember(&cache, key("k"), &options, || int(1)), int(1));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(get(&cache, key("k")), None, "a plain read gets no stale value");
        let (computing, served) = (AtomicBool::new(false), AtomicBool::new(false));
        let wait_for = |flag: &AtomicBool| wait_until("the other is so far", || flag.load(Ordering::SeqCst));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let slow = world.cache_on(segment);
                remember(&slow, key("k"), &options, || {
                    computing.store(true, Ordering::SeqCst);
                    wait_for(&served);
                    int(2)
                });
            });
            wait_for(&computing);
            assert_eq!(remember(&cache, key("k"), &options, || panic!("it is being computed")), int(1));
            served.store(true, Ordering::SeqCst);
        });
        let unexpired = RememberOptions { expiry: Expiry::Default, ..options };
        assert_eq!(remember(&cache, key("k"), &unexpired, || int(3)), int(2));
    });
}

#[test]
fn waiting_is_bounded() {
    on_all_layers(|world| {
        let segment = World::segment();
        let cache = world.cache_on(segment);
        let mut out = Vec::new();
        let Ok(Lookup::Compute(mine)) = cache.remember(key("k"), &RememberOptions::default(), &mut out)
        else {
            panic!("nothing is there yet")
        };
        let impatient = RememberOptions { wait: Duration::from_millis(200), ..RememberOptions::default() };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let other = world.cache_on(segment);
                let (started, lateness) = (Instant::now(), Lateness::watch());
                assert_eq!(remember(&other, key("k"), &impatient, || int(2)), int(2));
                let waited = started.elapsed();
                assert!(waited >= Duration::from_millis(199), "{waited:?}");
                lateness.check(waited, Duration::from_millis(500));
            });
        });
        drop(mine);
    });
}

#[test]
fn a_computation_that_fails_frees_the_others() {
    on_all_layers(|world| {
        let segment = World::segment();
        let cache = world.cache_on(segment);
        let mut out = Vec::new();
        let Ok(Lookup::Compute(failing)) = cache.remember(key("k"), &RememberOptions::default(), &mut out)
        else {
            panic!("nothing is there yet")
        };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let other = world.cache_on(segment);
                let started = Instant::now();
                assert_eq!(remember(&other, key("k"), &PATIENT, || int(2)), int(2));
                started.elapsed()
            });
            let lateness = Lateness::watch();
            std::thread::sleep(Duration::from_millis(200));
            drop(failing);
            lateness.check(waiter.join().unwrap(), Duration::from_millis(500));
        });
    });
}

/// A fatal error in PHP jumps over the frame that would give the lease back.
#[test]
fn the_end_of_the_request_frees_what_was_jumped_out_of() {
    on_all_layers(|world| {
        let segment = World::segment();
        let cache = world.cache_on(segment);
        let mut out = Vec::new();
        let lookup = cache.remember(key("k"), &RememberOptions::default(), &mut out).unwrap();
        assert!(matches!(lookup, Lookup::Compute(_)));
        std::mem::forget(lookup);
        cache.end_request();
        let other = world.cache_on(segment);
        let (started, lateness) = (Instant::now(), Lateness::watch());
        assert_eq!(remember(&other, key("k"), &PATIENT, || int(2)), int(2));
        lateness.check(started.elapsed(), Duration::from_millis(300));
    });
}

/// A needs B while another worker's B needs A: nobody waits for the other.
#[test]
fn nested_calls_do_not_wait_in_a_circle() {
    on_all_layers(|world| {
        let segment = World::segment();
        let both_inside = std::sync::Barrier::new(2);
        let (started, lateness) = (Instant::now(), Lateness::watch());
        std::thread::scope(|scope| {
            for (outer, inner) in [("a", "b"), ("b", "a")] {
                let both_inside = &both_inside;
                scope.spawn(move || {
                    let cache = world.cache_on(segment);
                    remember(&cache, key(outer), &RememberOptions::default(), || {
                        both_inside.wait();
                        let same = remember(&cache, key(outer), &RememberOptions::default(), || int(1));
                        assert!([int(1), int(2)].contains(&same), "the same key, nested: {same:?}");
                        remember(&cache, key(inner), &RememberOptions::default(), || int(2))
                    });
                });
            }
        });
        lateness.check(started.elapsed(), Duration::from_secs(2));
    });
}

#[test]
fn a_flush_during_the_computation_is_obeyed() {
    on_all_layers(|world| {
        let cache = world.cache();
        remember(&cache, key("k"), &RememberOptions::default(), || {
            cache.flush();
            int(1)
        });
        assert_eq!(get(&cache, key("k")), None, "it was computed from what was flushed");
        let tagged = RememberOptions { tags: &[b"t"], ..RememberOptions::default() };
        remember(&cache, key("k"), &tagged, || int(2));
        assert_eq!(get(&cache, key("k")), Some(int(2)));
        cache.invalidate_tags(&[b"t"]);
        assert_eq!(get(&cache, key("k")), None);
    });
}

/// The dearer the value and the nearer its end, the likelier it is computed before the end.
#[test]
fn values_are_refreshed_early_and_by_one() {
    let world = World::new(Layers::Shm);
    let cache = world.cache();
    let early = || cache.stats().counts.iter().find(|(name, _)| *name == "cache_early_refreshes").unwrap().1;
    // A starved machine may sleep through the end of a value.
    for attempt in 0..20 {
        let ttl = Duration::from_millis(600);
        let options = RememberOptions { expiry: Expiry::After(ttl), beta: 1.0, ..PATIENT };
        let name = format!("attempt {attempt}");
        remember(&cache, key(&name), &options, || {
            std::thread::sleep(Duration::from_millis(200));
            int(1)
        });
        let computed = AtomicUsize::new(0);
        while computed.load(Ordering::SeqCst) == 0 {
            remember(&cache, key(&name), &options, || {
                computed.fetch_add(1, Ordering::SeqCst);
                int(2)
            });
        }
        if early() == 1 {
            return;
        }
    }
    panic!("no value was computed before its end");
}
