//! Registering, updating and reading, as one process does it.

use slbp::clock::{ManualClock, SystemClock, Timestamp};
use slbp::error::Kind as ErrorKind;
use slbp::metrics::{Definition, Kind, OVERFLOW, Registry, Value};
use slbp::shm::{Plan, Segment};

use super::{family, labelled, number, pair, segment, total};

#[test]
fn what_was_added_is_shown() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    assert!(registry.register(&labelled("orders_total", Kind::Counter, &["plan"])).unwrap());
    assert!(registry.register(&Definition::gauge("depth", "Depth.").unwrap()).unwrap());
    for (plan, by) in [("pro", 1.0), ("basic", 2.5), ("pro", 1.0)] {
        registry.increment("orders_total", by, &pair("plan", plan), &SystemClock).unwrap();
    }
    registry.set("depth", -3.0, &[], &SystemClock).unwrap();
    registry.increment("depth", 0.5, &[], &SystemClock).unwrap();
    assert_eq!(number(&registry, "orders_total", Some("pro")), Some(2.0));
    assert_eq!(number(&registry, "orders_total", Some("basic")), Some(2.5));
    assert_eq!(number(&registry, "depth", None), Some(-2.5));
    let plans: Vec<_> =
        family(&registry, "orders_total").series.iter().map(|s| s.labels[0].1.clone()).collect();
    assert_eq!(plans, ["basic", "pro"], "series stand in the order of their labels");
}

#[test]
fn a_histogram_counts_by_size_and_its_sum_is_exact() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    let bounds = [0.1, 1.0, 10.0];
    let definition = Definition::new("work_seconds", Kind::Histogram, "Work.", &[], &bounds).unwrap();
    registry.register(&definition).unwrap();
    for value in [0.0, 0.1, 0.100_000_001, 1.0, 99.0] {
        registry.observe("work_seconds", value, &[], &SystemClock).unwrap();
    }
    let Value::Histogram(histogram) = family(&registry, "work_seconds").series.remove(0).value else {
        panic!("no histogram")
    };
    assert_eq!(histogram.counts, [2, 2, 0, 1], "a bound belongs to its bucket");
    assert!((histogram.sum - 100.200_000_001).abs() < 1e-9, "{}", histogram.sum);
}

#[test]
fn counting_begins_when_the_series_does() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    let clock = ManualClock::at(Timestamp::from_secs(1_000));
    registry.register(&labelled("a_total", Kind::Counter, &["x"])).unwrap();
    registry.increment("a_total", 1.0, &pair("x", "1"), &clock).unwrap();
    clock.set(Timestamp::from_secs(2_000));
    registry.increment("a_total", 1.0, &pair("x", "1"), &clock).unwrap();
    registry.increment("a_total", 1.0, &pair("x", "2"), &clock).unwrap();
    let created: Vec<_> =
        family(&registry, "a_total").series.iter().map(|s| s.created.unwrap().secs()).collect();
    assert_eq!(created, [1_000, 2_000]);
}

#[test]
fn misuse_names_what_was_expected() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    registry.register(&labelled("a_total", Kind::Counter, &["x"])).unwrap();
    registry.register(&Definition::gauge("level", "Level.").unwrap()).unwrap();
    let clock = &SystemClock;
    for (outcome, expected) in [
        (registry.increment("b_total", 1.0, &[], clock), "$name: 'b_total' is not registered"),
        (registry.increment("a", 1.0, &pair("x", "1"), clock), "$name: 'a' is not registered"),
        (registry.increment("a_total", 1.0, &[], clock), "$labels: 'a_total' has the labels x, got none"),
        (registry.increment("a_total", -1.0, &pair("x", "1"), clock), "$by: a counter only grows, got -1"),
        (registry.increment("a_total", f64::NAN, &[], clock), "$by: expected a finite number, got NaN"),
        (
            registry.set("a_total", 1.0, &pair("x", "1"), clock),
            "$name: 'a_total' is a counter, expected a gauge",
        ),
        (registry.observe("level", 1.0, &[], clock), "$name: 'level' is a gauge, expected a histogram"),
        (registry.observe("level", -1.0, &[], clock), "$value: expected a number >= 0, got -1"),
        (
            registry.register(&Definition::gauge("a", "A.").unwrap()).map(drop),
            "$name: 'a' is already known as 'a_total'; a change needs a reload of php-fpm",
        ),
        (
            registry.register(&labelled("a_total", Kind::Counter, &["y"])).map(drop),
            "$labels: 'a_total' is already known as with the labels [x]; a change needs a reload of php-fpm",
        ),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.to_string(), expected);
    }
    assert!(registry.register(&labelled("a_total", Kind::Counter, &["x"])).unwrap());
}

