//! The shared layer alone: what is found, what makes room, and what a killed writer leaves behind.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::cache::codec::{Objects, decode, encode};
use crate::cache::meta::{Refs, Times};
use crate::cache::value::{Tree, Value};
use crate::shm::Plan;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn segment(cache: usize) -> Segment {
    Segment::anonymous(&Plan { cache, cache_locks: 17, ..Plan::smallest() }).unwrap()
}

fn meta(site: &Site<'_>, ttl: u64) -> Meta {
    let refs = Refs::new(group_slot(b"posts"), []).unwrap();
    let ttl = (ttl > 0).then_some(Duration::from_secs(ttl));
    let times = Times::lasting(ttl, Duration::ZERO, NOW);
    Meta { fingerprint: site.fingerprint(&refs), times, cost: 0, flags: 0, refs }
}

fn bytes(value: &Value) -> Vec<u8> {
    encode(value, 1 << 20).unwrap().bytes
}

fn put(l1: &L1<'_>, site: &Site<'_>, key: &[u8], value: &Value) -> bool {
    l1.put(site, key, &meta(site, 0), &bytes(value), Condition::Always, NOW) == Stored::Yes
}

fn get(l1: &L1<'_>, site: &Site<'_>, key: &[u8]) -> Option<Value> {
    let mut out = Vec::new();
    let hit = l1.get(site, key, NOW, &mut out)?;
    Some(decode(&out[..hit.len], Objects::Refused, &mut Tree).unwrap())
}

