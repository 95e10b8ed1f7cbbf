//! The order of a decision, and what changes it.

use serde_json::json;
use slbp::error::Kind;
use slbp::limiter::lists::ListKind;
use slbp::limiter::{Reason, Request};
use slbp::shm::Counter;

use crate::support::{Bench, START, check, peek};

#[test]
fn a_rule_allows_its_limit_and_then_says_when_to_come_back() {
    let bench = Bench::new();
    let limiter =
        bench.limiter(json!({"limits": {"api": {"limit": 2, "window": 60, "algorithm": "fixed_window"}}}));
    bench.at(10);
    let first = check(&limiter, "user:1", "api");
    assert_eq!((first.allowed, first.limit, first.remaining, first.window), (true, 2, 1, 60));
    assert_eq!(
        (first.retry_after, first.reset, first.reason, first.policy),
        (0, START + 60, Reason::Ok, "api")
    );
    assert!(check(&limiter, "user:1", "api").allowed);
    let refused = check(&limiter, "user:1", "api");
    assert_eq!((refused.allowed, refused.remaining, refused.retry_after), (false, 0, 50));
    assert_eq!((refused.reset, refused.reason), (START + 60, Reason::Limit));
    assert!(check(&limiter, "user:2", "api").allowed, "each client has its own count");
    bench.at(59);
    assert!(!peek(&limiter, "user:1", "api").allowed);
    bench.at(60);
    assert!(check(&limiter, "user:1", "api").allowed);
}

#[test]
fn a_peek_spends_nothing_and_a_cost_above_the_limit_is_refused_without_spending() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({"general": {"limit": 3, "window": 60}}));
    let asking = |cost| Request { cost, ..Request::new(b"user:1", b"") };
    for _ in 0..5 {
        assert_eq!(peek(&limiter, "user:1", "").remaining, 3);
    }
    let refused = limiter.check(&asking(4)).unwrap();
    assert_eq!((refused.allowed, refused.remaining, refused.retry_after), (false, 3, 60));
    assert_eq!(limiter.check(&asking(3)).unwrap().remaining, 0);
    assert!(!peek(&limiter, "user:1", "").allowed);
}

#[test]
fn misuse_is_refused_with_the_arguments_name() {
    let limiter = Bench::new().limiter(json!({}));
    let error = limiter.check(&Request::new(b"", b"")).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.to_string().starts_with("client_id: "), "{error}");
    let error = limiter.check(&Request { cost: 0, ..Request::new(b"user:1", b"") }).unwrap_err();
    assert_eq!(error.to_string(), "cost: expected at least 1, got 0");
}

#[test]
fn every_limit_of_a_rule_is_checked_before_any_is_spent() {
    let bench = Bench::new();
    let several = json!({"api": {"limits": [{"limit": 100, "window": 3600}, {"limit": 2, "window": 10}]}});
    let limiter = bench.limiter(several);
    assert!(check(&limiter, "user:1", "api").allowed);
    let second = check(&limiter, "user:1", "api");
    assert_eq!((second.limit, second.remaining, second.window), (2, 0, 10), "the tightest limit is told");
    for _ in 0..50 {
        assert!(!check(&limiter, "user:1", "api").allowed);
    }
    let wide = bench.limiter(json!({"api": {"limits": [{"limit": 100, "window": 3600}]}}));
    assert_eq!(peek(&wide, "user:1", "api").remaining, 98, "refused requests spent nothing");
}

#[test]
fn an_endpoint_finds_its_rule_by_name_then_pattern_then_word() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({"limits": {
        "orders/list": {"limit": 11}, "orders/*": {"limit": 12}, "order*": {"limit": 13}, "auth": {"limit": 3}
    }}));
    for (endpoint, policy, limit) in [
        ("orders/list", "orders/list", 11),
        ("orders/new", "orders/*", 12),
        ("ordering", "order*", 13),
        ("wp-login.php", "auth", 3),
        ("OAuth/token", "auth", 3),
        ("billing", "payment", 50),
        ("payments", "payment", 50),
        ("stripe-webhook", "webhook", 1000),
        ("/skylearn-billing-pro/v1/rate-limit/status", "general", 100),
        ("/skylearn-billing-pro/v1/billing/run", "payment", 50),
        ("", "general", 100),
        ("anything", "general", 100),
    ] {
        let check = peek(&limiter, "user:1", endpoint);
        assert_eq!((check.policy, check.limit), (policy, limit), "endpoint '{endpoint}'");
    }
}