#[test]
fn sites_do_not_see_each_other() {
    let segment = segment();
    let (one, other) =
        (Registry::open(&segment, b"one").unwrap(), Registry::open(&segment, b"other").unwrap());
    one.register(&Definition::counter("a_total", "A.").unwrap()).unwrap();
    one.increment("a_total", 3.0, &[], &SystemClock).unwrap();
    assert!(other.families().is_empty());
    assert!(other.increment("a_total", 1.0, &[], &SystemClock).is_err());
    other.register(&Definition::gauge("a", "Another A.").unwrap()).unwrap();
    other.set("a", 7.0, &[], &SystemClock).unwrap();
    assert_eq!((number(&one, "a_total", None), number(&other, "a", None)), (Some(3.0), Some(7.0)));
}

#[test]
fn a_flood_of_label_values_neither_grows_nor_loses_anything() {
    const FLOOD: u32 = 100_000;
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    registry.register(&labelled("hits_total", Kind::Counter, &["visitor"])).unwrap();
    registry.register(&labelled("calm_total", Kind::Counter, &["x"])).unwrap();
    for visitor in 0..FLOOD {
        let labels = pair("visitor", &format!("visitor {visitor}"));
        registry.increment("hits_total", 1.0, &labels, &SystemClock).unwrap();
    }
    registry.increment("calm_total", 1.0, &pair("x", "1"), &SystemClock).unwrap();
    let shown = family(&registry, "hits_total").series.len();
    assert_eq!(shown, 201, "200 of its own and the overflow");
    assert_eq!(total(&registry, "hits_total"), f64::from(FLOOD), "no update is lost");
    assert_eq!(number(&registry, "hits_total", Some(OVERFLOW)), Some(f64::from(FLOOD - 200)));
    assert_eq!(registry.dropped(), u64::from(FLOOD - 200));
    assert_eq!(number(&registry, "calm_total", Some("1")), Some(1.0), "the neighbour has its room");
}

#[test]
fn a_tenant_cannot_take_everything() {
    let segment = segment();
    let (greedy, modest) =
        (Registry::open(&segment, b"greedy").unwrap(), Registry::open(&segment, b"modest").unwrap());
    for family in 0..400 {
        let name = format!("f{family}_total");
        if !greedy.register(&labelled(&name, Kind::Counter, &["x"])).unwrap() {
            continue;
        }
        for value in 0..250 {
            greedy.increment(&name, 1.0, &pair("x", &value.to_string()), &SystemClock).unwrap();
        }
    }
    assert!(greedy.dropped() > 0, "the test filled nothing");
    assert!(modest.register(&labelled("mine_total", Kind::Counter, &["x"])).unwrap());
    for value in 0..150 {
        modest.increment("mine_total", 1.0, &pair("x", &value.to_string()), &SystemClock).unwrap();
    }
    assert_eq!(family(&modest, "mine_total").series.len(), 150);
    assert_eq!(modest.dropped(), 0);
}

#[test]
fn histograms_without_room_are_counted_as_dropped() {
    let segment = Segment::anonymous(&Plan::smallest()).unwrap();
    let registry = Registry::open(&segment, b"site").unwrap();
    registry.register(&labelled("a_seconds", Kind::Histogram, &["x"])).unwrap();
    registry.register(&labelled("b_seconds", Kind::Histogram, &["x"])).unwrap();
    for value in 0..120 {
        for name in ["a_seconds", "b_seconds"] {
            registry.observe(name, 1.0, &pair("x", &value.to_string()), &SystemClock).unwrap();
        }
    }
    let seen = total(&registry, "a_seconds") + total(&registry, "b_seconds");
    assert!(registry.dropped() > 0 && seen > 100.0 && seen <= 240.0, "{seen}");
}

#[test]
fn a_full_table_is_read_whole() {
    let segment = segment();
    let registry = Registry::open(&segment, b"site").unwrap();
    for family in 0..20 {
        let name = format!("f{family}_total");
        registry.register(&labelled(&name, Kind::Counter, &["x"])).unwrap();
        for value in 0..200 {
            registry.increment(&name, 1.0, &pair("x", &value.to_string()), &SystemClock).unwrap();
        }
    }
    let shown: usize = registry.families().iter().map(|family| family.series.len()).sum();
    assert!(shown > 3_072, "{shown}");
    let counted: f64 = registry.families().iter().map(|family| total(&registry, &family.name)).sum();
    assert_eq!(counted, 4_000.0, "what had no room is in the overflow");
}
