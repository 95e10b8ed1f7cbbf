//! A configuration is read as the specification writes it, or refused whole with the field's name.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use slbp::alerts::notify::Receiver;
use slbp::alerts::rule::{self, Condition, NoData, Severity};

/// The specification's `$alert_config`, word for word.
fn of_the_specification() -> Value {
    json!({"high_memory_usage": {
        "enabled": true,
        "metric": "system.memory_usage",
        "condition": "greater_than",
        "threshold": 536_870_912,
        "severity": "warning",
        "email_recipients": ["admin@example.com"],
        "webhook_url": "https://hooks.slack.com/...",
    }})
}

#[test]
fn the_specification_s_example_is_read_as_it_stands() {
    for config in [of_the_specification(), json!({"alerts": of_the_specification()})] {
        let rules = rule::read(&config, false).unwrap();
        let rule = &rules[0];
        assert_eq!(
            (rule.name.as_str(), rule.metric.as_str()),
            ("high_memory_usage", "slbp_system_memory_usage")
        );
        assert_eq!((rule.condition, rule.severity), (Condition::Greater, Severity::Warning));
        assert_eq!(rule.threshold, 536_870_912.0);
        let channels: Vec<_> = rule.receivers.iter().map(Receiver::channel).collect();
        assert_eq!(channels, ["email", "slack"], "a hook of Slack in webhook_url is sent Slack's shape");
        assert_eq!((rule.wait, rule.repeat), (Duration::ZERO, Duration::from_secs(4 * 3600)));
        assert_eq!(rule.no_data, NoData::Ok);
    }
}

#[test]
fn our_own_keys_and_numeric_strings_are_read() {
    let rules = rule::read(
        &json!({"x": {
            "enabled": "1", "metric": "my_metric_total", "condition": "less_than", "threshold": "0.5",
            "severity": "critical", "message": "only %s left", "email_recipients": "a@example.com, b@example.com",
            "webhook_url": "", "slack_webhook": null, "alertmanager_url": "http://alertmanager.example:9093",
            "cooldown": "600", "for": 30, "keep_firing_for": 60, "no_data": "alert", "send_resolved": false,
            "labels": {"team": "billing"}, "group_by": ["gateway"],
        }}),
        false,
    )
    .unwrap();
    let rule = &rules[0];
    assert_eq!((rule.metric.as_str(), rule.threshold), ("my_metric_total", 0.5));
    assert_eq!((rule.wait.as_secs(), rule.keep_firing.as_secs(), rule.repeat.as_secs()), (30, 60, 600));
    assert!(!rule.send_resolved && rule.no_data == NoData::Alert);
    assert_eq!((rule.labels["team"].as_str(), rule.group_by[0].as_str()), ("billing", "gateway"));
    assert_eq!(rule.receivers[0].shown(), "a@example.com, b@example.com");
    assert_eq!(rule.receivers[1].shown(), "http://alertmanager.example/…");
}

#[test]
fn the_usual_rules_are_rules() {
    let rules = rule::read(&rule::usual(), false).unwrap();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["high_memory_usage", "database_connection_failure"]);
}

#[test]
fn a_mistake_names_its_rule_its_field_and_what_was_expected() {
    let with = |key: &str, value: Value| {
        let mut config = of_the_specification();
        config["high_memory_usage"][key] = value;
        config
    };
    let without = |key: &str| {
        let mut config = of_the_specification();
        config["high_memory_usage"].as_object_mut().unwrap().remove(key);
        config
    };
    let cases = [
        (without("metric"), "metric: expected 'category.name'"),
        (without("threshold"), "threshold: missing"),
        (without("condition"), "condition: missing"),
        (with("threshold", json!("much")), "threshold: expected a number, got 'much'"),
        (with("threshold", json!([1])), "threshold: expected a number"),
        (with("condition", json!("greater")), "condition: expected 'greater_than' or"),
        (with("severity", json!("panic")), "severity: expected 'info' or 'warning' or 'critical'"),
        (with("metric", json!("system memory")), "metric: expected 'category.name'"),
        (with("metric", json!("system.")), "metric: expected 'category.name'"),
        (with("enabled", json!("perhaps")), "enabled: expected true or false"),
        (with("treshold", json!(1)), "unknown key 'treshold', did you mean 'threshold'?"),
        (
            with("email_recipients", json!(["nobody"])),
            "email_recipients: expected e-mail addresses, got 'nobody'",
        ),
        (with("email_recipients", json!(["a@b\r\nBcc: x@y"])), "email_recipients: expected e-mail addresses"),
        (with("webhook_url", json!("hooks.slack.com/x")), "webhook_url: expected an"),
        (with("webhook_url", json!("http://127.0.0.1:6379/")), "webhook_url: expected a public address"),
        (
            with("slack_webhook", json!("http://[::ffff:10.0.0.1]/")),
            "slack_webhook: expected a public address",
        ),
        (with("alertmanager_url", json!("file:///etc/passwd")), "alertmanager_url: expected an"),
        (with("cooldown", json!(-1)), "cooldown: expected a whole number"),
        (with("for", json!(99_999_999_999u64)), "for: expected seconds"),
        (with("no_data", json!("maybe")), "no_data: expected 'ok' or 'alert' or 'keep'"),
        (with("labels", json!({"bad name": "x"})), "labels: expected label names"),
        (with("labels", json!("x")), "labels: expected label names"),
        (with("group_by", json!(["1x"])), "group_by: expected label names"),
        (with("message", json!("{vlaue}")), "message: expected {value}"),
        (with("message", json!("x".repeat(2001))), "message: expected at most 2000 bytes"),
    ];
    for (config, expected) in cases {
        let error = rule::read(&config, false).unwrap_err().to_string();
        assert!(error.contains("alert 'high_memory_usage'"), "{error}");
        assert!(error.contains(expected), "expected '{expected}' in: {error}");
    }
    assert!(rule::read(&json!(["x"]), false).unwrap_err().to_string().contains("by their names"));
    assert!(rule::read(&json!({"a b": {}}), false).unwrap_err().to_string().contains("expected a name"));
    assert!(
        rule::read(&json!({"a": 7}), false).unwrap_err().to_string().contains("alert 'a': expected an array")
    );
}

#[test]
fn no_error_shows_the_secret_part_of_an_address() {
    let mut config = of_the_specification();
    config["high_memory_usage"]["webhook_url"] =
        json!("https://user:hunter2@hooks.slack.com/services/SECRET");
    let error = rule::read(&config, false).unwrap_err().to_string();
    assert!(!error.contains("hunter2") && !error.contains("SECRET"), "{error}");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        let key = prop_oneof![
            "[a-z_]{1,12}",
            Just("metric".to_owned()),
            Just("alerts".to_owned()),
            Just("labels".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    /// Anything at all is either rules or a refusal that says something.
    #[test]
    fn no_configuration_breaks_it(config in any_value()) {
        if let Err(error) = rule::read(&config, false) {
            prop_assert!(error.to_string().contains("expected") || error.to_string().contains("unknown key") || error.to_string().contains("missing"), "{}", error);
        }
    }
}