#[test]
fn a_plan_lays_its_rules_over_those_of_the_site() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({
        "general": {"limit": 5, "window": 60},
        "plans": {"pro": {"general": {"limit": 50, "window": 60}, "reports/*": {"limit": 7}}}
    }));
    let limit =
        |plan, endpoint| limiter.peek(&Request { plan, ..Request::new(b"user:1", endpoint) }).unwrap().limit;
    assert_eq!(limit(None, b"general"), 5);
    assert_eq!(limit(Some("pro"), b"general"), 50);
    assert_eq!(limit(Some("pro"), b"reports/x"), 7);
    assert_eq!(limit(Some("pro"), b"auth"), 10);
    assert_eq!(limit(Some("nobody heard of it"), b"general"), 5);
}

#[test]
fn the_blacklist_goes_before_the_whitelist_and_both_before_the_limits() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({"general": {"limit": 1, "window": 60}}));
    limiter.add(ListKind::Whitelist, "198.51.100.0/24", None, "office", "admin").unwrap();
    for _ in 0..3 {
        assert_eq!(check(&limiter, "ip:198.51.100.9", "").reason, Reason::Whitelist);
    }
    limiter.add(ListKind::Blacklist, "198.51.100.9", Some(90), "", "admin").unwrap();
    let refused = check(&limiter, "ip:198.51.100.9", "");
    assert_eq!((refused.allowed, refused.reason, refused.retry_after), (false, Reason::Blacklist, 90));
    let user_there =
        Request { address: Some("198.51.100.9".parse().unwrap()), ..Request::new(b"user:1", b"") };
    assert_eq!(limiter.check(&user_there).unwrap().reason, Reason::Blacklist);
    assert!(limiter.remove(ListKind::Blacklist, "198.51.100.9").unwrap());
    assert!(!limiter.remove(ListKind::Blacklist, "198.51.100.9").unwrap());
    assert!(limiter.remove(ListKind::Whitelist, "198.51.100.0/24").unwrap());
    assert_eq!(check(&limiter, "ip:198.51.100.9", "").reason, Reason::Ok);
}

#[test]
fn dry_run_decides_and_counts_but_allows() {
    let bench = Bench::new();
    let limiter =
        bench.limiter(json!({"api": {"limit": 1, "window": 60, "dry_run": true}, "auth": {"limit": 1}}));
    check(&limiter, "user:1", "api");
    let over = check(&limiter, "user:1", "api");
    assert_eq!((over.allowed, over.reason, over.retry_after), (true, Reason::DryRun, 0));
    check(&limiter, "user:1", "auth");
    assert!(!check(&limiter, "user:1", "auth").allowed, "other rules hold");
    let everywhere = bench.limiter(json!({"dry_run": true, "blacklist": ["user:9"]}));
    assert_eq!(check(&everywhere, "user:9", "api").reason, Reason::DryRun);
    let counted = |counter| bench.segment.counters().get(counter);
    assert_eq!((counted(Counter::LimiterDryRun), counted(Counter::LimiterDenied)), (2, 1));
}

#[test]
fn a_reset_gives_back_one_rule_or_everything() {
    let bench = Bench::new();
    let limiter =
        bench.limiter(json!({"api": {"limit": 1, "window": 60}, "web": {"limit": 1, "window": 60}}));
    let spend_all = || ["api", "web"].map(|endpoint| check(&limiter, "user:1", endpoint).allowed);
    assert_eq!(spend_all(), [true, true]);
    limiter.reset(b"user:1", Some(b"api")).unwrap();
    assert_eq!(spend_all(), [true, false]);
    limiter.reset(b"user:1", None).unwrap();
    assert_eq!(spend_all(), [true, true]);
}

