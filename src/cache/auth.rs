//! Signatures on what will be turned into objects.
//!
//! Owns: the key and the check. Whoever can write to Redis or Memcached could otherwise choose
//! which classes PHP builds and what it puts in them (object injection, CWE-502). The key is
//! derived from the site's secret salts, so sites that share a server cannot sign for one another.

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = blake3::OUT_LEN;

/// Separates this use of the salts from any other.
const CONTEXT: &str = "slbp 2026 cache entries v1";

/// Signs and verifies under one site's key.
#[derive(Clone)]
pub struct Signer {
    key: [u8; blake3::KEY_LEN],
}

impl Signer {
    /// The signer of the site whose secret is `salts`.
    pub fn new(salts: &[u8]) -> Self {
        Self { key: blake3::derive_key(CONTEXT, salts) }
    }

    /// The signature of `parts`. Their borders count.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        *self.hash(parts).as_bytes()
    }

    /// Whether `signature` is that of `parts`, in a time that does not depend on where it differs.
    pub fn verifies(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        let claimed: Result<[u8; SIGNATURE_BYTES], _> = signature.try_into();
        claimed.is_ok_and(|claimed| self.hash(parts) == claimed)
    }

    fn hash(&self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(***)")
    }
}
