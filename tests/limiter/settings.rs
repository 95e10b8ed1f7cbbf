//! What can be set, and how a mistake is told.

use std::collections::HashMap;

use serde_json::{Value, json};
use slbp::error::{Kind, Result};
use slbp::limiter::policy::Algorithm;
use slbp::limiter::rules::OnStoreFailure;
use slbp::limiter::settings::Settings;
use slbp::ports::{Detached, Options};

fn read(config: Value) -> Result<Settings> {
    Settings::read(&config, &Detached::default(), &Detached::default())
}

#[test]
fn nothing_said_means_the_defaults() {
    for nothing in [json!([]), json!({}), Value::Null] {
        let settings = read(nothing).unwrap();
        let limits: Vec<_> =
            settings.rules.iter().map(|rule| (rule.name.as_str(), rule.limits[0].quota.limit())).collect();
        assert_eq!(limits, [("general", 100), ("auth", 10), ("payment", 50), ("webhook", 1000)]);
        assert!(settings.redis.is_none() && !settings.dry_run && settings.auto_ban.enabled);
    }
}

#[test]
fn a_rule_takes_what_it_does_not_say_from_the_settings_around_it() {
    let settings = read(json!({
        "algorithm": "gcra",
        "on_store_failure": "closed",
        "api": {"limit": "60", "window": "60", "burst": 5, "cost": "2"},
        "payment": {"window": 60},
        "limits": {"auth": {"limit": 5, "algorithm": "fixed_window", "on_store_failure": "open"}},
    }))
    .unwrap();
    let api = settings.rules.named("api").unwrap();
    assert_eq!(
        (api.limits[0].quota.algorithm(), api.limits[0].quota.capacity(), api.cost),
        (Algorithm::Gcra, 5, 2)
    );
    assert_eq!(api.on_store_failure, OnStoreFailure::Closed);
    let auth = settings.rules.named("auth").unwrap();
    assert_eq!(
        (auth.limits[0].quota.algorithm(), auth.limits[0].quota.window()),
        (Algorithm::FixedWindow, 3600)
    );
    assert_eq!(auth.on_store_failure, OnStoreFailure::Open);
    let payment = settings.rules.named("payment").unwrap().limits[0].quota;
    assert_eq!((payment.limit(), payment.window()), (50, 60), "a built-in rule keeps its limit");
    assert_eq!(settings.rules.named("general").unwrap().limits[0].quota.algorithm(), Algorithm::Gcra);
}

#[test]
fn a_mistake_is_told_with_rule_and_field() {
    for (config, expected) in [
        (json!({"limts": {}}), "$config: unknown key 'limts', did you mean 'limits'?"),
        (
            json!({"trusted_proxy": ["10.0.0.1"]}),
            "$config: unknown key 'trusted_proxy', did you mean 'trusted_proxies'?",
        ),
        (json!({"limits": {"api": {"limt": 5}}}), "rule 'api': unknown key 'limt', did you mean 'limit'?"),
        (
            json!({"limits": {"api": {"limit": "many"}}}),
            "rule 'api': limit: expected a whole number >= 0, got 'many'",
        ),
        (json!({"limits": {"api": {"limit": 0}}}), "rule 'api': limit: expected 1 to 4194303"),
        (
            json!({"limits": {"api": {"limit": 5, "window": 0}}}),
            "rule 'api': window: expected 1 to 7776000 (seconds), got 0",
        ),
        (json!({"limits": {"api": {"window": 60}}}), "rule 'api': limit: missing"),
        (
            json!({"limits": {"api": {"limit": 5, "burst": 5}}}),
            "rule 'api': burst: only algorithm 'gcra' has one",
        ),
        (json!({"limits": {"api": {"limit": 5, "cost": 0}}}), "rule 'api': cost: expected 1 to"),
        (json!({"limits": {"api": {"limits": []}}}), "rule 'api': limits: expected a list of 1 to 8 limits"),
        (
            json!({"limits": {"api": {"limits": [{"limit": 1}, {"limit": -1}]}}}),
            "rule 'api': limits[1]: limit: expected",
        ),
        (
            json!({"limits": {"api": {"limit": 1, "limits": [{"limit": 1}]}}}),
            "rule 'api': limits: a rule has either",
        ),
        (
            json!({"limits": {"api": {"limit": 1, "on_store_failure": "shut"}}}),
            "rule 'api': on_store_failure: expected 'local' or 'open' or 'closed', got 'shut'",
        ),
        (json!({"limits": {"api": 5}}), "rule 'api': expected an array with string keys, got 5"),
        (json!({"plans": {"pro": {"api": {"limit": 0}}}}), "plan 'pro': rule 'api': limit: expected 1 to"),
        (
            json!({"algorithm": "sliding"}),
            "$config: algorithm: expected 'sliding_window' or 'gcra' or 'fixed_window', got 'sliding'",
        ),
        (json!({"trusted_proxies": ["10.0.0.0/99"]}), "$config: trusted_proxies: "),
        (json!({"whitelist": ["garbage"]}), "$config: whitelist: entry 'garbage'"),
        (
            json!({"auto_ban": {"ban": 100, "max_ban": 50}}),
            "auto_ban: max_ban: expected at least 'ban' (100), got 50",
        ),
        (json!({"auto_ban": {"jitter": 2}}), "auto_ban: jitter: expected 0 to 1, got 2"),
        (json!({"auto_ban": {"treshold": 2}}), "auto_ban: unknown key 'treshold', did you mean 'threshold'?"),
        (json!({"client_ip_header": ""}), "$config: client_ip_header: expected"),
        (
            json!({"general": {"limit": 1}, "limits": {"general": {"limit": 2}}}),
            "$config: rule 'general' stands both",
        ),
        (
            json!({"backend": "redis", "redis": {"hots": "x"}}),
            "$config['redis']: unknown key 'hots', did you mean 'host'?",
        ),
    ] {
        let error = read(config.clone()).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{config}");
        assert!(
            error.to_string().starts_with(expected),
            "{config}\n  expected {expected}\n  got      {error}"
        );
    }
}

