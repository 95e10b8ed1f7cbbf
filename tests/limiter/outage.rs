//! Redis down, stopped, or back again: the site goes on, and limits hold on this host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slbp::clock::SystemClock;
use slbp::limiter::settings::Settings;
use slbp::limiter::{Check, Host, Limiter, Reason};
use slbp::ports::Detached;
use slbp::shm::{Counter, Plan, Segment};

use crate::common::redis::RedisServer;
use crate::common::wait_until;
use crate::support::check;

struct Site {
    server: RedisServer,
    segment: &'static Segment,
    limiter: Limiter,
}

impl Site {
    /// A site whose Redis may take half a second: the machine of the test may be busy.
    fn new(rules: Value) -> Self {
        Self::with(rules, json!({"timeout": 0.5}))
    }

    fn with(rules: Value, mut redis: Value) -> Self {
        let server = RedisServer::start();
        let segment: &'static Segment = Box::leak(Box::new(Segment::anonymous(&Plan::smallest()).unwrap()));
        let mut config = rules;
        config["backend"] = json!("redis");
        redis["path"] = json!(server.socket().to_str().unwrap());
        config["redis"] = redis;
        let detached = Detached::default();
        let host = Host {
            segment,
            clock: Arc::new(SystemClock),
            site: b"outage".to_vec(),
            server_addresses: Vec::new(),
            random: Box::new(|| 0),
        };
        let limiter = Limiter::new(Settings::read(&config, &detached, &detached).unwrap(), host).unwrap();
        Self { server, segment, limiter }
    }

    fn check(&self, client: &str, endpoint: &str) -> Check<'_> {
        check(&self.limiter, client, endpoint)
    }

    fn count(&self, counter: Counter) -> u64 {
        self.segment.counters().get(counter)
    }
}

fn rules() -> Value {
    json!({
        "api": {"limit": 3, "window": 3600},
        "open": {"limit": 3, "window": 3600, "on_store_failure": "open"},
        "closed": {"limit": 3, "window": 3600, "on_store_failure": "closed"},
    })
}

/// Answers of `n` checks and how long they took.
fn timed(n: usize, mut check: impl FnMut() -> bool) -> (usize, Duration) {
    let start = Instant::now();
    let allowed = (0..n).filter(|_| check()).count();
    (allowed, start.elapsed())
}

#[test]
fn while_redis_is_down_each_rule_does_what_it_says() {
    let mut site = Site::new(rules());
    assert!(site.check("user:1", "api").allowed);
    site.server.kill();
    let (allowed, _) = timed(20, || site.check("user:1", "api").allowed);
    assert_eq!(allowed, 3, "counted on this host");
    let (allowed, _) = timed(20, || site.check("user:1", "open").allowed);
    assert_eq!(allowed, 20);
    let closed = site.check("user:1", "closed");
    assert_eq!((closed.allowed, closed.reason, closed.retry_after), (false, Reason::Limit, 1));
    assert_eq!(site.count(Counter::BreakerOpened), 1);
    assert_eq!(site.count(Counter::LimiterStoreFallback), 41);
    site.limiter.reset(b"user:1", None).unwrap_err();
}

#[test]
fn a_redis_that_is_stopped_costs_three_short_waits_and_no_more() {
    let site = Site::with(rules(), json!({}));
    let asked_redis = || {
        let before = site.count(Counter::LimiterStoreFallback);
        site.check("user:1", "open");
        site.count(Counter::LimiterStoreFallback) == before
    };
    wait_until("redis answers in time", asked_redis);
    site.server.pause();
    let (_, first_three) = timed(3, || site.check("user:2", "open").allowed);
    assert!(first_three >= Duration::from_millis(60), "three waits of 20 ms: {first_three:?}");
    assert!(first_three < Duration::from_millis(1000), "{first_three:?}");
    let (_, thousand) = timed(1000, || site.check("user:2", "open").allowed);
    assert!(thousand < Duration::from_millis(500), "a thousand checks behind the breaker took {thousand:?}");
    site.server.resume();
    wait_until("redis is asked again", asked_redis);
    assert!(site.count(Counter::BreakerOpened) >= 1 && site.count(Counter::BreakerClosed) >= 1);
}

#[test]
fn one_slow_answer_does_not_open_the_breaker() {
    let site = Site::new(rules());
    site.check("user:1", "api");
    site.server.pause();
    site.check("user:2", "api");
    site.server.resume();
    for _ in 0..5 {
        site.check("user:3", "api");
    }
    assert_eq!(site.count(Counter::LimiterStoreFallback), 1);
    assert_eq!(site.count(Counter::BreakerOpened), 0);
}

#[test]
fn a_blocked_client_costs_no_round_trip_and_a_reset_reaches_the_cache() {
    let site = Site::new(rules());
    for _ in 0..4 {
        site.check("user:1", "api");
    }
    let commands = || {
        let info = crate::common::redis::bulk(site.server.ask(&["INFO", "commandstats"]));
        let info = String::from_utf8(info).unwrap();
        let line = info.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap().to_owned();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = commands();
    let first = site.check("user:1", "api");
    for _ in 0..100 {
        let again = site.check("user:1", "api");
        assert_eq!((again.allowed, again.limit, again.remaining, again.reset), (false, 3, 0, first.reset));
        assert!(again.retry_after <= first.retry_after);
    }
    assert_eq!(commands(), before);
    assert_eq!(site.count(Counter::LimiterDenialCached), 101);
    site.limiter.reset(b"user:1", Some(b"api")).unwrap();
    assert!(site.check("user:1", "api").allowed);
}

#[test]
fn a_cached_denial_does_not_outlive_a_move_to_a_larger_plan() {
    let mut rules = rules();
    rules["plans"] = json!({"pro": {"api": {"limit": 30, "window": 3600}}});
    let site = Site::new(rules);
    (0..4).for_each(|_| assert_eq!(site.check("user:1", "api").limit, 3));
    assert!(!site.check("user:1", "api").allowed);
    let upgraded =
        slbp::limiter::Request { plan: Some("pro"), ..slbp::limiter::Request::new(b"user:1", b"api") };
    assert!(site.limiter.check(&upgraded).unwrap().allowed);
}

#[test]
fn a_denial_of_a_large_request_does_not_stop_a_small_one() {
    let site = Site::new(rules());
    site.check("user:1", "api");
    let asking = |cost| slbp::limiter::Request { cost, ..slbp::limiter::Request::new(b"user:1", b"api") };
    assert!(!site.limiter.check(&asking(3)).unwrap().allowed);
    assert!(site.limiter.check(&asking(2)).unwrap().allowed);
    assert!(!site.limiter.check(&asking(1)).unwrap().allowed);
}
