//! Encryption in the format of age-encryption.org/v1, as the `age` and `rage` tools read it.
//!
//! Owns: keys ([`Keys`]), the header that wraps a file's key for each recipient, and the payload as a
//! stream of sealed chunks, written in order and read from any position. Refuses to do: passphrases
//! (a work factor of a second for each of a backup's files; `age -p` can protect the identity's own
//! file), SSH keys and plugins.
//!
//! The format is 200 lines over `ring`, which TLS brings anyway, and X25519. The `age` crate would have
//! brought 184 crates, a third of them to translate its messages. The tests hold both directions
//! against the `age` tool.
//!
//! What it proves: a file that opens is what was encrypted, to the last byte. What it does not: who
//! encrypted it. Who knows a recipient can write a file for it.

mod header;
mod keys;
mod stream;

pub use keys::{Identity, Keys, Recipient};
pub(crate) use stream::{Opened, Sealer};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use super::fault::fault;
use crate::error::Result;

/// What the names of encrypted files end with.
pub const EXTENSION: &str = ".age";

/// The key of one file, which the header wraps and from which everything else is derived.
type FileKey = [u8; 16];

const TAG: usize = 16;

/// HKDF-SHA-256 of `secret`, 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<[u8; 32]> {
    let mut key = [0; 32];
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    let filled = extracted.expand(&[info], HKDF_SHA256).and_then(|output| output.fill(&mut key));
    filled.map(|()| key).map_err(|_| fault("a key could not be derived"))
}

/// ChaCha20-Poly1305 under `key`.
fn cipher(key: &[u8; 32]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| fault("a key has a wrong length"))?;
    Ok(LessSafeKey::new(key))
}

/// Seals `plain` with a key that seals nothing else.
fn seal_once(key: &[u8; 32], plain: &[u8]) -> Result<Vec<u8>> {
    let mut sealed = plain.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let done = cipher(key)?.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed);
    done.map(|()| sealed).map_err(|_| fault("a key could not be wrapped"))
}

/// Opens what [`seal_once`] sealed; `None` when it was another key, or other bytes.
fn open_once(key: &[u8; 32], sealed: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut opened = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let plain = cipher(key)?.open_in_place(nonce, Aad::empty(), &mut opened);
    Ok(plain.ok().map(|plain| plain.to_vec()))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| fault(format!("no random numbers: {error}")))?;
    Ok(bytes)
}
