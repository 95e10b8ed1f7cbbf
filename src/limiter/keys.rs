//! The names that counters have in a store: 128 bits of keyed hash.
//!
//! Owns: which parts of a client's id make its bucket, and the hash. An IPv6 client is its /64,
//! because that is what one subscriber gets; an IPv4-mapped address is the IPv4 one. Refuses to do:
//! keep an identity in the clear; a store sees hashes only.
//!
//! The client is hashed once per request (SipHash-1-3, 128 bits); each counter of a rule is that
//! hash XOR the counter's own, so a rule with four limits costs one hash. The key depends on the
//! site, so two sites in one store never meet, and cannot name each other's counters.

use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip128::{Hasher128, SipHasher13};

/// A client's 128 bits.
pub type ClientKey = u128;

/// Hashes clients of one site.
#[derive(Clone, Copy)]
pub struct Keyring {
    keyed: SipHasher13,
}

impl Keyring {
    /// For a store of this host: `secret` is a hash of the site under the segment's own secret.
    pub fn local(secret: u128) -> Self {
        Self { keyed: SipHasher13::new_with_keys((secret >> 64) as u64, secret as u64) }
    }

    /// For a store that several hosts share: they agree on the site and on nothing else.
    pub fn shared(site: &[u8]) -> Self {
        let key = blake3::derive_key("slbp 2026 rate limiter: counters of a site", site);
        let (half, _) = key.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        Self::local(u128::from_le_bytes(*half))
    }

    /// The key of `client`.
    pub fn client(&self, client: &Client<'_>) -> ClientKey {
        let mut hasher = self.keyed;
        match client {
            Client::Address(IpAddr::V4(address)) => {
                hasher.write_u8(4);
                hasher.write(&address.octets());
            }
            Client::Address(IpAddr::V6(address)) => {
                hasher.write_u8(6);
                hasher.write_u64((address.to_bits() >> 64) as u64);
            }
            Client::Named(id) => {
                hasher.write_u8(0);
                hasher.write(id);
            }
        }
        hasher.finish128().into()
    }
}

/// Who is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    /// An address, IPv4-mapped ones as IPv4.
    Address(IpAddr),
    /// Anything else: `user:7`, `api_key:…`.
    Named(&'a [u8]),
}

impl<'a> Client<'a> {
    /// Reads a client id. `ip:203.0.113.7`, `203.0.113.7` and `ip:2001:db8::/64` are addresses.
    pub fn parse(id: &'a [u8]) -> Self {
        let text = id.strip_prefix(b"ip:").unwrap_or(id);
        let text = text.strip_suffix(b"/64").unwrap_or(text);
        let may_be_one = text.first().is_some_and(|first| first.is_ascii_hexdigit() || *first == b':');
        let address = match str::from_utf8(text) {
            Ok(text) if may_be_one => text.parse::<IpAddr>().ok(),
            _ => None,
        };
        match address {
            Some(address) => Self::Address(address.to_canonical()),
            None => Self::Named(id),
        }
    }
}
