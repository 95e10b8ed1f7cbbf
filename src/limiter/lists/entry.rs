//! What stands on a list: a network, an exact id, or a pattern.
//!
//! Owns: reading an entry and its canonical text, by which it is found and removed again:
//! `10.1.2.3/8` is `10.0.0.0/8`, `::ffff:192.0.2.1` is `192.0.2.1`, `ip:192.0.2.1` too.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::{Error, Result};
use crate::limiter::glob::Glob;
use crate::limiter::keys::Client;

/// Longest entry, in bytes. A record of the shared table leaves the rest for source and reason.
pub const MAX_ENTRY_BYTES: usize = 64;

/// What one IPv6 subscriber has at least.
const SUBSCRIBER_PREFIX: u8 = 64;

const EXPECTED: &str = "expected an address ('203.0.113.7'), a network ('10.0.0.0/8', '2001:db8::/32'), \
                        a pattern ('192.168.*') or a client id ('user:123')";

/// A list entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Every address in a network; a single address is one of full length.
    Network(IpNet),
    /// One client id.
    Exact(String),
    /// Every client id, or address, that a pattern with `*` matches.
    Pattern(String, Glob),
}

impl Entry {
    /// Reads an entry as an administrator writes it.
    ///
    /// # Errors
    /// Invalid argument naming the entry and the forms there are.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let refuse = |expected: &str| Err(Error::invalid(&format!("entry '{}'", shown(text)), expected));
        if text.is_empty() || text.chars().any(char::is_control) {
            return refuse(EXPECTED);
        }
        if text.len() > MAX_ENTRY_BYTES {
            return refuse(&format!("expected at most {MAX_ENTRY_BYTES} bytes, got {}", text.len()));
        }
        let address = text.strip_prefix("ip:").unwrap_or(text);
        if let Ok(network) = network(address) {
            return Ok(Self::Network(network));
        }
        let is_id = text.split_once(':').is_some_and(|(kind, name)| is_kind(kind) && !name.is_empty());
        match (text.contains('*'), is_id) {
            (false, true) => Ok(Self::Exact(text.to_owned())),
            (true, true) => Ok(Self::Pattern(text.to_owned(), Glob::wildcard(text))),
            (true, false) if is_address_pattern(address) => {
                Ok(Self::Pattern(address.to_owned(), Glob::wildcard(address)))
            }
            _ => refuse(EXPECTED),
        }
    }

    /// The entry that speaks of one client: its IPv6 /64, its IPv4 address, or its id.
    pub fn of_client(client: &Client<'_>) -> Self {
        match client {
            Client::Address(IpAddr::V4(four)) => Self::Network(Ipv4Net::from(*four).into()),
            Client::Address(IpAddr::V6(six)) => {
                Self::Network(Ipv6Net::new_assert(*six, SUBSCRIBER_PREFIX).trunc().into())
            }
            Client::Named(id) => Self::Exact(name_of(id).into_owned()),
        }
    }

    /// Whether the entry speaks of `client`, whose id is `id`.
    pub fn covers(&self, client: &Client<'_>, id: &[u8]) -> bool {
        match (self, client) {
            (Self::Network(network), Client::Address(address)) => network.contains(address),
            (Self::Exact(exact), Client::Named(_)) => *exact == name_of(id),
            (Self::Pattern(_, glob), Client::Address(address)) => {
                glob.matches(address.to_string().as_bytes())
            }
            (Self::Pattern(_, glob), Client::Named(_)) => glob.matches(id),
            _ => false,
        }
    }

    /// Whether the entry speaks of any address in `other`. Of a pattern this looks at the first and
    /// the last address, and at all of them where the pattern is a dotted prefix (`10.1.*`).
    pub fn overlaps(&self, other: &IpNet) -> bool {
        let nested = |one: &IpNet, two: &IpNet| one.contains(two) || two.contains(one);
        match self {
            Self::Network(network) => nested(network, other),
            Self::Exact(_) => false,
            Self::Pattern(text, glob) => {
                let ends = [other.network(), other.broadcast()];
                ends.iter().any(|address| glob.matches(address.to_string().as_bytes()))
                    || dotted_prefix(text).is_some_and(|network| nested(&IpNet::V4(network), other))
            }
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Self::Network(network) => write!(f, "{network}"),
            Self::Exact(text) | Self::Pattern(text, _) => f.write_str(text),
        }
    }
}

/// Reads an address or a network of any prefix length; bits beyond it are cleared, IPv4-mapped
/// ones are IPv4.
///
/// # Errors
/// Invalid argument when it is neither.
pub fn network(text: &str) -> Result<IpNet> {
    let text = text.trim();
    let parsed = match text.parse::<IpNet>() {
        Ok(network) => Some(network),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let expected = || Error::invalid(&format!("'{}'", shown(text)), "expected an address or a network");
    parsed.map(|network| unmapped(network.trunc())).ok_or_else(expected)
}

fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let four = six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(96));
    four.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}

/// A kind as in `user:7`. One of hexadecimal digits only is an IPv6 address with a slip in it.
fn is_kind(kind: &str) -> bool {
    kind.starts_with(|first: char| first.is_ascii_alphabetic())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !kind.bytes().all(|byte| byte.is_ascii_hexdigit())
        && kind != "ip"
}

/// A pattern that an address can match, and not every address: `192.168.*`, `2001:db8:*`.
fn is_address_pattern(text: &str) -> bool {
    let made_of = |separator: u8, digit: fn(&u8) -> bool| {
        text.bytes().all(|byte| byte == b'*' || byte == separator || digit(&byte))
            && text.bytes().any(|b| digit(&b))
    };
    let four = made_of(b'.', u8::is_ascii_digit) && text.split('.').count() <= 4;
    four || (text.contains(':') && made_of(b':', u8::is_ascii_hexdigit))
}

/// `10.1.*` as 10.1.0.0/16.
fn dotted_prefix(pattern: &str) -> Option<Ipv4Net> {
    let octets: Vec<u8> =
        pattern.strip_suffix(".*")?.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let mut address = [0; 4];
    let filled = address.get_mut(..octets.len())?;
    filled.copy_from_slice(&octets);
    Ipv4Net::new(address.into(), 8 * octets.len() as u8).ok()
}

/// The text under which a client's id stands on a list: the id, or a hash of one that a record cannot
/// hold because it is too long or not UTF-8.
pub fn name_of(id: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(id) {
        Ok(text) if text.len() <= MAX_ENTRY_BYTES => Cow::Borrowed(text),
        _ => Cow::Owned(format!("hash:{}", blake3::hash(id).to_hex().get(..32).unwrap_or_default())),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).filter(|c| !c.is_control()).collect()
}
