//! Who is asking: the address behind the proxies, and the id that is charged.
//!
//! Owns: which of the things a visitor can send is believed. A forwarding header counts only when
//! the peer is a trusted proxy, and is read from the right: the last hop was written by the proxy
//! that we trust, the ones before it by whoever that one talked to. An API key or a bearer token
//! chooses a bucket only when a validator said yes; else the address is charged, so that nobody
//! gets a fresh bucket by inventing a key. Refuses to do: check a key; that is the host's.

mod forwarded;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::fields::Fields;
use crate::error::Result;

use forwarded::{forwarded_hops, hop, x_forwarded_for_hops};

/// Networks whose forwarding headers are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts `networks`.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The networks.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

/// Which header the trusted proxies set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForwardedBy {
    /// `Forwarded` or `X-Forwarded-For`; when both are there they must agree.
    #[default]
    Either,
    /// `Forwarded` (RFC 7239) alone.
    Forwarded,
    /// `X-Forwarded-For` alone.
    XForwardedFor,
    /// Another header that holds one address, such as `x-real-ip` or `cf-connecting-ip`. In lower case.
    Single(String),
}

impl ForwardedBy {
    /// Reads the setting `client_ip_header`.
    ///
    /// # Errors
    /// Invalid argument when it is no header's name.
    pub fn read(fields: &Fields) -> Result<Self> {
        const KEY: &str = "client_ip_header";
        let Some(value) = fields.get(KEY) else { return Ok(Self::Either) };
        let name = value.as_str().unwrap_or_default().to_ascii_lowercase().replace('_', "-");
        match name.as_str() {
            "auto" => Ok(Self::Either),
            "forwarded" => Ok(Self::Forwarded),
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            other if !other.is_empty() && other.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                Ok(Self::Single(name))
            }
            _ => Err(fields.wrong(KEY, "expected 'auto', 'forwarded', 'x-forwarded-for' or a header's name")),
        }
    }
}

/// What is known of a request's origin.
pub struct Peer<'a> {
    /// `REMOTE_ADDR`.
    pub remote: &'a str,
    /// The request header with this lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

/// Where the address of a client was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is the peer itself.
    Peer,
    /// A trusted proxy said so.
    Header,
    /// `Forwarded` and `X-Forwarded-For` name different clients: neither is believed.
    Conflict,
    /// The header of a trusted proxy cannot be read as far as its client.
    Unreadable,
}

/// A client's address, or none when the peer has none (the command line).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp {
    /// The address, IPv4-mapped ones as IPv4. Of a client that is not known, the nearest proxy's.
    pub address: Option<IpAddr>,
    /// Where it was found.
    pub origin: Origin,
}

impl ClientIp {
    /// The client's own address. Whoever hides behind a trusted proxy by a header that conflicts or
    /// cannot be read has none: with the proxy's he would get its place on the whitelist, and the
    /// protection that keeps a proxy from being banned.
    pub fn own(&self) -> Option<IpAddr> {
        self.address.filter(|_| matches!(self.origin, Origin::Peer | Origin::Header))
    }

    /// The id that names the address in full, so that a list may speak of it: `ip:2001:db8::7`. All
    /// who hide behind one proxy are `behind:10.0.0.1` together. `None` on the command line.
    pub fn id(&self) -> Option<String> {
        let address = self.address?;
        Some(match self.own() {
            Some(own) => format!("ip:{own}"),
            None => format!("behind:{address}"),
        })
    }
}

/// Finds the address of the client behind `peer`.
pub fn client_ip(peer: &Peer<'_>, trusted: &TrustedProxies, by: &ForwardedBy) -> ClientIp {
    let Some(remote) = hop(peer.remote) else { return ClientIp { address: None, origin: Origin::Peer } };
    let itself = |origin| ClientIp { address: Some(remote), origin };
    if !trusted.contains(&remote) {
        return itself(Origin::Peer);
    }
    let header = |name: &str| (peer.header)(name).filter(|text| !text.trim().is_empty());
    let behind = |hops: Vec<Option<IpAddr>>| walk(remote, &hops, trusted);
    let forwarded = || header("forwarded").map(|text| behind(forwarded_hops(&text)));
    let x_forwarded = || header("x-forwarded-for").map(|text| behind(x_forwarded_for_hops(&text)));
    let found = match by {
        ForwardedBy::Forwarded => forwarded(),
        ForwardedBy::XForwardedFor => x_forwarded(),
        ForwardedBy::Single(name) => header(name).map(|text| behind(vec![hop(&text)])),
        ForwardedBy::Either => match (forwarded(), x_forwarded()) {
            (Some(one), Some(other)) if one != other => return itself(Origin::Conflict),
            (one, other) => one.or(other),
        },
    };
    match found {
        Some(found) if found.address != Some(remote) || found.origin == Origin::Unreadable => found,
        _ => itself(Origin::Peer),
    }
}

/// Walks from our side outwards, past trusted proxies. A hop that is no address ends the walk: what
/// stands before it was written by somebody unknown.
fn walk(remote: IpAddr, hops: &[Option<IpAddr>], trusted: &TrustedProxies) -> ClientIp {
    let mut nearest = remote;
    for hop in hops.iter().rev() {
        let Some(address) = *hop else {
            return ClientIp { address: Some(nearest), origin: Origin::Unreadable };
        };
        nearest = address;
        if !trusted.contains(&nearest) {
            break;
        }
    }
    ClientIp { address: Some(nearest), origin: Origin::Header }
}

/// What a request offers to identify itself with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The id of the logged-in user, which the host has checked.
    pub user: Option<u64>,
    /// An API key, not checked.
    pub api_key: Option<&'a [u8]>,
    /// A bearer token, not checked.
    pub bearer: Option<&'a [u8]>,
}

/// A kind of secret that a validator is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An API key.
    ApiKey,
    /// A bearer token.
    Bearer,
}

impl Secret {
    /// What ids of this kind start with.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Bearer => "bearer",
        }
    }
}

/// The id under which a request is charged.
///
/// `site` keys the hash of secrets, so that an id that leaks tells nothing of the key, and `accepts`
/// says whether a secret is valid. Order: API key, bearer, user, address.
pub fn identify(
    credentials: &Credentials<'_>,
    from: &ClientIp,
    site: &[u8],
    accepts: &dyn Fn(Secret, &[u8]) -> bool,
) -> String {
    let offered = [(Secret::ApiKey, credentials.api_key), (Secret::Bearer, credentials.bearer)];
    for (kind, secret) in offered {
        if let Some(secret) = secret.filter(|secret| !secret.is_empty() && accepts(kind, secret)) {
            return secret_id(kind, secret, site);
        }
    }
    match (credentials.user, from.own()) {
        (Some(user), _) => format!("user:{user}"),
        (None, Some(address)) => address_id(&address),
        (None, None) => from.id().unwrap_or_else(|| "ip:unknown".to_owned()),
    }
}

/// `api_key:` and 128 bits of keyed BLAKE3 over the whole secret: the start of a JWT is the same for
/// everybody.
pub fn secret_id(kind: Secret, secret: &[u8], site: &[u8]) -> String {
    let key = blake3::derive_key("slbp 2026 rate limiter: identities", site);
    let hash = blake3::keyed_hash(&key, secret).to_hex();
    format!("{}:{}", kind.kind(), hash.get(..32).unwrap_or_default())
}

/// `ip:203.0.113.7`, or `ip:2001:db8:1:2::/64`: an IPv6 subscriber has at least a /64.
pub fn address_id(address: &IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(four) => format!("ip:{four}"),
        IpAddr::V6(six) => format!("ip:{}/64", std::net::Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
    }
}
