//! What a check costs, beside peers of the same run.
//!
//! `cargo bench --no-default-features --bench limiter`. In-memory figures are the best of many short
//! rounds, because the machine is shared and only the best round was alone; Redis figures are medians.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::{Ipv4Net, Ipv6Net};
use prefix_trie::PrefixSet;
use serde_json::{Value, json};
use slbp::clock::{Clock, SystemClock, Timestamp};
use slbp::limiter::lists::ListKind;
use slbp::limiter::policy::{Algorithm, Quota};
use slbp::limiter::settings::Settings;
use slbp::limiter::{Host, Limiter, Request};
use slbp::ports::Detached;
use slbp::remote::redis::{RedisLink, Replay, Script};
use slbp::shm::{Plan, Segment};

use common::redis::RedisServer;

const ROUNDS: usize = 300;
const CALLS: usize = 1_000;
const NETWORKS: usize = 100_000;

/// Nanoseconds a call in the best round. `call` gets a number that runs up.
fn best<R>(mut call: impl FnMut(usize) -> R) -> f64 {
    (0..ROUNDS)
        .map(|round| {
            let started = Instant::now();
            for step in 0..CALLS {
                black_box(call(black_box(round * CALLS + step)));
            }
            started.elapsed().as_nanos() as f64 / CALLS as f64
        })
        .fold(f64::MAX, f64::min)
}

fn show(what: &str, nanos: f64) {
    println!("{what:<66} {nanos:>9.1} ns");
}

fn segment() -> &'static Segment {
    Box::leak(Box::new(Segment::anonymous(&Plan::for_size(64 << 20).unwrap()).unwrap()))
}

fn limiter(segment: &'static Segment, config: Value) -> Limiter {
    let detached = Detached::default();
    let host = Host {
        segment,
        clock: Arc::new(SystemClock),
        site: b"/var/www/html/\0wp_\0a salt of some sixty-four characters, as wp-config.php has".to_vec(),
        server_addresses: Vec::new(),
        random: Box::new(|| 0),
    };
    Limiter::new(Settings::read(&config, &detached, &detached).unwrap(), host).unwrap()
}

fn main() {
    policies();
    checks();
    lists();
    redis();
}

fn policies() {
    println!("-- the arithmetic alone");
    show("reading the clock", best(|_| SystemClock.now()));
    for (name, algorithm) in Algorithm::NAMES {
        let quota = Quota::new(algorithm, 4_000_000, 3600, None).unwrap();
        let now = SystemClock.now();
        let mut word = 0;
        let nanos = best(|n| {
            let step = quota.spend(word, Timestamp::from_nanos(now.nanos() + n as u64), 1);
            word = step.write.unwrap_or(word);
        });
        show(&format!("{name}: one decision"), nanos);
    }
}

fn checks() {
    println!("-- a check in shared memory, lists empty");
    let config = json!({
        "sliding": {"limit": 4_000_000, "window": 3600},
        "gcra": {"limit": 4_000_000, "window": 3600, "algorithm": "gcra"},
        "fixed": {"limit": 4_000_000, "window": 3600, "algorithm": "fixed_window"},
        "both": {"limits": [{"limit": 4_000_000, "window": 60}, {"limit": 4_000_000, "window": 3600}]},
        "tight": {"limit": 1, "window": 7_776_000},
        "api/*": {"limit": 4_000_000, "window": 3600},
    });
    let limiter = limiter(segment(), config);
    let check =
        |client: &[u8], endpoint: &[u8]| limiter.check(&Request::new(client, endpoint)).unwrap().allowed;
    for endpoint in ["sliding", "gcra", "fixed", "both", "tight", "api/v1/orders", "checkout/webhook/stripe"]
    {
        show(&format!("user:123, endpoint {endpoint}"), best(|_| check(b"user:123", endpoint.as_bytes())));
    }
    show("ip:203.0.113.7, endpoint sliding", best(|_| check(b"ip:203.0.113.7", b"sliding")));
    show("ip:2001:db8:1:2::5, endpoint sliding", best(|_| check(b"ip:2001:db8:1:2::5", b"sliding")));
    let clients: Vec<String> = (0..50_000).map(|n| format!("user:{n}")).collect();
    for client in &clients {
        check(client.as_bytes(), b"sliding");
    }
    let scattered = |n: usize| (n * 7919) % clients.len();
    show("one of 50,000 clients", best(|n| check(clients[scattered(n)].as_bytes(), b"sliding")));
    let peek =
        |n: usize| limiter.peek(&Request::new(clients[scattered(n)].as_bytes(), b"sliding")).unwrap().allowed;
    show("one of 50,000 clients, peek", best(peek));
}

