//! The worker that computes a value, or listens for the host, is killed.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use slbp::cache::facade::{Lookup, RememberOptions};
use slbp::shm::RegionKind;

use crate::common::lateness::Lateness;
use crate::common::wait_until;
use crate::processes::{End, alone, fork, stop_here};
use crate::world::{Layers, World, decoded, encoded, get, int, key, set};

#[test]
fn a_computer_that_dies_frees_the_others() {
    let _alone = alone();
    let world = World::new(Layers::Shm);
    let segment = World::segment();
    let computing = fork(|| {
        let cache = world.cache_on(segment);
        let mut out = Vec::new();
        let lookup = cache.remember(key("k"), &RememberOptions::default(), &mut out).unwrap();
        assert!(matches!(lookup, Lookup::Compute(_)));
        stop_here();
    });
    computing.wait_stopped();
    computing.kill();
    let cache = world.cache_on(segment);
    let (started, lateness) = (Instant::now(), Lateness::watch());
    let mut out = Vec::new();
    match cache.remember(key("k"), &RememberOptions::default(), &mut out).unwrap() {
        Lookup::Compute(computation) => assert!(computation.finish(&encoded(&int(1)))),
        Lookup::Found(_) => panic!("nobody computed it"),
    }
    lateness.check(started.elapsed(), Duration::from_millis(200));
}

#[test]
fn when_the_listening_worker_dies_the_next_request_takes_over() {
    let _alone = alone();
    let world = World::new(Layers::ShmRedisListening);
    let segment = World::segment();
    let listening = fork(|| {
        let _cache = world.cache_on(segment);
        stop_here();
    });
    listening.wait_stopped();
    listening.kill();
    let (here, elsewhere) = (world.cache_on(segment), world.cache());
    let (died, lateness) = (Instant::now(), Lateness::watch());
    wait_until("its silence is noticed", || !here.stats().linked);
    lateness.check(died.elapsed(), Duration::from_millis(1500));
    wait_until("another worker listens", || {
        here.begin_request();
        here.stats().linked
    });
    lateness.check(died.elapsed(), Duration::from_secs(3));
    for n in 0..20 {
        set(&elsewhere, key("k"), &int(n));
        let written = Instant::now();
        wait_until("it is seen here", || get(&here, key("k")) == Some(int(n)));
        lateness.check(written.elapsed(), Duration::from_millis(50));
    }
}

#[test]
fn of_many_processes_on_two_hosts_one_computes() {
    let _alone = alone();
    let minute = Duration::from_secs(60);
    let options = RememberOptions { wait: minute, lease: minute, ..RememberOptions::default() };
    for layers in [Layers::ShmRedis, Layers::ShmMemcached] {
        let world = World::new(layers);
        let hosts = [World::segment(), World::segment()];
        let computed: &'static AtomicU64 = hosts[0].region(RegionKind::Metrics).carve().one().unwrap();
        let work = |number: usize| {
            let cache = world.cache_on(hosts[number % 2]);
            let mut out = Vec::new();
            match cache.remember(key("k"), &options, &mut out).unwrap() {
                Lookup::Compute(computation) => {
                    computed.fetch_add(1, SeqCst);
                    std::thread::sleep(Duration::from_millis(200));
                    assert!(computation.finish(&encoded(&int(42))));
                }
                Lookup::Found(found) => assert_eq!(decoded(&out[..found.len]), int(42)),
            }
        };
        let team: Vec<_> = (0..8).map(|number| fork(|| work(number))).collect();
        team.into_iter().for_each(|worker| assert_eq!(worker.wait(), End::Exit(0)));
        assert_eq!(computed.load(SeqCst), 1, "{layers:?}");
    }
}
