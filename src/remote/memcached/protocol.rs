//! Memcached's meta commands: how they are written, how their replies are read.
//!
//! Owns: bytes in both directions, and nothing else; reading is incremental and tested with
//! arbitrary bytes. Reference: `doc/protocol.txt` of memcached 1.6.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::remote::fault::{Fault, FaultKind};

/// Keys are at most this long and hold no blanks or control characters.
const MAX_KEY: usize = 250;

/// A larger item than any server is set up for.
const MAX_ITEM: usize = 1 << 30;

/// Up to here the server takes a number of seconds as a time span, beyond as an instant.
const MAX_RELATIVE: u64 = 30 * 24 * 3600;

/// How the key is to be found before an item is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In any state.
    Set,
    /// Missing.
    Add,
    /// As it was when this unique number was read.
    Unchanged(u64),
}

/// One command. Each has exactly one reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    key: Vec<u8>,
    bytes: Vec<u8>,
}

impl Request {
    /// Value, unique number, client flags and remaining time of `key`.
    pub fn get(key: &[u8]) -> Self {
        Self::new("mg", key, " v c f t\r\n")
    }

    /// The same without the value.
    pub fn look(key: &[u8]) -> Self {
        Self::new("mg", key, " c f t\r\n")
    }

    /// Stores `value` with `flags` as `mode` allows; `expiry` as [`expiry`] writes it.
    pub fn store(key: &[u8], value: &[u8], expiry: u64, flags: u32, mode: Mode) -> Self {
        let condition = match mode {
            Mode::Set => String::new(),
            Mode::Add => " ME".to_owned(),
            Mode::Unchanged(unique) => format!(" C{unique}"),
        };
        let mut request =
            Self::new("ms", key, &format!(" {} T{expiry} F{flags}{condition}\r\n", value.len()));
        request.bytes.extend_from_slice(value);
        request.bytes.extend_from_slice(b"\r\n");
        request
    }

    /// Stores `value` as `mode` allows; the reply has the item's new unique number.
    pub fn store_and_tell(key: &[u8], value: &[u8], expiry: u64, mode: Mode) -> Self {
        let condition = match mode {
            Mode::Set => String::new(),
            Mode::Add => " ME".to_owned(),
            Mode::Unchanged(unique) => format!(" C{unique}"),
        };
        let mut request = Self::new("ms", key, &format!(" {} T{expiry} c{condition}\r\n", value.len()));
        request.bytes.extend_from_slice(value);
        request.bytes.extend_from_slice(b"\r\n");
        request
    }

    /// Deletes `key`.
    pub fn delete(key: &[u8]) -> Self {
        Self::new("md", key, "\r\n")
    }

    /// Deletes `key` if it is as when this unique number was read.
    pub fn delete_unchanged(key: &[u8], unique: u64) -> Self {
        Self::new("md", key, &format!(" C{unique}\r\n"))
    }

    /// Adds 1 to the number at `key`, which begins with `initial` when it is missing.
    pub fn count(key: &[u8], initial: u64) -> Self {
        Self::new("ma", key, &format!(" N0 J{initial} D1 v\r\n"))
    }

    fn new(command: &str, key: &[u8], rest: &str) -> Self {
        let mut bytes = Vec::with_capacity(command.len() + 1 + key.len() + rest.len());
        bytes.extend_from_slice(command.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(rest.as_bytes());
        Self { key: key.to_vec(), bytes }
    }

    /// The key, by which the server is chosen.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The command as it is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether the server takes `key` as it is.
pub fn is_plain(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY && key.iter().all(|byte| (0x21..0x7F).contains(byte))
}

/// An item's expiry as the protocol writes it; `None` is never. Parts of a second count as one, and
/// one more, because the server's clock ticks once a second: what is stored just before a tick would
/// be a second old right after it.
pub fn expiry(ttl: Option<Duration>, now: Timestamp) -> u64 {
    expiry_in_ticks(
        ttl.map(|ttl| u64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).saturating_add(1)),
        now,
    )
}

/// The same from what the server said was left, so that nothing is lengthened.
pub fn expiry_in_ticks(ticks: Option<u64>, now: Timestamp) -> u64 {
    match ticks.map(|ticks| ticks.clamp(1, u64::from(u32::MAX))) {
        None => 0,
        Some(ticks) if ticks <= MAX_RELATIVE => ticks,
        Some(ticks) => now.secs().saturating_add(ticks),
    }
}

/// An item that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The value; empty if it was not asked for.
    pub value: Vec<u8>,
    /// The number that changes with every write.
    pub unique: u64,
    /// What the writer put beside it.
    pub flags: u32,
    /// Seconds left; `None` is for ever.
    pub ttl: Option<u64>,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Here it is.
    Found(Item),
    /// Done.
    Done,
    /// There is no such item.
    Missing,
    /// It is not as the condition says, or is there already.
    Refused,
    /// The command makes no sense, or there is no memory for it: what the server said.
    Failed(String),
}