#[test]
fn a_clock_set_back_by_an_hour_locks_nobody_out_for_an_hour() {
    let bench = Bench::new();
    let rules = ["sliding_window", "gcra", "fixed_window"];
    let rule = |name: &str| (name.to_owned(), json!({"limit": 5, "window": 10, "algorithm": name}));
    let limiter =
        bench.limiter(json!({"limits": rules.map(rule).into_iter().collect::<serde_json::Map<_, _>>()}));
    for endpoint in rules {
        bench.at(7200);
        let before = (0..6).filter(|_| check(&limiter, "user:1", endpoint).allowed).count();
        assert_eq!(before, 5);
        bench.at(3600);
        let refused = check(&limiter, "user:1", endpoint);
        assert!(!refused.allowed && refused.retry_after <= 20, "{endpoint}: {refused:?}");
        bench.at(3600 + refused.retry_after);
        assert!(check(&limiter, "user:1", endpoint).allowed, "{endpoint}");
    }
}

#[test]
fn an_ipv6_client_is_its_network_and_a_mapped_address_is_the_ipv4_one() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({"general": {"limit": 1, "window": 60}}));
    assert!(check(&limiter, "ip:2001:db8:0:1::1", "").allowed);
    assert!(!check(&limiter, "ip:2001:db8:0:1:ffff::2", "").allowed);
    assert!(!check(&limiter, "ip:2001:db8:0:1::/64", "").allowed);
    assert!(check(&limiter, "ip:2001:db8:0:2::1", "").allowed);
    assert!(check(&limiter, "ip:203.0.113.7", "").allowed);
    assert!(!check(&limiter, "::ffff:203.0.113.7", "").allowed);
}

#[test]
fn two_sites_in_one_segment_do_not_meet() {
    let bench = Bench::new();
    let config = json!({"general": {"limit": 1, "window": 60}});
    let detached = slbp::ports::Detached::default();
    let of_site = |site| {
        let settings = slbp::limiter::settings::Settings::read(&config, &detached, &detached).unwrap();
        slbp::limiter::Limiter::new(settings, bench.host(site)).unwrap()
    };
    let (one, other) = (of_site("one"), of_site("other"));
    assert!(check(&one, "user:1", "").allowed);
    assert!(check(&other, "user:1", "").allowed);
    one.add(ListKind::Blacklist, "user:1", None, "", "admin").unwrap();
    assert_eq!(check(&one, "user:1", "").reason, Reason::Blacklist);
    assert_eq!(check(&other, "user:1", "").reason, Reason::Limit);
}

#[test]
fn violations_ban_for_longer_each_time_and_bans_end_by_themselves() {
    let bench = Bench::new();
    let limiter = bench.limiter(
        json!({"auto_ban": {"threshold": 3, "window": 60, "ban": 100, "max_ban": 350, "jitter": 0}}),
    );
    let strike = || limiter.record_violation(b"ip:203.0.113.7", "failed_login", 3).unwrap();
    assert_eq!(limiter.record_violation(b"ip:203.0.113.7", "failed_login", 2).unwrap().violations, 2);
    assert!(check(&limiter, "ip:203.0.113.7", "").allowed);
    let mut now = 0;
    for length in [100, 200, 350, 350] {
        let banned = strike();
        assert_eq!(
            (banned.banned, banned.ban_seconds, banned.ban_expires),
            (true, length, START + now + length)
        );
        let refused = check(&limiter, "ip:203.0.113.7", "");
        assert_eq!((refused.reason, refused.retry_after), (Reason::Banned, length));
        let listed = limiter.entries(ListKind::Bans);
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].reason.as_str(), listed[0].source.as_str()), ("failed_login", "auto_ban"));
        now += length;
        bench.at(now);
        assert_eq!(check(&limiter, "ip:203.0.113.7", "").reason, Reason::Ok, "the ban has ended");
    }
    bench.at(now + 350);
    assert_eq!(strike().ban_seconds, 100, "after a quiet max_ban the record is clean");
    limiter.reset(b"ip:203.0.113.7", None).unwrap();
    assert!(check(&limiter, "ip:203.0.113.7", "").allowed, "a reset lifts a ban");
}

#[test]
fn who_must_not_be_banned_never_is() {
    let limiter = Bench::new().limiter(json!({
        "trusted_proxies": ["10.0.0.0/8"], "whitelist": ["user:1"], "auto_ban": {"threshold": 1}
    }));
    for client in ["ip:127.0.0.1", "ip:::1", "ip:10.1.2.3", "ip:192.0.2.80", "user:1", "ip:unknown"] {
        let outcome = limiter.record_violation(client.as_bytes(), "failed_login", 1000).unwrap();
        assert_eq!((outcome.exempt, outcome.banned), (true, false), "{client}");
        assert!(check(&limiter, client, "").allowed);
    }
}