/// Numbers that look random and are the same in every run.
fn mixed(n: usize) -> u64 {
    let mut x = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Networks as feeds of bad addresses have them: mostly /24 and /32, some of every length from 8 on;
/// loopback left out.
fn v4_networks(spread_evenly: bool) -> Vec<Ipv4Net> {
    let length = |n: usize| match mixed(n) % 10 {
        _ if spread_evenly => 9 + (mixed(n) % 24) as u8,
        0..=4 => 32,
        5..=7 => 24,
        _ => 16 + (mixed(n) / 10 % 17) as u8,
    };
    let address = |n: usize| Ipv4Addr::from((mixed(n + NETWORKS) as u32 & 0x7fff_ffff) | 0x8000_0000);
    (0..NETWORKS).map(|n| Ipv4Net::new(address(n), length(n)).unwrap().trunc()).collect()
}

fn v6_networks() -> Vec<Ipv6Net> {
    let bits =
        |n: usize| (u128::from(mixed(n)) << 64 | u128::from(mixed(n + 1))) & (u128::MAX >> 4) | 0x2 << 124;
    let length = |n: usize| [32, 40, 44, 48, 56, 64, 128][mixed(n) as usize % 7];
    (0..NETWORKS).map(|n| Ipv6Net::new(Ipv6Addr::from_bits(bits(n)), length(n)).unwrap().trunc()).collect()
}

fn lists() {
    println!("-- a lookup among {NETWORKS} networks, any address");
    for (what, networks) in [("like a feed", v4_networks(false)), ("24 lengths evenly", v4_networks(true))] {
        let limiter = limiter(segment(), json!({}));
        fill(&limiter, &networks);
        let trie: PrefixSet<Ipv4Net> = networks.iter().copied().collect();
        let addresses: Vec<Ipv4Addr> =
            (0..100_000).map(|n| Ipv4Addr::from(mixed(n + 7 * NETWORKS) as u32 | 1 << 31)).collect();
        compare(what, &limiter, &addresses.iter().map(|a| IpAddr::V4(*a)).collect::<Vec<_>>(), |n| {
            trie.get_lpm(&Ipv4Net::from(addresses[n % addresses.len()])).is_some()
        });
    }
    let networks = v6_networks();
    let limiter = limiter(segment(), json!({}));
    fill(&limiter, &networks);
    let trie: PrefixSet<Ipv6Net> = networks.iter().copied().collect();
    let addresses: Vec<Ipv6Addr> =
        networks.iter().map(|n| Ipv6Addr::from_bits(n.network().to_bits() ^ 1 << 90)).collect();
    compare("IPv6", &limiter, &addresses.iter().map(|a| IpAddr::V6(*a)).collect::<Vec<_>>(), |n| {
        trie.get_lpm(&Ipv6Net::from(addresses[n % addresses.len()])).is_some()
    });
}

fn fill<N: std::fmt::Display>(limiter: &Limiter, networks: &[N]) {
    for network in networks {
        limiter.add(ListKind::Blacklist, &network.to_string(), None, "", "feed").unwrap();
    }
}

fn compare(what: &str, limiter: &Limiter, addresses: &[IpAddr], trie: impl FnMut(usize) -> bool) {
    let ids: Vec<String> = addresses.iter().map(|address| format!("ip:{address}")).collect();
    let listed = |n: usize| limiter.is_listed(ListKind::Blacklist, ids[n % ids.len()].as_bytes());
    let hits = (0..ids.len()).filter(|n| listed(*n)).count();
    let ours = best(listed);
    let theirs = best(trie);
    show(&format!("{what}: shared by all workers ({hits} of {} hit)", ids.len()), ours);
    show(&format!("{what}: prefix-trie, private to one process"), theirs);
    let parse = best(|n| ids[n % ids.len()][3..].parse::<IpAddr>());
    show(&format!("{what}: of which reading the address from its text"), parse);
}

fn redis() {
    println!("-- Redis over a unix socket, medians");
    let server = RedisServer::start();
    let mut link = RedisLink::new(server.settings_unix());
    let bare = Script::new("return 1");
    let config = json!({
        "backend": "redis",
        "redis": {"path": server.socket().to_str().unwrap(), "timeout": 1},
        "sliding": {"limit": 4_000_000, "window": 3600},
        "both": {"limits": [{"limit": 4_000_000, "window": 60}, {"limit": 4_000_000, "window": 3600}]},
        "tight": {"limit": 1, "window": 3600},
    });
    let limiter = limiter(segment(), config);
    let check = |endpoint: &str| {
        black_box(limiter.check(&Request::new(b"user:123", endpoint.as_bytes())).unwrap());
    };
    let medians = interleaved(&mut [
        &mut || drop(link.eval(&bare, &[b"{x}"], &[], Replay::Safe).unwrap()),
        &mut || check("sliding"),
        &mut || check("both"),
        &mut || check("tight"),
    ]);
    show("bare EVALSHA of `return 1`", medians[0]);
    show(&format!("a check with one limit ({:.2} x bare)", medians[1] / medians[0]), medians[1]);
    show(&format!("a check with two limits ({:.2} x bare)", medians[2] / medians[0]), medians[2]);
    show("a blocked client (denial cached in shared memory)", medians[3]);
}

/// Medians of calls that take turns, so that noise hits all alike.
fn interleaved(calls: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let mut samples = vec![Vec::new(); calls.len()];
    for _ in 0..5_000 {
        for (call, samples) in calls.iter_mut().zip(&mut samples) {
            let started = Instant::now();
            call();
            samples.push(started.elapsed());
        }
    }
    samples.iter_mut().map(|samples| median(samples)).collect()
}

fn median(samples: &mut [Duration]) -> f64 {
    samples.sort_unstable();
    samples[samples.len() / 2].as_nanos() as f64
}