#[test]
fn options_stand_in_for_what_is_not_given_and_a_mistake_there_is_the_operators() {
    let options = Detached::default();
    options.set("slbp_rate_limits", &json!({"api": {"limit": 7}}));
    options.set("slbp_auto_ban_config", &json!({"threshold": 3}));
    options.set("slbp_trusted_proxies", &json!(["10.0.0.0/8"]));
    let env = Detached::default();
    let settings = Settings::read(&json!({}), &env, &options).unwrap();
    assert_eq!(settings.rules.named("api").unwrap().limits[0].quota.limit(), 7);
    assert_eq!(settings.auto_ban.threshold, 3);
    assert!(settings.trusted_proxies.contains(&"10.1.1.1".parse().unwrap()));
    let given =
        Settings::read(&json!({"limits": {"web": {"limit": 1}}, "trusted_proxies": []}), &env, &options)
            .unwrap();
    assert!(given.rules.named("api").is_none());
    assert!(!given.trusted_proxies.contains(&"10.1.1.1".parse().unwrap()));
    options.set("slbp_rate_limits", &json!({"api": {"limit": "x"}}));
    let error = Settings::read(&json!({}), &env, &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().starts_with("option slbp_rate_limits: rule 'api': limit: "), "{error}");
}

#[test]
fn redis_is_used_when_the_site_names_one_and_must_answer_quickly() {
    let env = HashMap::from([("WP_REDIS_HOST", "redis-server"), ("WP_REDIS_TIMEOUT", "1")]);
    let with = |config| Settings::read(&config, &env, &Detached::default()).unwrap().redis;
    let millis =
        |config| with(config).map(|redis| (redis.timeout.as_millis(), redis.read_timeout.as_millis()));
    assert_eq!(millis(json!({})), Some((50, 20)));
    assert_eq!(millis(json!({"redis": {"timeout": 0.1}})), Some((100, 100)));
    assert_eq!(millis(json!({"redis": {"timeout": 0.1, "read_timeout": 0.04}})), Some((100, 40)));
    assert_eq!(with(json!({"backend": "shm"})), None);
}

#[test]
fn redis_is_used_however_the_site_names_it() {
    let uses_redis = |env: &[(&'static str, &'static str)], config| {
        let env: HashMap<_, _> = env.iter().copied().collect();
        Settings::read(&config, &env, &Detached::default()).unwrap().redis.is_some()
    };
    assert!(!uses_redis(&[], json!({})));
    assert!(
        !uses_redis(&[("slbp.redis_timeout", "1")], json!({"redis": {"database": 1}})),
        "that says no place"
    );
    assert!(uses_redis(&[], json!({"redis": {"path": "/run/redis.sock", "scheme": "unix"}})));
    assert!(uses_redis(&[("slbp.redis_host", "redis-server")], json!({})));
    assert!(uses_redis(&[("WP_REDIS_CLUSTER", "a:1,b:2")], json!({})));
    assert!(!uses_redis(&[("slbp.redis_host", "redis-server")], json!({"backend": "shm"})));
}

#[test]
fn the_directive_for_proxies_is_a_list_in_text() {
    let env = HashMap::from([("slbp.trusted_proxies", "10.0.0.0/8, 192.0.2.1")]);
    let settings = Settings::read(&json!({}), &env, &Detached::default()).unwrap();
    assert_eq!(settings.trusted_proxies.networks().len(), 2);
}