#[test]
fn many_names_from_one_address_weigh_double_and_many_tries_of_one_name_do_not() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({"auto_ban": {"threshold": 40, "window": 600}}));
    let forgetful = (0..19).map(|_| limiter.record_failed_login(b"ip:203.0.113.1", b"Alice").unwrap());
    assert_eq!(forgetful.last().unwrap().violations, 19);
    let spraying = (0..19)
        .map(|n| limiter.record_failed_login(b"ip:203.0.113.2", format!("user{n}").as_bytes()).unwrap());
    let violations = spraying.last().unwrap().violations;
    assert!((28..=33).contains(&violations), "{violations} violations after 19 names");
}

#[test]
fn refused_requests_are_a_tenth_of_a_violation() {
    let limiter = Bench::new().limiter(json!({"auto_ban": {"threshold": 2, "window": 600}}));
    let outcomes: Vec<_> =
        (0..20).map(|_| limiter.record_violation(b"user:1", "denied", 1).unwrap().banned).collect();
    assert_eq!(outcomes.iter().position(|banned| *banned), Some(19));
    assert_eq!(check(&limiter, "user:1", "").reason, Reason::Banned);
}

#[test]
fn a_neighbour_in_the_network_of_a_protected_address_is_not_banned_and_nothing_fails() {
    let limiter = Bench::new().limiter(json!({
        "trusted_proxies": ["2001:db8:0:1::1"], "auto_ban": {"threshold": 1}
    }));
    let neighbour = limiter.record_violation(b"ip:2001:db8:0:1::bad", "failed_login", 5).unwrap();
    assert_eq!((neighbour.exempt, neighbour.banned), (true, false));
    assert!(limiter.record_violation(b"ip:2001:db8:0:2::bad", "failed_login", 5).unwrap().banned);
}

#[test]
fn every_id_can_be_banned_however_long_and_whatever_its_bytes() {
    let limiter = Bench::new().limiter(json!({"auto_ban": {"threshold": 1}}));
    let long = ["session:", &"x".repeat(300)].concat();
    for id in [long.as_bytes(), b"user:\xff", b"user:\0"] {
        let request = Request::new(id, b"");
        assert!(limiter.record_violation(id, "failed_login", 1).unwrap().banned);
        assert_eq!(limiter.check(&request).unwrap().reason, Reason::Banned);
        limiter.reset(id, None).unwrap();
        assert!(limiter.check(&request).unwrap().allowed);
    }
    limiter.record_violation(b"user:\xff", "failed_login", 1).unwrap();
    assert!(limiter.check(&Request::new(b"user:\xfe", b"")).unwrap().allowed);
}

#[test]
fn no_spelling_of_a_route_that_wordpress_understands_escapes_its_rule() {
    let limiter = Bench::new().limiter(json!({"limits": {
        "/shop/v1/Pay": {"limit": 1}, "/shop/v1/orders/*": {"limit": 2}, "General": {"limit": 7}
    }}));
    for (route, policy) in [
        ("/shop/v1/pay", "/shop/v1/Pay"),
        ("/SHOP/v1/Pay\n", "/shop/v1/Pay"),
        ("/shop/V1/Orders/7", "/shop/v1/orders/*"),
        ("/shop/v1/LOGIN", "auth"),
        ("/SkyLearn-Billing-Pro/v1/x", "General"),
    ] {
        assert_eq!(check(&limiter, "user:1", route).policy, policy, "{route}");
    }
}

#[test]
fn a_full_table_ends_no_limit_not_even_for_a_host_that_makes_a_limiter_a_request() {
    let bench = Bench::new();
    let config = json!({"general": {"limit": 3, "window": 3600}});
    let crowd = bench.limiter(config.clone());
    let full = bench.segment.counters();
    for n in 0_u32.. {
        crowd.check(&Request::new(format!("user:{n}").as_bytes(), b"")).unwrap();
        if full.get(Counter::TableFull) > 2_000 {
            break;
        }
        assert!(n < 1_000_000, "the table does not fill up");
    }
    for client in (0..20).map(|n| format!("late:{n}")) {
        let allowed = (0..9).filter(|_| check(&bench.limiter(config.clone()), &client, "").allowed).count();
        assert_eq!(allowed, 3, "{client}");
    }
}
