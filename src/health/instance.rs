//! What this node is called.
//!
//! Owns: an id that every process of a host agrees on, that survives restarts, and that no two hosts
//! share although they share a database. It is a hash, because systemd asks that a machine's id be
//! told to nobody (machine-id(5)); the host's name goes in with it, because containers of one image
//! have one machine id.

use std::fs;

/// The id of this host, 16 hexadecimal digits; `given` as it is, where the operator has chosen one.
pub fn id(given: Option<&str>) -> String {
    if let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) {
        return given.to_owned();
    }
    let machine =
        ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|path| fs::read_to_string(path).ok());
    let host = rustix::system::uname();
    of(machine.unwrap_or_default().trim(), &host.nodename().to_string_lossy())
}

fn of(machine: &str, host: &str) -> String {
    let key = blake3::derive_key("slbp 2026 instance id", machine.as_bytes());
    let hash = blake3::keyed_hash(&key, host.as_bytes()).to_hex();
    hash.get(..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stable_and_tells_hosts_apart() {
        assert_eq!(id(None), id(None));
        assert_eq!(of("m", "web-1"), of("m", "web-1"));
        assert_ne!(of("m", "web-1"), of("m", "web-2"), "containers of one image");
        assert_ne!(of("m", "web"), of("n", "web"), "clones with one name");
        assert_eq!(id(Some(" web-7 ")), "web-7");
    }
}
