//! Kills and races: an update is counted wholly or not at all, and a half-made series is finished.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use slbp::clock::SystemClock;
use slbp::metrics::{Definition, Kind, Registry};
use slbp::shm::{Plan, RegionKind, Segment};

use super::processes::{Child, End, alone, fork, single_step};
use super::{labelled, number, pair, segment, total};

/// Every state in which a kill can leave the region while somebody registers a histogram and observes
/// into a new series: survivors finish what was begun.
#[test]
fn a_maker_killed_after_any_store_leaves_nothing_broken() {
    let _alone = alone();
    let segment = Segment::anonymous(&Plan::smallest()).unwrap();
    let registry = Registry::open(&segment, b"site").unwrap();
    let definition = labelled("a_seconds", Kind::Histogram, &["x"]);
    let observe = || {
        registry.register(&definition).unwrap();
        registry.observe("a_seconds", 1.0, &pair("x", "value"), &SystemClock).unwrap();
    };
    let region = segment.region(RegionKind::Metrics);
    let start = region.address().cast_mut();
    // SAFETY: the region stays mapped, and whoever writes stands still while the bytes are looked at.
    let bytes = || unsafe { std::slice::from_raw_parts(start, region.len()) };
    let mut states = vec![bytes().to_vec()];
    let traced = single_step(observe, || {
        if states.last().is_some_and(|last| last != bytes()) {
            states.push(bytes().to_vec());
        }
    });
    if !traced {
        eprintln!("skipped: this system does not allow a test to trace its child");
        return;
    }
    assert!(states.len() > 20, "only {} states", states.len());
    for (number, state) in states.iter().enumerate() {
        // SAFETY: nobody else uses the segment now.
        unsafe { std::ptr::copy_nonoverlapping(state.as_ptr(), start, state.len()) };
        registry.families();
        let before = registry.families().first().map_or(0.0, |_| total(&registry, "a_seconds"));
        observe();
        assert_eq!(total(&registry, "a_seconds"), before + 1.0, "state {number} of {}", states.len());
        assert_eq!(registry.dropped(), 0, "state {number}");
        assert_eq!(registry.families().len(), 1, "state {number}");
    }
}

/// Workers claim new series as fast as they can while one after the other is killed.
#[test]
fn killed_workers_lose_at_most_the_update_they_were_in() {
    const WORKERS: usize = 6;
    const KILLS: usize = 120;
    let _alone = alone();
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    let board = segment.region(RegionKind::Cache).carve().slice::<AtomicU64>(WORKERS * 2).unwrap();
    let (begun, done) = board.split_at(WORKERS);
    registry.register(&Definition::counter("all_total", "All.").unwrap()).unwrap();
    let work = |number: usize| {
        registry.register(&labelled("some_total", Kind::Counter, &["x"])).unwrap();
        registry.register(&labelled("some_seconds", Kind::Histogram, &["x"])).unwrap();
        for round in 0u64.. {
            let label = pair("x", &format!("{}", round % 190));
            begun[number].fetch_add(1, SeqCst);
            registry.increment("all_total", 1.0, &[], &SystemClock).unwrap();
            registry.increment("some_total", 1.0, &label, &SystemClock).unwrap();
            registry.observe("some_seconds", 0.1, &label, &SystemClock).unwrap();
            done[number].fetch_add(1, SeqCst);
        }
    };
    let mut workers: Vec<Child> = (0..WORKERS).map(|number| fork(|| work(number))).collect();
    for kill in 0..KILLS {
        let number = kill % WORKERS;
        let before = done[number].load(SeqCst);
        let deadline = Instant::now() + Duration::from_secs(20);
        while done[number].load(SeqCst) == before {
            assert!(Instant::now() < deadline, "worker {number} makes no progress");
            std::thread::yield_now();
        }
        let killed = std::mem::replace(&mut workers[number], fork(|| work(number)));
        assert_eq!(killed.kill(), End::Signal(libc::SIGKILL));
    }
    drop(workers);
    let sum = |words: &[AtomicU64]| words.iter().map(|word| word.load(SeqCst)).sum::<u64>() as f64;
    for name in ["all_total", "some_total", "some_seconds"] {
        let counted = total(&registry, name);
        assert!(
            sum(done) <= counted && counted <= sum(begun),
            "{name}: {} <= {counted} <= {}",
            sum(done),
            sum(begun)
        );
    }
    assert_eq!(registry.dropped(), 0);
}

/// Many who register the same name at once, half of them with another definition: one wins, and
/// everybody who agrees with it is served.
#[test]
fn racing_registrations_agree_on_one_definition() {
    let _alone = alone();
    for round in 0..20 {
        let segment = Segment::anonymous(&Plan::smallest()).unwrap();
        let registry = Registry::open(&segment, b"site").unwrap();
        let children: Vec<Child> = (0..6)
            .map(|number| {
                let registry = &registry;
                fork(move || {
                    let label = if number % 2 == 0 { "even" } else { "odd" };
                    let definition = labelled("raced_total", Kind::Counter, &[label]);
                    if matches!(registry.register(&definition), Ok(true)) {
                        registry.increment("raced_total", 1.0, &pair(label, "x"), &SystemClock).unwrap();
                    }
                })
            })
            .collect();
        assert!(children.into_iter().all(|child| child.wait() == End::Exit(0)), "round {round}");
        let counted = total(&registry, "raced_total");
        assert!((1.0..=3.0).contains(&counted), "round {round}: {counted}");
        let family = super::family(&registry, "raced_total");
        assert_eq!(family.series.len(), 1);
    }
}

#[test]
fn racing_updates_of_one_series_all_count() {
    let _alone = alone();
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    registry.register(&Definition::counter("hot_total", "Hot.").unwrap()).unwrap();
    registry.register(&Definition::gauge("level", "Level.").unwrap()).unwrap();
    let work = || {
        for _ in 0..20_000 {
            registry.increment("hot_total", 1.0, &[], &SystemClock).unwrap();
            registry.increment("hot_total", 0.5, &[], &SystemClock).unwrap();
            registry.increment("level", 1.0, &[], &SystemClock).unwrap();
        }
    };
    let children: Vec<Child> = (0..4).map(|_| fork(work)).collect();
    assert!(children.into_iter().all(|child| child.wait() == End::Exit(0)));
    assert_eq!(number(&registry, "hot_total", None), Some(120_000.0));
    assert_eq!(number(&registry, "level", None), Some(80_000.0));
}
