//! What the door must know of a site before WordPress has started: whose metrics to show, and to whom.
//!
//! Owns: what requests of WordPress have told, in shared memory: under the folder of the front
//! controller (which the web server names and no visitor chooses) the site's tag, and under the tag
//! the addresses of its options that may see metrics, with the proxies it trusts. Lists that are too
//! long are left to WordPress. Nothing here is a secret.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::binding::segment;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::shm::{GROUPS, Key, PAYLOAD_BYTES, Record};

/// The group of the shared table whose records are ours.
const GROUP: u16 = GROUPS as u16 - 2;

/// Bytes of a network: its address as IPv6, and its length.
const NETWORK: usize = 17;

/// Who may see a site's metrics by its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Addresses that may see metrics.
    pub networks: Vec<IpNet>,
    /// Proxies whose forwarding headers are believed.
    pub proxies: Vec<IpNet>,
}

/// Remembers whose front controller lies in `folder`.
///
/// # Errors
/// The shared table is full, or locked for too long.
pub fn note_site(folder: &str, tag: u64) -> Result<()> {
    put(key(b"metrics front", folder.as_bytes())?, &tag.to_le_bytes())
}

/// The tag of the site whose front controller lies in `folder`.
pub fn site(folder: &str) -> Option<u64> {
    get(key(b"metrics front", folder.as_bytes()).ok()?)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Remembers who may see the metrics of the site `tag`.
///
/// # Errors
/// As [`note_site`].
pub fn note_addresses(tag: u64, addresses: &Addresses) -> Result<()> {
    let mut bytes = vec![addresses.networks.len() as u8];
    bytes.extend(addresses.networks.iter().chain(&addresses.proxies).flat_map(encode));
    // With half a list of proxies the door would take one for a visitor: better it knows none.
    let key = key(b"metrics access", &tag.to_le_bytes())?;
    put(key, if bytes.len() <= PAYLOAD_BYTES { &bytes } else { &[] })
}

/// Who may see the metrics of the site `tag`; `None` while it is not known, or too long to be kept.
pub fn addresses(tag: u64) -> Option<Addresses> {
    let bytes = get(key(b"metrics access", &tag.to_le_bytes()).ok()?)?;
    let (count, rest) = bytes.split_first()?;
    let mut networks: Vec<IpNet> = rest.chunks_exact(NETWORK).filter_map(decode).collect();
    let proxies = networks.split_off(usize::from(*count).min(networks.len()));
    Some(Addresses { networks, proxies })
}

fn encode(network: &IpNet) -> [u8; NETWORK] {
    let (address, length) = match network {
        IpNet::V4(four) => (four.addr().to_ipv6_mapped(), four.prefix_len() + 96),
        IpNet::V6(six) => (six.addr(), six.prefix_len()),
    };
    let mut bytes = [0; NETWORK];
    bytes.iter_mut().zip(address.octets().into_iter().chain([length])).for_each(|(to, from)| *to = from);
    bytes
}

fn decode(bytes: &[u8]) -> Option<IpNet> {
    let (address, rest) = bytes.split_first_chunk::<16>()?;
    let (address, length) = (Ipv6Addr::from(*address), *rest.first()?);
    match IpAddr::V6(address).to_canonical() {
        IpAddr::V4(four) => Ipv4Net::new(four, length.checked_sub(96)?).ok().map(IpNet::V4),
        IpAddr::V6(six) => Ipv6Net::new(six, length).ok().map(IpNet::V6),
    }
}

fn key(what: &[u8], of: &[u8]) -> Result<Key> {
    Ok(segment::get()?.hasher().key_of(&[what, of]))
}

/// Writes only what has changed: this is asked in every request, and reading takes no lock.
fn put(key: Key, payload: &[u8]) -> Result<()> {
    if get(key).as_deref() == Some(payload) {
        return Ok(());
    }
    let record = Record::new(key, GROUP, None, payload)?;
    segment::get()?.records()?.put(&record, SystemClock.now().secs())?;
    Ok(())
}

fn get(key: Key) -> Option<Vec<u8>> {
    let record = segment::get().ok()?.records().ok()?.get(key, SystemClock.now().secs())?;
    Some(record.payload().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_come_back_as_they_went_in() {
        for text in ["10.0.0.0/8", "192.0.2.7/32", "0.0.0.0/0", "2001:db8::/32", "::/0", "::1/128"] {
            let network: IpNet = text.parse().unwrap();
            assert_eq!(decode(&encode(&network)), Some(network), "{text}");
        }
        assert_eq!(decode(&[0xFF; 3]), None);
        assert_eq!(decode(&[0xFF; NETWORK]), None);
    }
}
