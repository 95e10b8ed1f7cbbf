//! What is kept of every request: histograms, the recent past, and which workers serve one.

use std::time::Duration;

use slbp::clock::{Clock, ManualClock, SystemClock, Timestamp};
use slbp::metrics::requests::{DURATION, ERRORS, Finished, Route};
use slbp::metrics::{Registry, Timeframe, Workers};
use slbp::shm::{Owner, Segment};

use super::processes::{alone, fork, stop_here};
use super::{number, segment, total};

/// A whole hour, so that every period begins with it.
const START: u64 = 1_800_000_000 / 3600 * 3600;

fn request(millis: u64, status: u16) -> Finished {
    Finished {
        route: Route::Front,
        status,
        duration: Duration::from_millis(millis),
        memory: 8 << 20,
        errors: [0, 2, 0, 1],
    }
}

fn finish(segment: &Segment, at: u64, requests: &[Finished]) {
    let clock = ManualClock::at(Timestamp::from_secs(at));
    for request in requests {
        let registry = Registry::open(segment, b"site").unwrap();
        registry.finish(request, &segment.counters(), &clock).unwrap();
    }
}

#[test]
fn a_request_is_counted_by_route_status_and_what_php_complained_of() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    finish(&segment, START, &[request(20, 200), request(30, 301), request(40, 500), request(40, 999)]);
    assert_eq!(total(&registry, DURATION), 4.0);
    let statuses: Vec<String> =
        super::family(&registry, DURATION).series.iter().map(|one| one.labels[1].1.clone()).collect();
    assert_eq!(statuses, ["2xx", "3xx", "5xx"], "what is no status is the server's error");
    assert_eq!(number(&registry, ERRORS, Some("warning")), Some(8.0));
    assert_eq!(number(&registry, ERRORS, Some("deprecated")), Some(4.0));
    assert_eq!(number(&registry, ERRORS, Some("fatal")), None);
}

#[test]
fn the_recent_past_is_told_step_by_step() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    finish(&segment, START + 5, &[request(10, 200), request(30, 200)]);
    finish(&segment, START + 125, &[request(100, 503)]);
    finish(&segment, START + 2000, &[request(50, 200)]);
    let told = |timeframe: &str, now: u64| {
        let now = Timestamp::from_secs(now);
        let points = registry.points(Timeframe::named(timeframe).unwrap(), &segment.counters(), now);
        points
            .iter()
            .map(|p| (p.at - START, p.requests, p.errors, p.response_time.unwrap()))
            .collect::<Vec<_>>()
    };
    let minutes = [(0, 2, 0, 20.0), (120, 1, 1, 100.0), (1980, 1, 0, 50.0)];
    assert_eq!(told("1h", START + 2010), minutes);
    assert_eq!(told("24h", START + 2010), [(0, 3, 1, 140.0 / 3.0), (1800, 1, 0, 50.0)]);
    assert_eq!(told("7d", START + 2010), [(0, 4, 1, 47.5)]);
    assert_eq!(told("1h", START + 3600 + 100), minutes[1..], "an hour later the first minute is too old");
    assert_eq!(told("6h", START + 3 * 3600), minutes);
    assert!(told("24h", START + 9 * 86_400).is_empty());
}

#[test]
fn a_ring_that_came_round_tells_only_of_the_last_time() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    for minute in 0..800 {
        finish(&segment, START + minute * 60, &[request(minute, 200)]);
    }
    let now = Timestamp::from_secs(START + 799 * 60 + 30);
    let points = registry.points(Timeframe::named("6h").unwrap(), &segment.counters(), now);
    assert_eq!(points.len(), 360);
    assert!(points.iter().all(|point| point.response_time == Some(((point.at - START) / 60) as f64)));
    assert_eq!(registry.last_minute(now).unwrap().requests, 2);
    assert!(
        registry.last_minute(Timestamp::from_secs(START + 900 * 60)).is_none(),
        "an idle site has no mean"
    );
}

#[test]
fn probes_do_not_count_in_the_means() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    finish(&segment, START, &[request(100, 200), Finished { route: Route::Probe, ..request(1, 503) }]);
    let point = registry.last_minute(Timestamp::from_secs(START + 1)).unwrap();
    assert_eq!((point.requests, point.errors, point.response_time), (1, 0, Some(100.0)));
    assert_eq!(total(&registry, DURATION), 2.0);
}

#[test]
fn refused_requests_and_security_events_fall_out_of_their_windows() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    let refused = Finished { route: Route::Rest, ..request(1, 403) };
    finish(&segment, START, &[refused, refused, Finished { status: 404, ..refused }]);
    registry.remember_security_event(&segment.counters(), Timestamp::from_secs(START + 10));
    let counts = |at: u64| registry.security_counts(Timestamp::from_secs(at)).unwrap();
    assert_eq!(counts(START + 20), (1, 2));
    assert_eq!(counts(START + 2 * 3600), (1, 0));
    assert_eq!(counts(START + 30 * 3600), (0, 0));
}

#[test]
fn a_dead_worker_is_not_counted_and_leaves_its_place() {
    let _alone = alone();
    let segment = segment();
    let workers = Workers::open(&segment).unwrap();
    let child = fork(|| {
        let place = workers.join(Owner::current()).unwrap();
        workers.begin(place, SystemClock.now());
        stop_here();
    });
    child.wait_stopped();
    let living = workers.living();
    assert_eq!(living.len(), 1);
    assert!(living[0].pid == child.pid as u32 && living[0].busy_since > 0);
    child.kill();
    assert!(workers.living().is_empty());
    assert_eq!(workers.join(Owner::current()), Some(0), "the place is free again");
    workers.end(0);
    assert_eq!((workers.living()[0].requests, workers.living()[0].busy_since), (1, 0));
}
