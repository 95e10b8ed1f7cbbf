//! The header of an age file: the file's key, wrapped for each recipient, and a MAC over all of it.
//!
//! Stanzas of other kinds are passed over, as the format asks: another recipient may be meant.

use std::io::{self, BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::hmac;
use x25519_dalek::{PublicKey, StaticSecret};

use super::keys::{Identity, Recipient};
use super::{FileKey, derive, open_once, random, seal_once};
use crate::backup::fault::fault;
use crate::error::Result;

const VERSION: &str = "age-encryption.org/v1";
const X25519: &str = "age-encryption.org/v1/X25519";

/// Columns of a stanza's body.
const COLUMNS: usize = 64;

/// More than any header of ours; what is longer is no header.
const LONGEST: u64 = 64 * 1024;

/// The header of a file whose key is `key`.
pub fn write(key: &FileKey, recipients: &[Recipient]) -> Result<Vec<u8>> {
    let mut header = format!("{VERSION}\n");
    for recipient in recipients {
        let ephemeral = StaticSecret::from(random::<32>()?);
        let share = PublicKey::from(&ephemeral);
        let wrapping = wrapping_key(&ephemeral, &recipient.0, &share, &recipient.0)?;
        let body = seal_once(&wrapping, key)?;
        header.push_str(&format!("-> X25519 {}\n{}\n", encode(share.as_bytes()), encode(&body)));
    }
    header.push_str("---");
    let mac = hmac::sign(&mac_key(key)?, header.as_bytes());
    header.push_str(&format!(" {}\n", encode(mac.as_ref())));
    Ok(header.into_bytes())
}

/// Reads a header from `input`, which is then at the payload, and unwraps the file's key.
///
/// # Errors
/// It is no age file, none of `identities` opens it, or the header was changed.
pub fn read(input: &mut impl BufRead, identities: &[Identity]) -> Result<FileKey> {
    let mut lines = Lines { input: input.take(LONGEST), read: Vec::new() };
    if lines.next()? != VERSION {
        return Err(fault("it is not encrypted with age, version 1"));
    }
    let mut key = None;
    loop {
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix("--- ") {
            let key = key.ok_or_else(|| fault("none of the configured keys opens it"))?;
            let covered = lines.read.len() - mac.len() - " \n".len();
            let covered = lines.read.get(..covered).unwrap_or_default();
            let authentic = hmac::verify(&mac_key(&key)?, covered, &decode(mac)?).is_ok();
            return authentic.then_some(key).ok_or_else(|| fault("its header was changed"));
        }
        let arguments = line.strip_prefix("-> ").ok_or_else(malformed)?;
        let body = lines.body()?;
        if let Some(share) = arguments.strip_prefix("X25519 ").filter(|_| key.is_none()) {
            key = unwrap(&decode(share)?, &body, identities)?;
        }
    }
}

fn unwrap(share: &[u8], body: &[u8], identities: &[Identity]) -> Result<Option<FileKey>> {
    let share: [u8; 32] = share.try_into().map_err(|_| malformed())?;
    let share = PublicKey::from(share);
    for identity in identities {
        let wrapping = wrapping_key(&identity.secret, &share, &share, &identity.public)?;
        if let Some(key) = open_once(&wrapping, body)? {
            return Ok(Some(key.try_into().map_err(|_| malformed())?));
        }
    }
    Ok(None)
}

fn wrapping_key(
    secret: &StaticSecret,
    theirs: &PublicKey,
    share: &PublicKey,
    recipient: &PublicKey,
) -> Result<[u8; 32]> {
    let shared = secret.diffie_hellman(theirs);
    if !shared.was_contributory() {
        return Err(fault("a key in its header is of low order"));
    }
    let salt = [*share.as_bytes(), *recipient.as_bytes()].concat();
    derive(shared.as_bytes(), &salt, X25519.as_bytes())
}

fn mac_key(key: &FileKey) -> Result<hmac::Key> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &derive(key, b"", b"header")?))
}

fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).map_err(|_| malformed())
}

fn malformed() -> crate::error::Error {
    fault("its header is malformed")
}

/// The lines of a header, and all that was read of it.
struct Lines<R> {
    input: io::Take<R>,
    read: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<String> {
        let begin = self.read.len();
        let failed = |error: io::Error| fault(format!("cannot read its header: {error}"));
        self.input.read_until(b'\n', &mut self.read).map_err(failed)?;
        let line = self.read.get(begin..).and_then(|line| line.strip_suffix(b"\n")).ok_or_else(malformed)?;
        String::from_utf8(line.to_vec()).map_err(|_| malformed())
    }

    /// Lines of 64 columns and a shorter one, which may be empty.
    fn body(&mut self) -> Result<Vec<u8>> {
        let mut text = String::new();
        loop {
            let line = self.next()?;
            text.push_str(&line);
            if line.len() < COLUMNS {
                return decode(&text);
            }
        }
    }
}