#[test]
fn what_is_put_is_got_until_it_is_removed() {
    let segment = segment(1 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    for value in [Value::Null, Value::Bool(false), Value::Int(-7), Value::text(""), Value::text("text")] {
        assert!(put(&l1, &site, b"key", &value));
        assert_eq!(get(&l1, &site, b"key"), Some(value));
    }
    assert!(l1.remove(&site, b"key", NOW));
    assert!(!l1.remove(&site, b"key", NOW));
    assert_eq!(get(&l1, &site, b"key"), None);
    assert_eq!(l1.usage().items, 0);
}

#[test]
fn sites_do_not_see_one_another() {
    let segment = segment(4 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let (a, b) = (l1.site(b"a", NOW).unwrap(), l1.site(b"b", NOW).unwrap());
    put(&l1, &a, b"key", &Value::Int(1));
    assert_eq!(get(&l1, &b, b"key"), None);
    put(&l1, &b, b"key", &Value::Int(2));
    a.begin(SITE_SLOT, NOW);
    assert_eq!(get(&l1, &a, b"key"), None);
    assert_eq!(get(&l1, &b, b"key"), Some(Value::Int(2)));
}

#[test]
fn expiry_grace_and_generations_end_an_entry() {
    let segment = segment(1 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let refs = Refs::new(group_slot(b"posts"), [tag_slot(b"t")]).unwrap();
    let times = Times::until(NOW.plus(Duration::from_secs(10)), Duration::from_secs(5));
    let meta = Meta { times, refs, fingerprint: site.fingerprint(&refs), ..meta(&site, 10) };
    let mut out = Vec::new();
    let mut state = |after: u64| {
        l1.get(&site, b"k", NOW.plus(Duration::from_millis(after)), &mut out).map(|hit| hit.stale)
    };
    assert_eq!(l1.put(&site, b"k", &meta, &bytes(&Value::Int(1)), Condition::Always, NOW), Stored::Yes);
    assert_eq!(state(9_999), Some(false));
    assert_eq!(state(10_000), Some(true));
    assert_eq!(state(14_999), Some(true));
    assert_eq!(state(15_000), None);
    for slot in [SITE_SLOT, group_slot(b"posts"), tag_slot(b"t")] {
        let fresh = Meta { fingerprint: site.fingerprint(&refs), ..meta };
        l1.put(&site, b"k", &fresh, &bytes(&Value::Int(1)), Condition::Always, NOW);
        assert_eq!(state(0), Some(false));
        site.begin(slot, NOW);
        assert_eq!(state(0), None);
    }
}

#[test]
fn a_counter_is_added_to_in_place_and_keeps_its_expiry() {
    let segment = segment(1 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    l1.put(&site, b"n", &meta(&site, 10), &bytes(&Value::Int(5)), Condition::Always, NOW);
    assert_eq!(l1.add(&site, b"n", NOW, |n| n + 1000), Some(1005));
    assert_eq!(get(&l1, &site, b"n"), Some(Value::Int(1005)));
    assert_eq!(l1.add(&site, b"n", NOW.plus(Duration::from_secs(10)), |n| n + 1), None);
    put(&l1, &site, b"text", &Value::text("5"));
    assert_eq!(l1.add(&site, b"text", NOW, |n| n + 1), None);
}

#[test]
fn conditions_are_about_valid_values() {
    let segment = segment(1 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let put = |condition| l1.put(&site, b"k", &meta(&site, 0), &bytes(&Value::Int(1)), condition, NOW);
    assert_eq!(put(Condition::Present), Stored::Refused);
    assert_eq!(put(Condition::Absent), Stored::Yes);
    assert_eq!(put(Condition::Absent), Stored::Refused);
    assert_eq!(put(Condition::Present), Stored::Yes);
    site.begin(SITE_SLOT, NOW);
    assert_eq!(put(Condition::Present), Stored::Refused);
    assert_eq!(put(Condition::Absent), Stored::Yes);
}

/// Read elsewhere, invalidated meanwhile, then to be stored: that must not be.
#[test]
fn what_was_read_before_a_removal_is_not_stored_after_it() {
    let segment = segment(1 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let fill = |ticket| {
        let condition = Condition::Unchanged(ticket);
        l1.put(&site, b"k", &meta(&site, 0), &bytes(&Value::Int(1)), condition, NOW);
        get(&l1, &site, b"k").is_some()
    };
    assert!(fill(l1.ticket(&site, b"k")));
    let invalidations: [&dyn Fn(); 3] =
        [&|| assert!(l1.remove(&site, b"k", NOW)), &|| site.distrust(), &|| {
            site.learn_writes(key_slot(b"k"), 1);
        }];
    for invalidate in invalidations {
        let ticket = l1.ticket(&site, b"k");
        invalidate();
        assert!(!fill(ticket));
        assert!(fill(l1.ticket(&site, b"k")));
    }
}

/// Whoever holds the lock is stopped: what ought to be forgotten is served no more, the rest stays.
#[test]
fn a_lock_that_is_not_to_be_had_costs_one_slot_and_only_writers() {
    let segment = segment(1 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let other = (0..).map(|n| format!("other{n}")).find(|name| key_slot(name.as_bytes()) != key_slot(b"k"));
    let other = other.unwrap();
    for name in [b"k", other.as_bytes()] {
        assert!(put(&l1, &site, name, &Value::Int(1)));
    }
    let while_held = |work: &dyn Fn()| {
        let (held, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = l1.lock(l1.small_index(hash_of(&site, b"k"))).unwrap();
                held.store(true, Ordering::SeqCst);
                while !done.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            });
            while !held.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            work();
            done.store(true, Ordering::SeqCst);
        });
    };
    while_held(&|| {
        assert_eq!(l1.add(&site, b"k", NOW, |n| n + 1), None);
        let absent = l1.put(&site, b"k", &meta(&site, 0), &bytes(&Value::Int(2)), Condition::Absent, NOW);
        assert_eq!(absent, Stored::Failed);
    });
    assert_eq!(get(&l1, &site, b"k"), Some(Value::Int(1)));
    while_held(&|| assert!(!l1.remove(&site, b"k", NOW)));
    assert_eq!(get(&l1, &site, b"k"), None);
    assert_eq!(get(&l1, &site, other.as_bytes()), Some(Value::Int(1)));
}

#[test]
fn a_large_value_and_a_small_one_take_each_others_place() {
    let segment = segment(4 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let large = Value::Bytes(vec![b'x'; 200_000]);
    for value in [Value::Int(1), large.clone(), Value::text("small"), large] {
        assert!(put(&l1, &site, b"k", &value));
        assert_eq!(get(&l1, &site, b"k"), Some(value));
        assert_eq!(l1.usage().items, 1);
    }
    assert!(!put(&l1, &site, b"k", &Value::Bytes(vec![0; l1.largest_value() + 1024])));
    assert_eq!(get(&l1, &site, b"k"), None, "what does not fit takes the old value with it");
}

#[test]
fn a_full_cache_evicts_and_keeps_what_is_read() {
    let segment = segment(2 << 20);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let hot: Vec<String> = (0..200).map(|n| format!("hot:{n}")).collect();
    let value = Value::Bytes(vec![7; 100]);
    for key in &hot {
        put(&l1, &site, key.as_bytes(), &value);
    }
    let mut lost = 0;
    for n in 0..20_000 {
        assert!(put(&l1, &site, format!("cold:{n}").as_bytes(), &value));
        if n % 50 == 0 {
            for key in &hot {
                if get(&l1, &site, key.as_bytes()).is_none() {
                    lost += 1;
                    put(&l1, &site, key.as_bytes(), &value);
                }
            }
        }
    }
    let usage = l1.usage();
    assert!(usage.evictions > 8_000, "{usage:?}");
    assert!(usage.items > 5_000, "it is full, never wiped: {usage:?}");
    assert!(lost < 20, "a scan of 20,000 keys pushed hot ones out {lost} times");
}

#[test]
fn a_cache_that_fills_uses_its_room() {
    let segment = Segment::anonymous(&Plan { cache: 16 << 20, cache_locks: 64, ..Plan::smallest() }).unwrap();
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let value = Value::Bytes(vec![7; 64]);
    for n in 0..150_000 {
        put(&l1, &site, format!("some_key_of_wordpress:{n}").as_bytes(), &value);
    }
    let usage = l1.usage();
    let bytes_per_entry = (16 << 20) / 4 * 3 / usage.items;
    assert!(bytes_per_entry < 190, "{bytes_per_entry} bytes of region per entry: {usage:?}");
}

#[test]
fn a_site_over_its_share_leaves_the_others_alone() {
    let segment = segment(4 << 20);
    let l1 = L1::open(&segment, 0.2).unwrap();
    let (greedy, modest) = (l1.site(b"greedy", NOW).unwrap(), l1.site(b"modest", NOW).unwrap());
    let value = Value::Bytes(vec![7; 100]);
    let keys: Vec<String> = (0..1000).map(|n| format!("k:{n}")).collect();
    for _ in 0..4 {
        for key in &keys {
            if get(&l1, &modest, key.as_bytes()).is_none() {
                put(&l1, &modest, key.as_bytes(), &value);
            }
        }
    }
    for round in 0..4 {
        for n in 0..6_000 {
            let key = format!("g:{n}");
            if round == 0 || get(&l1, &greedy, key.as_bytes()).is_none() {
                put(&l1, &greedy, key.as_bytes(), &value);
            }
            get(&l1, &greedy, key.as_bytes());
            get(&l1, &greedy, key.as_bytes());
        }
        for key in &keys {
            get(&l1, &modest, key.as_bytes());
        }
    }
    let kept = keys.iter().filter(|key| get(&l1, &modest, key.as_bytes()).is_some()).count();
    assert!(kept > 900, "{kept} of 1000 are left");
}

/// Readers and writers on the same few keys: a reader gets a whole value of its key or none.
#[test]
fn readers_never_see_half_a_value() {
    let segment = segment(256 << 10);
    let l1 = L1::open(&segment, 1.0).unwrap();
    let site = l1.site(b"a", NOW).unwrap();
    let stop = AtomicBool::new(false);
    let hits: usize = std::thread::scope(|scope| {
        for writer in 0..2usize {
            let (l1, stop) = (&l1, &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = (n * 7 + writer) % 64;
                    let body = vec![(n % 251) as u8; 100 + (n * 13) % 1500];
                    put(
                        l1,
                        &site,
                        format!("key:{key}").as_bytes(),
                        &Value::Array(vec![(
                            super::super::value::OwnedKey::Int(key as i64 + 1),
                            Value::Bytes(body),
                        )]),
                    );
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut hits = 0;
                    for n in 0..12_000usize {
                        let key = n % 64;
                        let Some(value) = get(&l1, &site, format!("key:{key}").as_bytes()) else { continue };
                        let Value::Array(pairs) = value else { panic!("{value:?}") };
                        let (name, Value::Bytes(body)) = &pairs[0] else { panic!() };
                        assert_eq!(*name, super::super::value::OwnedKey::Int(key as i64 + 1));
                        assert!(body.iter().all(|byte| *byte == body[0]));
                        hits += 1;
                    }
                    hits
                })
            })
            .collect();
        let hits = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        stop.store(true, Ordering::Relaxed);
        hits
    });
    assert!(hits > 2_000, "{hits}");
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u16),
    Remove(u8),
    Get(u8),
    Add(u8),
    Flush,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..40, 0u16..3000).prop_map(|(key, len)| Op::Put(key, len)),
        1 => (0u8..40).prop_map(Op::Remove),
        6 => (0u8..40).prop_map(Op::Get),
        2 => (0u8..40).prop_map(Op::Add),
        1 => Just(Op::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Against a plain map: an answer is the last value put, or a miss.
    #[test]
    fn it_never_answers_with_anything_but_the_last_value(ops in proptest::collection::vec(any_op(), 1..600)) {
        let segment = segment(96 << 10);
        let l1 = L1::open(&segment, 1.0).unwrap();
        let site = l1.site(b"a", NOW).unwrap();
        let mut model: HashMap<u8, Value> = HashMap::new();
        for (step, op) in ops.into_iter().enumerate() {
            match op {
                Op::Put(key, len) => {
                    let value = if len % 3 == 0 { Value::Int(step as i64) } else { Value::Bytes(vec![step as u8; usize::from(len)]) };
                    if put(&l1, &site, &[key], &value) {
                        prop_assert_eq!(get(&l1, &site, &[key]), Some(value.clone()));
                        model.insert(key, value);
                    } else {
                        model.remove(&key);
                    }
                }
                Op::Remove(key) => {
                    l1.remove(&site, &[key], NOW);
                    model.remove(&key);
                    prop_assert_eq!(get(&l1, &site, &[key]), None);
                }
                Op::Get(key) => {
                    let got = get(&l1, &site, &[key]);
                    prop_assert!(got.is_none() || got.as_ref() == model.get(&key));
                }
                Op::Add(key) => {
                    if let Some(sum) = l1.add(&site, &[key], NOW, |n| n + 1) {
                        prop_assert_eq!(model.get(&key), Some(&Value::Int(sum - 1)));
                        model.insert(key, Value::Int(sum));
                    }
                }
                Op::Flush => {
                    site.begin(SITE_SLOT, NOW);
                    model.clear();
                }
            }
        }
    }
}
