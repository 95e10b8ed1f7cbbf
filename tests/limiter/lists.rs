//! Lists in shared memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::json;
use slbp::limiter::lists::ListKind::{Blacklist, Whitelist};

use crate::support::{Bench, START};

#[test]
fn entries_are_found_by_network_id_and_pattern() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({}));
    let add = |entry: &str| limiter.add(Blacklist, entry, None, "", "admin").unwrap();
    for entry in [
        "203.0.113.7",
        "10.1.2.3/9",
        "2001:db8::/32",
        "2001:db9::1",
        "192.168.*",
        "user:7",
        "api_key:ab*",
        "::ffff:198.51.100.0/120",
    ] {
        add(entry);
    }
    for (client, expected) in [
        ("ip:203.0.113.7", true),
        ("203.0.113.7", true),
        ("ip:203.0.113.8", false),
        ("ip:10.0.0.1", true),
        ("ip:10.127.255.255", true),
        ("ip:10.128.0.0", false),
        ("ip:2001:db8:ffff::1", true),
        ("ip:2001:db9::1", true),
        ("ip:2001:db9::2", false),
        ("ip:192.168.1.1", true),
        ("ip:192.16.81.1", false),
        ("ip:198.51.100.77", true),
        ("user:7", true),
        ("user:77", false),
        ("api_key:abc", true),
        ("api_key:bc", false),
    ] {
        assert_eq!(limiter.is_listed(Blacklist, client.as_bytes()), expected, "{client}");
    }
    let mut texts: Vec<String> =
        limiter.entries(Blacklist).iter().map(|listed| listed.entry.to_string()).collect();
    texts.sort();
    let expected = [
        "10.0.0.0/9",
        "192.168.*",
        "198.51.100.0/24",
        "2001:db8::/32",
        "2001:db9::1",
        "203.0.113.7",
        "api_key:ab*",
        "user:7",
    ];
    assert_eq!(texts, expected, "canonical texts");
    for text in texts {
        assert!(limiter.remove(Blacklist, &text).unwrap(), "{text}");
    }
    assert!(
        !limiter.is_listed(Blacklist, b"ip:192.168.1.1"),
        "a removed pattern is gone from the compiled ones"
    );
}

#[test]
fn every_prefix_length_matches_exactly_its_network() {
    let limiter = Bench::new().limiter(json!({}));
    for length in 1..=32_u32 {
        let network = format!("160.0.0.0/{length}");
        limiter.add(Whitelist, &network, None, "", "").unwrap();
        let last = u32::from_be_bytes([160, 0, 0, 0]) & (u32::MAX << (32 - length))
            | (u64::from(u32::MAX) >> length) as u32;
        assert!(
            limiter.is_listed(Whitelist, std::net::Ipv4Addr::from(last).to_string().as_bytes()),
            "{network}"
        );
        let beyond = std::net::Ipv4Addr::from(last.wrapping_add(1)).to_string();
        assert!(!limiter.is_listed(Whitelist, beyond.as_bytes()), "{network} does not hold {beyond}");
        assert!(limiter.remove(Whitelist, &network).unwrap());
    }
    for length in 17..=128_u32 {
        let network = format!("2001:8000::/{length}");
        limiter.add(Whitelist, &network, None, "", "").unwrap();
        let base = "2001:8000::".parse::<std::net::Ipv6Addr>().unwrap().to_bits();
        let last = base | u128::MAX.checked_shr(length).unwrap_or(0);
        let text = |bits| std::net::Ipv6Addr::from_bits(bits).to_string();
        assert!(limiter.is_listed(Whitelist, text(last).as_bytes()), "{network}");
        assert!(!limiter.is_listed(Whitelist, text(last + 1).as_bytes()), "{network}");
        assert!(limiter.remove(Whitelist, &network).unwrap());
    }
}

#[test]
fn a_change_is_seen_at_once_by_another_limiter_of_the_site() {
    let bench = Bench::new();
    let (one, other) = (bench.limiter(json!({})), bench.limiter(json!({})));
    for entry in ["203.0.113.0/24", "192.0.1.*", "user:7"] {
        let client = match entry {
            "user:7" => "user:7",
            "192.0.1.*" => "ip:192.0.1.5",
            _ => "ip:203.0.113.9",
        };
        assert!(!other.is_listed(Blacklist, client.as_bytes()));
        one.add(Blacklist, entry, None, "", "").unwrap();
        assert!(other.is_listed(Blacklist, client.as_bytes()), "{entry}");
        one.remove(Blacklist, entry).unwrap();
        assert!(!other.is_listed(Blacklist, client.as_bytes()), "{entry}");
    }
}

#[test]
fn a_malformed_entry_is_refused_by_name_and_changes_nothing() {
    let limiter = Bench::new().limiter(json!({}));
    let long = format!("user:{}", "x".repeat(60));
    for entry in [
        "",
        "  ",
        "garbage",
        "300.1.1.1",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "2001:db8::/129",
        "::1::",
        "2001:db8::zz",
        "10.*.*.x*",
        "*",
        "*.*",
        "1.2.3.4.*",
        "user:",
        ":7",
        "ip:garbage",
        "user:\u{7}",
        long.as_str(),
    ] {
        for kind in [Whitelist, Blacklist] {
            let error = limiter.add(kind, entry, None, "", "").unwrap_err().to_string();
            assert!(error.starts_with("entry '"), "{entry}: {error}");
            assert!(limiter.entries(kind).is_empty());
        }
    }
    assert!(limiter.add(Blacklist, "user:1", Some(0), "", "").unwrap_err().to_string().starts_with("ttl: "));
}

