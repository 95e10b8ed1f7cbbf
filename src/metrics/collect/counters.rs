//! The event counts of the segment: the limiter's, the cache's, the segment's own. They are read, not
//! counted twice; they are those of all sites that share the memory.

use crate::clock::Timestamp;
use crate::metrics::model::{Family, Kind, Series, Value};
use crate::shm::{Counter, Counters, Info, Segment};

/// A counter with one label: its name, help text, the label, and what each value of it counts.
type Labelled = (&'static str, &'static str, &'static str, &'static [(&'static str, Counter)]);

const LABELLED: [Labelled; 4] = [
    (
        "slbp_rate_limit_checks_total",
        "Checks of the rate limiter by what became of them, all sites of this host.",
        "result",
        &[
            ("allowed", Counter::LimiterAllowed),
            ("denied", Counter::LimiterDenied),
            ("banned", Counter::LimiterBanned),
            ("blacklisted", Counter::LimiterBlacklisted),
            ("whitelisted", Counter::LimiterWhitelisted),
            ("dry_run", Counter::LimiterDryRun),
        ],
    ),
    (
        "slbp_cache_hits_total",
        "Values found, by layer, all sites of this host.",
        "layer",
        &[("shm", Counter::CacheL1Hits), ("remote", Counter::CacheL2Hits)],
    ),
    (
        "slbp_cache_misses_total",
        "Values not found, by layer, all sites of this host.",
        "layer",
        &[("shm", Counter::CacheL1Misses), ("remote", Counter::CacheL2Misses)],
    ),
    (
        "slbp_breaker_transitions_total",
        "Circuit breakers of remote stores that opened or closed.",
        "to",
        &[("open", Counter::BreakerOpened), ("closed", Counter::BreakerClosed)],
    ),
];

const PLAIN: [(&str, &str, Counter); 9] = [
    ("slbp_rate_limit_violations_total", "Violations recorded.", Counter::LimiterViolations),
    ("slbp_rate_limit_bans_total", "Bans begun.", Counter::LimiterBans),
    (
        "slbp_rate_limit_store_fallback_total",
        "Checks that the local limit answered because the remote store did not.",
        Counter::LimiterStoreFallback,
    ),
    ("slbp_cache_stored_total", "Values stored.", Counter::CacheStored),
    ("slbp_cache_deleted_total", "Values deleted.", Counter::CacheDeleted),
    (
        "slbp_cache_remote_failures_total",
        "Calls of Redis or Memcached that failed or were not made.",
        Counter::CacheL2Failures,
    ),
    (
        "slbp_cache_stale_served_total",
        "Stale values served while somebody computed new ones.",
        Counter::CacheStaleServed,
    ),
    ("slbp_shm_table_full_total", "A shared table had no room.", Counter::TableFull),
    ("slbp_shm_table_busy_total", "A shared table was locked for too long.", Counter::TableBusy),
];

/// All of them, and the share of values that the cache found.
pub fn families(segment: &Segment) -> Vec<Family> {
    let (counters, info) = (segment.counters(), segment.info());
    let created = info.created;
    let labelled = LABELLED.iter().map(|(name, help, label, values)| {
        let one =
            |(value, counter): &(&str, Counter)| series(&[(label, value)], counters.get(*counter), created);
        Family { series: values.iter().map(one).collect(), ..Family::new(*name, Kind::Counter, *help) }
    });
    let plain = PLAIN.iter().map(|(name, help, counter)| Family {
        series: vec![series(&[], counters.get(*counter), created)],
        ..Family::new(*name, Kind::Counter, *help)
    });
    labelled.chain(plain).chain(hit_ratio(&counters)).chain(of_the_memory(&info)).collect()
}

/// How full the tables are, and how often a lock was taken over from the dead.
fn of_the_memory(info: &Info) -> Vec<Family> {
    let kind = |name, help| Family::new(name, Kind::Gauge, help);
    let mut used = kind("slbp_shm_slots_used", "Slots of shared memory in use, by table.");
    let mut capacity = kind("slbp_shm_slots", "Slots of shared memory, by table.");
    for region in &info.regions {
        if let Some(count) = region.used {
            used = used.with(&[("table", region.kind.name())], count as f64);
            capacity = capacity.with(&[("table", region.kind.name())], region.capacity as f64);
        }
    }
    let counter = |name, help, count| Family {
        series: vec![series(&[], count, info.created)],
        ..Family::new(name, Kind::Counter, help)
    };
    vec![
        used,
        capacity,
        counter(
            "slbp_shm_lock_recoveries_total",
            "Locks taken over from a process that died.",
            info.recoveries,
        ),
        counter("slbp_shm_lock_timeouts_total", "Locks that were not free in time.", info.lock_timeouts),
        Family::gauge(
            "slbp_shm_created_timestamp_seconds",
            "When the memory was made: php-fpm's start or reload, at which counters begin at 0.",
            info.created.nanos() as f64 / 1e9,
        ),
    ]
}

fn series(labels: &[(&'static str, &str)], count: u64, created: Timestamp) -> Series {
    let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
    Series { labels, value: Value::Number(count as f64), created: Some(created) }
}

/// Absent until something was looked for. A value that only the remote store had was found.
fn hit_ratio(counters: &Counters<'_>) -> Option<Family> {
    let local = counters.get(Counter::CacheL1Hits);
    let remote = counters.get(Counter::CacheL2Hits);
    let looked = local + counters.get(Counter::CacheL1Misses) + counters.get(Counter::CacheL1Bypassed);
    (looked > 0).then(|| {
        Family::gauge(
            "slbp_performance_cache_hit_ratio",
            "Values found per hundred looked for since the memory was made, all sites of this host.",
            100.0 * (local + remote).min(looked) as f64 / looked as f64,
        )
    })
}
