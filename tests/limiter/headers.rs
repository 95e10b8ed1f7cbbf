//! How a decision is told to a client.

use proptest::prelude::*;
use serde_json::json;
use slbp::limiter::headers::{Refusal, Told, headers, problem};

use crate::support::{Bench, START, check};

const REFUSED: Told<'_> = Told {
    allowed: false,
    limit: 10,
    remaining: 0,
    window: 60,
    barred: false,
    retry_after: 17,
    reset: START + 100,
    policy: "api",
};

fn value(headers: &[(&'static str, String)], name: &str) -> Option<String> {
    headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
}

#[test]
fn a_refusal_says_when_to_come_back_and_is_not_cached() {
    let told = headers(&REFUSED, None, START);
    let expected = [
        ("RateLimit-Policy", r#""api";q=10;w=60"#),
        ("RateLimit", r#""api";r=0;t=17"#),
        ("X-RateLimit-Limit", "10"),
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", &(START + 100).to_string()),
        ("Retry-After", "17"),
        ("Cache-Control", "no-store"),
    ];
    assert_eq!(told, expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn an_allowed_request_has_no_retry_after() {
    let told = headers(&Told { allowed: true, remaining: 4, retry_after: 0, ..REFUSED }, None, START);
    assert_eq!(value(&told, "RateLimit").unwrap(), r#""api";r=4;t=100"#);
    assert_eq!((value(&told, "Retry-After"), value(&told, "Cache-Control")), (None, None));
}

#[test]
fn who_is_barred_is_not_asked_to_come_back() {
    let told = headers(&Told { barred: true, ..REFUSED }, None, START);
    assert_eq!(
        (value(&told, "Retry-After"), value(&told, "Cache-Control").unwrap()),
        (None, "no-store".to_owned())
    );
}

#[test]
fn every_limit_of_a_rule_is_announced() {
    let limiter = Bench::new()
        .limiter(json!({"api": {"limits": [{"limit": 100, "window": 3600}, {"limit": 2, "window": 10}]}}));
    let decided = check(&limiter, "user:1", "api");
    let told = Told {
        allowed: decided.allowed,
        limit: decided.limit.into(),
        remaining: decided.remaining.into(),
        window: decided.window.into(),
        barred: false,
        retry_after: decided.retry_after,
        reset: decided.reset,
        policy: decided.policy,
    };
    let policy = value(&limiter.headers(&told), "RateLimit-Policy").unwrap();
    assert_eq!(policy, r#""api";q=2;w=10, "api";q=100;w=3600"#);
}

#[test]
fn a_name_that_is_no_token_is_quoted() {
    let told = headers(&Told { policy: "a\"b\\c\r\nSet-Cookie: é", ..REFUSED }, None, START);
    assert_eq!(value(&told, "RateLimit").unwrap(), "\"a\\\"b\\\\c__Set-Cookie: _\";r=0;t=17");
}

#[test]
fn a_refusal_has_a_body_that_machines_and_the_existing_plugin_understand() {
    let (status, body) = problem(Refusal::Limit, "api", 17);
    assert_eq!(status, 429);
    assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(body["violated-policies"], json!(["api"]));
    assert_eq!((&body["error"], &body["retry_after"]), (&json!("rate_limit_exceeded"), &json!(17)));
    assert!(body["message"].as_str().unwrap().contains("17 seconds"));
    assert_eq!(problem(Refusal::Banned, "api", 1).0, 429);
    let (status, body) = problem(Refusal::Blacklisted, "api", 1);
    assert_eq!((status, body.get("retry_after")), (403, None), "no waiting helps");
}

proptest! {
    #[test]
    fn no_policy_name_breaks_out_of_its_field(policy in "\\PC{0,40}", now in 0_u64..2 * START) {
        for (_, value) in headers(&Told { policy: &policy, ..REFUSED }, None, now) {
            prop_assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{value}");
        }
    }
}
