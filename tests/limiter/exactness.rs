//! Many processes, one limit: exactly as many requests are allowed as it says.

use std::sync::Arc;

use serde_json::{Value, json};
use slbp::clock::SystemClock;
use slbp::limiter::settings::Settings;
use slbp::limiter::{Host, Limiter, Request};
use slbp::ports::Detached;
use slbp::shm::{Counter, Plan, Segment};

use crate::common::in_child;
use crate::common::redis::RedisServer;

const PROCESSES: usize = 8;
/// The longest window: neither an edge nor a refill falls into the test.
const LONG: u64 = 90 * 24 * 3600;

/// How many of `each` requests of every process were allowed.
fn allowed(config: Value, each: usize, cost: i64) -> u64 {
    let segment: &'static Segment = Box::leak(Box::new(Segment::anonymous(&Plan::smallest()).unwrap()));
    let detached = Detached::default();
    let limiter = Limiter::new(
        Settings::read(&config, &detached, &detached).unwrap(),
        Host {
            segment,
            clock: Arc::new(SystemClock),
            site: b"exactness".to_vec(),
            server_addresses: Vec::new(),
            random: Box::new(|| 0),
        },
    )
    .unwrap();
    let hammer = || {
        (0..each).for_each(|_| {
            limiter.check(&Request { cost, ..Request::new(b"user:1", b"api") }).unwrap();
        });
        true
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(|| in_child(hammer))).collect();
        workers.into_iter().for_each(|worker| assert!(worker.join().unwrap()));
    });
    assert_eq!(segment.counters().get(Counter::LimiterStoreFallback), 0);
    segment.counters().get(Counter::LimiterAllowed)
}

#[test]
fn shared_memory_allows_exactly_the_limit_to_eight_processes() {
    for algorithm in ["fixed_window", "gcra", "sliding_window"] {
        let rule = json!({"limit": 50_000, "window": LONG, "algorithm": algorithm});
        assert_eq!(allowed(json!({"api": rule}), 20_000, 1), 50_000, "{algorithm}");
    }
}

#[test]
fn costs_add_up_to_exactly_the_limit() {
    let rule = json!({"limit": 30_000, "window": LONG, "algorithm": "fixed_window"});
    assert_eq!(allowed(json!({"api": rule}), 2_000, 3), 10_000);
}

#[test]
fn several_limits_at_once_are_never_exceeded() {
    let limits = json!([
        {"limit": 10_000, "window": LONG, "algorithm": "gcra"},
        {"limit": 9_000, "window": LONG, "algorithm": "fixed_window"},
    ]);
    let total = allowed(json!({"api": {"limits": limits}}), 5_000, 1);
    // A race may give back what a request that was on its way needed, so it can be a few less.
    assert!((8_900..=9_000).contains(&total), "{total} of 9000");
}

#[test]
fn redis_allows_exactly_the_limit_to_eight_processes() {
    let server = RedisServer::start();
    let redis = json!({"path": server.socket().to_str().unwrap(), "timeout": 5});
    for algorithm in ["fixed_window", "gcra", "sliding_window"] {
        let rule = json!({"limit": 3_000, "window": LONG, "algorithm": algorithm});
        let config = json!({"api": rule, "backend": "redis", "redis": redis});
        assert_eq!(allowed(config, 20_000, 1), 3_000, "{algorithm}");
    }
}
