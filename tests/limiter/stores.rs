//! The contract of a store, run over every one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use slbp::clock::{Clock, ManualClock, SystemClock, Timestamp};
use slbp::limiter::policy::{Algorithm, Quota, Wait};
use slbp::limiter::rules::Limit;
use slbp::limiter::store::guarded::Guarded;
use slbp::limiter::store::local::LocalWords;
use slbp::limiter::store::redis::RedisCounters;
use slbp::limiter::store::shm::SharedWords;
use slbp::limiter::store::{Answer, Charge, Counted, Intent, Store};
use slbp::remote::settings::RedisSettings;
use slbp::shm::{Key, Plan, Segment};

use crate::common::redis::{RedisCluster, RedisSentinel, RedisServer};
use crate::support::START;

/// A store and how its time passes.
struct Fixture<'a> {
    store: Box<dyn Store>,
    clock: Arc<dyn Clock>,
    pass: Box<dyn Fn(Duration) + 'a>,
}

fn segment() -> &'static Segment {
    Box::leak(Box::new(Segment::anonymous(&Plan::smallest()).unwrap()))
}

fn on_manual_time(store: impl FnOnce(Arc<ManualClock>) -> Box<dyn Store>) -> Fixture<'static> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(START)));
    Fixture { store: store(clock.clone()), clock: clock.clone(), pass: Box::new(move |by| clock.advance(by)) }
}

pub fn guarded(settings: &RedisSettings) -> Box<dyn Store> {
    let segment = segment();
    let clock = Arc::new(SystemClock);
    // This is about answers, not about their speed on a busy machine.
    let patient = settings.clone().with_timeouts(Duration::from_secs(10));
    Box::new(Guarded::new(
        RedisCounters::new(&patient, clock.clone()),
        segment.cells().unwrap().cell(Key::from_bits(1)).unwrap(),
        SharedWords::new(segment.words().unwrap()),
        clock,
        segment.counters(),
    ))
}

fn on_redis(settings: &RedisSettings) -> Fixture<'static> {
    Fixture { store: guarded(settings), clock: Arc::new(SystemClock), pass: Box::new(std::thread::sleep) }
}

/// A client that no other test has used.
fn client() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(std::process::id())
}

fn limit(algorithm: Algorithm, limit: u64, window: u64) -> Limit {
    Limit::new("rule", 0, Quota::new(algorithm, limit, window, None).unwrap())
}

fn every_algorithm() -> [Algorithm; 3] {
    Algorithm::NAMES.map(|(_, algorithm)| algorithm)
}

impl Fixture<'_> {
    fn spend(&self, client: u128, limits: &[Limit], cost: u32) -> Answer {
        self.store.charge(&Charge { client, limits, cost, now: self.clock.now() }, Intent::Spend).unwrap()
    }

    fn peek(&self, client: u128, limits: &[Limit], cost: u32) -> Answer {
        self.store.charge(&Charge { client, limits, cost, now: self.clock.now() }, Intent::Peek).unwrap()
    }

    fn holds_the_contract(&self) {
        for algorithm in every_algorithm() {
            self.allows_exactly_the_limit(algorithm);
            self.refuses_a_cost_above_what_is_left_and_spends_nothing(algorithm);
            self.keeps_clients_apart_and_forgets_one(algorithm);
        }
        self.charges_all_limits_or_none();
        self.allows_again_when_it_said_so();
    }

    fn allows_exactly_the_limit(&self, algorithm: Algorithm) {
        let (client, limits) = (client(), [limit(algorithm, 20, 3600)]);
        for left in (0..20).rev() {
            let answer = self.spend(client, &limits, 1);
            assert!(answer.verdict.allowed, "{algorithm:?}");
            assert_eq!(answer.verdict.remaining, left, "{algorithm:?}");
        }
        for _ in 0..5 {
            let verdict = self.spend(client, &limits, 1).verdict;
            assert_eq!((verdict.allowed, verdict.remaining), (false, 0), "{algorithm:?}");
            assert!(
                matches!(verdict.wait, Wait::For(wait) if wait > Duration::ZERO && wait <= Duration::from_secs(7200))
            );
        }
    }

    fn refuses_a_cost_above_what_is_left_and_spends_nothing(&self, algorithm: Algorithm) {
        let (client, limits) = (client(), [limit(algorithm, 10, 3600)]);
        let never = self.spend(client, &limits, 11).verdict;
        assert_eq!((never.allowed, never.wait, never.remaining), (false, Wait::Forever, 10), "{algorithm:?}");
        assert_eq!(self.spend(client, &limits, 7).verdict.remaining, 3);
        for _ in 0..3 {
            let verdict = self.spend(client, &limits, 4).verdict;
            assert_eq!((verdict.allowed, verdict.remaining), (false, 3), "{algorithm:?}");
            let verdict = self.peek(client, &limits, 3).verdict;
            assert_eq!((verdict.allowed, verdict.remaining), (true, 3), "{algorithm:?}");
        }
        assert_eq!(self.spend(client, &limits, 3).verdict.remaining, 0);
    }

    fn keeps_clients_apart_and_forgets_one(&self, algorithm: Algorithm) {
        let limits = [limit(algorithm, 1, 3600)];
        let (one, other) = (client(), client());
        assert!(self.spend(one, &limits, 1).verdict.allowed);
        assert!(!self.spend(one, &limits, 1).verdict.allowed);
        assert!(self.spend(other, &limits, 1).verdict.allowed);
        self.store.forget(one, &[limits[0].counter]).unwrap();
        assert!(
            self.spend(one, &limits, 1).verdict.allowed,
            "{algorithm:?}: also a cached denial is forgotten"
        );
        assert!(!self.spend(other, &limits, 1).verdict.allowed);
    }

    fn charges_all_limits_or_none(&self) {
        let [sliding, gcra, fixed] = every_algorithm();
        let quota = |algorithm, limit| Quota::new(algorithm, limit, 3600, None).unwrap();
        let limits = [
            Limit::new("rule", 0, quota(sliding, 100)),
            Limit::new("rule", 1, quota(gcra, 5)),
            Limit::new("rule", 2, quota(fixed, 50)),
        ];
        let client = client();
        for left in (0..5).rev() {
            let answer = self.spend(client, &limits, 1);
            assert_eq!((answer.limit, answer.verdict.remaining), (1, left), "the tightest limit answers");
        }
        for _ in 0..10 {
            let answer = self.spend(client, &limits, 1);
            assert_eq!((answer.limit, answer.verdict.allowed), (1, false));
        }
        assert_eq!(self.peek(client, &limits[..1], 1).verdict.remaining, 95);
        assert_eq!(self.peek(client, &limits[2..], 1).verdict.remaining, 45);
    }

    fn allows_again_when_it_said_so(&self) {
        for algorithm in every_algorithm() {
            let (client, limits) = (client(), [limit(algorithm, 1, 1)]);
            self.spend(client, &limits, 1);
            let verdict = self.spend(client, &limits, 1).verdict;
            if let Wait::For(wait) = verdict.wait {
                // A cached denial is rounded up to the millisecond.
                (self.pass)(wait + Duration::from_millis(1));
            }
            assert!(self.spend(client, &limits, 1).verdict.allowed, "{algorithm:?} after {:?}", verdict.wait);
        }
    }
}