#[test]
fn loopback_trusted_proxies_and_the_server_cannot_be_blacklisted() {
    let bench = Bench::new();
    let proxies = json!({"trusted_proxies": ["172.16.0.0/12", "2001:db8:aaaa::/48"]});
    let limiter = bench.limiter(proxies);
    for entry in [
        "127.0.0.1",
        "127.5.0.0/16",
        "::1",
        "0.0.0.0/0",
        "::/0",
        "172.20.1.1",
        "172.0.0.0/8",
        "2001:db8::/32",
        "192.0.2.80",
        "127.*",
        "1*",
        "172.16.5.*",
        "::ffff:127.0.0.1",
    ] {
        let error = limiter.add(Blacklist, entry, None, "", "").unwrap_err().to_string();
        assert!(error.contains("cannot be blacklisted"), "{entry}: {error}");
        limiter.add(Whitelist, entry, None, "", "").unwrap();
    }
    assert!(limiter.entries(Blacklist).is_empty());
    assert!(bench.try_limiter(json!({"blacklist": ["127.0.0.0/8"]})).is_err());
}

#[test]
fn an_entry_expires_and_keeps_its_reason_until_then() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({}));
    limiter.add(Blacklist, "203.0.113.7", Some(60), "scanner", "admin").unwrap();
    let listed = &limiter.entries(Blacklist)[0];
    assert_eq!((listed.reason.as_str(), listed.source.as_str()), ("scanner", "admin"));
    assert_eq!((listed.added.secs(), listed.expires.unwrap().secs()), (START, START + 60));
    bench.at(59);
    assert!(limiter.is_listed(Blacklist, b"ip:203.0.113.7"));
    bench.at(60);
    assert!(!limiter.is_listed(Blacklist, b"ip:203.0.113.7"));
    assert!(limiter.entries(Blacklist).is_empty());
    assert!(!limiter.remove(Blacklist, "203.0.113.7").unwrap());
}

#[test]
fn a_long_reason_is_cut_between_two_characters() {
    let limiter = Bench::new().limiter(json!({}));
    limiter.add(Blacklist, "203.0.113.7", None, &"é".repeat(200), "admin").unwrap();
    let reason = &limiter.entries(Blacklist)[0].reason;
    assert!(reason.chars().all(|c| c == 'é') && reason.len() > 90, "{reason}");
}

#[test]
fn a_list_goes_through_a_document_unchanged_and_a_bad_document_changes_nothing() {
    let bench = Bench::new();
    let limiter = bench.limiter(json!({}));
    limiter.add(Whitelist, "203.0.113.0/24", None, "", "admin").unwrap();
    limiter.add(Whitelist, "user:7", Some(3600), "vip", "billing").unwrap();
    let document = limiter.export(Whitelist);
    assert_eq!(document[0], json!("203.0.113.0/24"), "as the existing plugin writes it");
    let other = Bench::new().limiter(json!({}));
    other.add(Whitelist, "user:1", None, "", "").unwrap();
    assert_eq!(other.import(Whitelist, &document).unwrap(), 2);
    assert_eq!(other.export(Whitelist), document);
    assert!(!other.is_listed(Whitelist, b"user:1"), "what the document does not name is gone");
    for bad in [json!(["user:2", "garbage"]), json!([{"entry": "user:2", "resaon": "x"}]), json!("user:2")] {
        other.import(Whitelist, &bad).unwrap_err();
        assert_eq!(other.export(Whitelist), document);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Random networks and addresses near them, beside a plain scan.
    #[test]
    fn a_lookup_says_what_a_scan_says(
        four in prop::collection::vec((any::<u32>(), 0_u8..=32), 1..40),
        six in prop::collection::vec((any::<u128>(), 0_u8..=128), 1..40),
        noise in any::<u128>(),
    ) {
        let limiter = Bench::new().limiter(json!({}));
        let four = four.into_iter().map(|(bits, length)| IpNet::new(Ipv4Addr::from(bits).into(), length).unwrap());
        let six = six.into_iter().map(|(bits, length)| IpNet::new(Ipv6Addr::from(bits).into(), length).unwrap());
        let mut networks: Vec<IpNet> = four.chain(six).filter(|network| network.prefix_len() > 0).collect();
        for network in &networks {
            limiter.add(Whitelist, &network.to_string(), None, "", "").unwrap();
        }
        for gone in networks.split_off(networks.len() / 2) {
            limiter.remove(Whitelist, &gone.to_string()).unwrap();
            networks.retain(|kept| kept.trunc() != gone.trunc());
        }
        for network in networks.clone() {
            let near = match network.addr() {
                IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from(address.to_bits() ^ noise as u32 >> (noise % 32))),
                IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(address.to_bits() ^ noise >> (noise % 128))),
            };
            for address in [network.addr(), network.network(), network.broadcast(), near] {
                let expected = networks.iter().any(|kept| kept.contains(&address.to_canonical()));
                let got = limiter.is_listed(Whitelist, format!("ip:{address}").as_bytes());
                prop_assert_eq!(got, expected, "{} in {:?}", address, networks);
            }
        }
    }
}