/// Reads one reply from the start of `bytes`; `None`: it is not complete yet. Else the reply and how
/// many bytes it took.
///
/// # Errors
/// [`FaultKind::Protocol`] when this is no reply.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Fault> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() > 2048 { Err(nonsense()) } else { Ok(None) };
    };
    let line = std::str::from_utf8(bytes.get(..end).unwrap_or(&[])).map_err(|_| nonsense())?;
    let after_line = end + 2;
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let reply = match words.next().unwrap_or("") {
        "HD" => match item(words)? {
            None => Reply::Done,
            Some(item) => Reply::Found(item),
        },
        "EN" | "NF" => Reply::Missing,
        "NS" | "EX" => Reply::Refused,
        "STORED" | "MN" => Reply::Done,
        "VA" => {
            let len: usize = words.next().and_then(|word| word.parse().ok()).ok_or_else(nonsense)?;
            let mut found = item(words)?.unwrap_or_default();
            if len > MAX_ITEM {
                return Err(nonsense());
            }
            let Some(block) = bytes.get(after_line..after_line + len + 2) else { return Ok(None) };
            let (value, tail) = block.split_at(len);
            if tail != b"\r\n" {
                return Err(nonsense());
            }
            found.value = value.to_vec();
            return Ok(Some((Reply::Found(found), after_line + len + 2)));
        }
        "ERROR" | "CLIENT_ERROR" | "SERVER_ERROR" => Reply::Failed(line.to_owned()),
        _ => return Err(nonsense()),
    };
    Ok(Some((reply, after_line)))
}

/// The flags that a reply returns; `None` when there is none.
fn item<'a>(words: impl Iterator<Item = &'a str>) -> Result<Option<Item>, Fault> {
    let mut item: Option<Item> = None;
    for word in words {
        let (name, number) = word.split_at_checked(1).ok_or_else(nonsense)?;
        let item = item.get_or_insert_default();
        match name {
            "c" => item.unique = number.parse().map_err(|_| nonsense())?,
            "f" => item.flags = number.parse().map_err(|_| nonsense())?,
            "t" => item.ttl = number.parse().ok(),
            _ => {}
        }
    }
    Ok(item)
}

fn nonsense() -> Fault {
    Fault::new(FaultKind::Protocol, "memcached's reply is not one of the protocol")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replies_are_read_as_the_protocol_says() {
        let item = Item { value: b"a\r\nb".to_vec(), unique: 7, flags: 3, ttl: Some(60) };
        let cases = [
            (&b"VA 4 c7 f3 t60\r\na\r\nb\r\nEN\r\n"[..], Reply::Found(item), 22),
            (b"HD\r\n", Reply::Done, 4),
            (b"HD c7 f0 t-1\r\n", Reply::Found(Item { unique: 7, ..Item::default() }), 14),
            (b"EN\r\n", Reply::Missing, 4),
            (b"NF\r\n", Reply::Missing, 4),
            (b"NS\r\n", Reply::Refused, 4),
            (b"EX\r\n", Reply::Refused, 4),
            (
                b"SERVER_ERROR out of memory storing object\r\n",
                Reply::Failed("SERVER_ERROR out of memory storing object".to_owned()),
                43,
            ),
        ];
        for (bytes, reply, len) in cases {
            assert_eq!(parse(bytes).unwrap(), Some((reply, len)));
            for cut in 0..len {
                assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{cut} bytes are not enough");
            }
        }
        assert!(parse(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(parse(b"VA 99999999999999 c1\r\n").is_err());
    }

    #[test]
    fn requests_are_written_as_the_protocol_says() {
        assert_eq!(Request::get(b"k").bytes(), b"mg k v c f t\r\n");
        let add = Request::store(b"k", b"va\r\n", 60, 5, Mode::Add);
        assert_eq!(add.bytes(), b"ms k 4 T60 F5 ME\r\nva\r\n\r\n");
        let swap = Request::store(b"k", b"", 0, 0, Mode::Unchanged(9));
        assert_eq!(swap.bytes(), b"ms k 0 T0 F0 C9\r\n\r\n");
        assert_eq!(Request::count(b"k", 100).bytes(), b"ma k N0 J100 D1 v\r\n");
    }

    #[test]
    fn expiries_are_seconds_or_an_instant() {
        let now = Timestamp::from_secs(1_700_000_000);
        assert_eq!(expiry(None, now), 0);
        assert_eq!(expiry(Some(Duration::from_millis(1)), now), 2);
        assert_eq!(expiry(Some(Duration::from_millis(1001)), now), 3);
        assert_eq!(expiry(Some(Duration::MAX), now), 1_700_000_000 + u64::from(u32::MAX));
        assert_eq!(expiry_in_ticks(Some(0), now), 1);
        assert_eq!(expiry_in_ticks(Some(MAX_RELATIVE), now), MAX_RELATIVE);
        let year = 365 * 24 * 3600;
        assert_eq!(expiry_in_ticks(Some(year), now), 1_700_000_000 + year);
    }

    #[test]
    fn keys_with_blanks_are_not_plain() {
        assert!(is_plain(b"site:posts:1"));
        for key in [&b""[..], b"a b", b"a\n", b"\xC3\xA4", &[b'x'; 251]] {
            assert!(!is_plain(key));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_damaged_reply_makes_it_panic(at in 0usize..24, byte: u8) {
            let mut bytes = b"VA 4 c7 f3 t60\r\na\r\nb\r\n".to_vec();
            if let Some(place) = bytes.get_mut(at) { *place = byte; }
            if let Ok(Some((_, len))) = parse(&bytes) { prop_assert!(len <= bytes.len()); }
        }
    }
}
