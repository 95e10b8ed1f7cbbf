//! Who is charged: addresses behind proxies, and secrets that a validator knows.

use std::net::IpAddr;

use proptest::prelude::*;
use slbp::limiter::client::{
    ClientIp, Credentials, ForwardedBy, Origin, Peer, Secret, TrustedProxies, address_id, client_ip,
    identify, secret_id,
};
use slbp::limiter::lists::network;

fn trusted() -> TrustedProxies {
    TrustedProxies::new(vec![network("10.0.0.0/8").unwrap(), network("2001:db8:aaaa::/48").unwrap()])
}

fn resolve(remote: &str, headers: &[(&str, &str)], by: &ForwardedBy) -> ClientIp {
    let header =
        |name: &str| headers.iter().find(|(own, _)| *own == name).map(|(_, text)| (*text).to_owned());
    client_ip(&Peer { remote, header: &header }, &trusted(), by)
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn forwarding_headers_are_read_from_the_right_and_only_from_trusted_proxies() {
    for (remote, name, text, expected) in [
        ("198.51.100.1", "x-forwarded-for", "9.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "x-forwarded-for", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "x-forwarded-for", "1.1.1.1, 9.9.9.9, 10.0.0.2", "9.9.9.9"),
        ("10.0.0.1", "x-forwarded-for", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "x-forwarded-for", "9.9.9.9:4711", "9.9.9.9"),
        ("10.0.0.1", "x-forwarded-for", "[2001:db8::9]:443", "2001:db8::9"),
        ("10.0.0.1", "x-forwarded-for", "::ffff:9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "x-forwarded-for", "9.9.9.9, garbage, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "x-forwarded-for", "9.9.9.9,", "10.0.0.1"),
        ("10.0.0.1", "x-forwarded-for", "", "10.0.0.1"),
        ("2001:db8:aaaa::1", "x-forwarded-for", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "forwarded", "for=9.9.9.9;proto=https;by=10.0.0.1", "9.9.9.9"),
        ("10.0.0.1", "forwarded", "for=1.1.1.1, For=\"9.9.9.9:80\" , for=10.0.0.2", "9.9.9.9"),
        ("10.0.0.1", "forwarded", "for=\"[2001:db8::9]:4711\"", "2001:db8::9"),
        ("10.0.0.1", "forwarded", "for=9.9.9.9, for=unknown", "10.0.0.1"),
        ("10.0.0.1", "forwarded", "for=9.9.9.9, for=_hidden, for=10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "forwarded", "proto=https, for=9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "forwarded", "for=9.9.9.9, proto=https", "10.0.0.1"),
        ("10.0.0.1", "forwarded", "for=1.1.1.1;for=9.9.9.9", "10.0.0.1"),
        ("10.0.0.1", "forwarded", "for=\"1.1.1.1, for=9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "forwarded", "for=\", for=\"[2001:db8::9]\"", "2001:db8::9"),
        ("10.0.0.1", "x-real-ip", "9.9.9.9", "10.0.0.1"),
    ] {
        let found = resolve(remote, &[(name, text)], &ForwardedBy::Either);
        assert_eq!(found.address, ip(expected), "{remote} with {name}: {text}");
    }
    assert_eq!(resolve("", &[], &ForwardedBy::Either).address, None);
}

#[test]
fn headers_that_disagree_are_not_believed() {
    let both = |one, other| {
        resolve("10.0.0.1", &[("forwarded", one), ("x-forwarded-for", other)], &ForwardedBy::Either)
    };
    let conflict = both("for=1.1.1.1", "2.2.2.2");
    assert_eq!((conflict.address, conflict.origin), (ip("10.0.0.1"), Origin::Conflict));
    assert_eq!(both("for=1.1.1.1", "1.1.1.1").address, ip("1.1.1.1"));
}

#[test]
fn who_hides_behind_a_proxy_does_not_become_the_proxy() {
    let by = ForwardedBy::Either;
    let id = |headers: &[(&str, &str)]| resolve("10.0.0.1", headers, &by).id().unwrap();
    let hidden: [&[(&str, &str)]; 4] = [
        &[("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "9.9.9.9")],
        &[("x-forwarded-for", "9.9.9.9, unknown")],
        &[("x-forwarded-for", "9.9.9.9, unknown, 10.0.0.1")],
        &[("forwarded", "for=9.9.9.9, for=_hidden")],
    ];
    for headers in hidden {
        let found = resolve("10.0.0.1", headers, &by);
        assert_eq!((found.own(), id(headers).as_str()), (None, "behind:10.0.0.1"), "{headers:?}");
        assert_eq!(identify(&Credentials::default(), &found, b"site", &|_, _| true), "behind:10.0.0.1");
    }
    assert_eq!(id(&[]), "ip:10.0.0.1", "the proxy's own request");
    assert_eq!(id(&[("x-forwarded-for", " ")]), "ip:10.0.0.1");
    assert_eq!(id(&[("x-forwarded-for", "2001:db8::9")]), "ip:2001:db8::9");
    let single =
        resolve("10.0.0.1", &[("x-real-ip", "nonsense")], &ForwardedBy::Single("x-real-ip".to_owned()));
    assert_eq!(single.own(), None);
}

#[test]
fn a_site_may_name_the_one_header_its_proxies_set() {
    let all = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("cf-connecting-ip", "3.3.3.3")];
    let by = |by| resolve("10.0.0.1", &all, &by).address;
    assert_eq!(by(ForwardedBy::Forwarded), ip("1.1.1.1"));
    assert_eq!(by(ForwardedBy::XForwardedFor), ip("2.2.2.2"));
    assert_eq!(by(ForwardedBy::Single("cf-connecting-ip".to_owned())), ip("3.3.3.3"));
    assert_eq!(by(ForwardedBy::Single("x-real-ip".to_owned())), ip("10.0.0.1"));
}

#[test]
fn a_secret_chooses_a_bucket_only_when_it_is_valid() {
    let from = ClientIp { address: ip("203.0.113.7"), origin: Origin::Peer };
    let offered = Credentials { user: Some(5), api_key: Some(b"key-1"), bearer: Some(b"token") };
    let who = |credentials: &Credentials<'_>, valid: &dyn Fn(Secret, &[u8]) -> bool| {
        identify(credentials, &from, b"site", valid)
    };
    assert_eq!(who(&offered, &|_, _| false), "user:5");
    assert_eq!(
        who(&offered, &|kind, _| kind == Secret::ApiKey),
        secret_id(Secret::ApiKey, b"key-1", b"site")
    );
    assert!(who(&offered, &|kind, _| kind == Secret::Bearer).starts_with("bearer:"));
    let anonymous = Credentials { user: None, ..offered };
    assert_eq!(who(&anonymous, &|_, _| false), "ip:203.0.113.7");
    let empty = Credentials { api_key: Some(b""), ..Credentials::default() };
    assert_eq!(who(&empty, &|_, _| panic!("an empty key is no key")), "ip:203.0.113.7");
}

#[test]
fn the_whole_secret_is_hashed_and_the_site_keys_the_hash() {
    let header = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";
    let token = |tail: &[u8]| secret_id(Secret::Bearer, &[header, tail].concat(), b"site");
    assert_ne!(token(b"alice"), token(b"bob"), "tokens that begin alike are not the same client");
    assert_ne!(secret_id(Secret::ApiKey, b"key", b"one"), secret_id(Secret::ApiKey, b"key", b"other"));
    assert!(!token(b"alice").contains("eyJ"));
    assert_eq!(token(b"alice").len(), "bearer:".len() + 32);
}

#[test]
fn an_ipv6_client_is_named_by_its_network() {
    let name = |text: &str| address_id(&text.parse().unwrap());
    assert_eq!(name("2001:db8:1:2:3:4:5:6"), "ip:2001:db8:1:2::/64");
    assert_eq!(name("::ffff:203.0.113.7"), "ip:203.0.113.7");
}

proptest! {
    /// Whatever a visitor writes into the header, it ends up left of what the proxy appends.
    #[test]
    fn a_visitor_cannot_choose_its_address(noise in "[ -~]{0,80}") {
        let text = format!("{noise}, 9.9.9.9");
        prop_assert_eq!(resolve("10.0.0.1", &[("x-forwarded-for", &text)], &ForwardedBy::Either).address, ip("9.9.9.9"));
    }

    #[test]
    fn no_header_makes_the_parser_panic(text in "\\PC{0,120}") {
        resolve("10.0.0.1", &[("forwarded", &text), ("x-forwarded-for", &text)], &ForwardedBy::Either);
        resolve(&text, &[], &ForwardedBy::Either);
    }
}
