//! The forwarding headers, taken apart into hops from left to right.
//!
//! A hop that is no address (`unknown`, `_hidden`, nonsense) is `None`, and still a hop: dropping it
//! would let a visitor make the next one count.

use std::net::IpAddr;

/// The `for=` of each element of `Forwarded` (RFC 7239, §4 and §6).
pub fn forwarded_hops(text: &str) -> Vec<Option<IpAddr>> {
    split(text, b',').into_iter().map(forwarded_for).collect()
}

/// The addresses of `X-Forwarded-For`.
pub fn x_forwarded_for_hops(text: &str) -> Vec<Option<IpAddr>> {
    text.split(',').map(hop).collect()
}

/// An address, with or without port, brackets and blanks around it. IPv4-mapped ones are IPv4.
pub fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let host = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
                return None;
            }
            host
        }
        None => match text.split_once(':') {
            Some((host, port)) if is_port(port) && host.contains('.') => host,
            _ => text,
        },
    };
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.parse::<u16>().is_ok()
}

/// An element without exactly one `for=` names nobody.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = split(element, b';').into_iter().filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, value) = named.next()?;
    if named.next().is_some() {
        return None;
    }
    let value = value.trim();
    match value.strip_prefix('"') {
        Some(quoted) => hop(&quoted.strip_suffix('"')?.replace('\\', "")),
        // Without quotes a colon is not allowed, but proxies send it.
        None => hop(value),
    }
}

/// Splits at `separator` outside of quoted strings. A quote that is never closed quotes nothing: a
/// visitor must not swallow what the proxy appends.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return text.split(char::from(separator)).collect();
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}