#[test]
fn the_local_table_holds_the_contract() {
    on_manual_time(|clock| Box::new(Counted::new(LocalWords::new(1000), clock))).holds_the_contract();
}

#[test]
fn shared_memory_holds_the_contract() {
    let words = SharedWords::new(segment().words().unwrap());
    on_manual_time(|clock| Box::new(Counted::new(words, clock))).holds_the_contract();
}

#[test]
fn redis_holds_the_contract() {
    let server = RedisServer::start();
    on_redis(&server.settings()).holds_the_contract();
    on_redis(&RedisSettings { database: 3, prefix: "shop:".to_owned(), ..server.settings_unix() })
        .holds_the_contract();
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "*"])).unwrap();
    assert!(keys.iter().all(|key| key.starts_with("rl:{") && key.contains("}:")), "hash tags: {keys:?}");
}

#[test]
fn redis_over_tls_holds_the_contract() {
    let (_server, settings) = RedisServer::start_with_tls();
    on_redis(&settings).holds_the_contract();
}

#[test]
fn redis_cluster_holds_the_contract() {
    let cluster = RedisCluster::start();
    let fixture = on_redis(&cluster.settings());
    fixture.holds_the_contract();
    let limits = [limit(Algorithm::Gcra, 5, 3600)];
    (0..60_u128).for_each(|n| assert!(fixture.spend(client() | n << 96, &limits, 1).verdict.allowed));
    for node in &cluster.nodes {
        let size: i64 = redis::from_redis_value(node.ask(&["DBSIZE"])).unwrap();
        assert!(size > 5, "clients are spread over the nodes");
    }
}

#[test]
fn redis_behind_sentinels_holds_the_contract() {
    let group = RedisSentinel::start();
    on_redis(&group.settings()).holds_the_contract();
}

#[test]
fn a_server_that_forgot_the_script_is_taught_it_again() {
    let server = RedisServer::start();
    let fixture = on_redis(&server.settings());
    let (client, limits) = (client(), [limit(Algorithm::Gcra, 5, 3600)]);
    fixture.spend(client, &limits, 1);
    server.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(fixture.spend(client, &limits, 1).verdict.remaining, 3);
}

#[test]
fn counters_in_redis_expire_when_they_are_worth_nothing() {
    let server = RedisServer::start();
    let fixture = on_redis(&server.settings());
    for algorithm in every_algorithm() {
        fixture.spend(client(), &[limit(algorithm, 1, 1)], 1);
    }
    (fixture.pass)(Duration::from_millis(2_100));
    let size: i64 = redis::from_redis_value(server.ask(&["DBSIZE"])).unwrap();
    assert_eq!(size, 0);
}

#[test]
fn a_full_local_table_forgets_what_is_idle_first() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(START)));
    let store = Counted::new(LocalWords::new(2), clock.clone());
    let limits = [limit(Algorithm::Gcra, 5, 60)];
    let spend =
        |client| store.charge(&Charge { client, limits: &limits, cost: 1, now: clock.now() }, Intent::Spend);
    let allowed = |client| spend(client).unwrap().verdict.allowed;
    assert!((0..5).all(|_| allowed(1)));
    assert!((2..50).all(allowed), "a newcomer finds room");
    assert!(!allowed(1), "whom a crowd of newcomers does not wash away");
    clock.advance(Duration::from_secs(60));
    assert!(allowed(1));
}
