//! Links to exports: for one file, until a time, signed with a key that only this site has.

use crate::error::{Error, Result};

/// A key for links, derived from the site's secret so that the secret signs nothing else with it.
pub struct LinkKey([u8; 32]);

impl LinkKey {
    /// From the site's secret (its salts).
    ///
    /// # Errors
    /// Invalid argument for a secret that could be guessed.
    pub fn new(secret: &[u8]) -> Result<Self> {
        if secret.len() < 32 {
            return Err(Error::invalid("secret", "expected at least 32 bytes"));
        }
        Ok(Self(blake3::derive_key("slbp 2026 export link", secret)))
    }
}

/// What a link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The file's name, without a folder.
    pub name: String,
    /// Until when it is good, unix time.
    pub expires: u64,
    /// What proves both, hexadecimal.
    pub signature: String,
}

impl Link {
    /// A link to the file `name` that is good until `expires`.
    pub fn sign(name: &str, expires: u64, key: &LinkKey) -> Self {
        Self { name: name.to_owned(), expires, signature: mac(name, expires, key).to_hex().to_string() }
    }

    /// Whether the link is ours and still good at `now` (unix time). A name with a folder in it
    /// never is.
    pub fn is_valid(&self, now: u64, key: &LinkKey) -> bool {
        let is_plain = !self.name.contains(['/', '\\', '\0']) && !self.name.starts_with('.');
        // Comparing hashes takes the same time wherever they differ.
        let is_ours = blake3::Hash::from_hex(&self.signature)
            .is_ok_and(|signature| signature == mac(&self.name, self.expires, key));
        is_plain && is_ours && now < self.expires
    }
}

fn mac(name: &str, expires: u64, key: &LinkKey) -> blake3::Hash {
    blake3::keyed_hash(&key.0, format!("{expires}\n{name}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_file_until_its_end() {
        let key = LinkKey::new(&[7; 32]).unwrap();
        let link = Link::sign("transactions-x.csv", 1000, &key);
        assert!(link.is_valid(999, &key));
        assert!(!link.is_valid(1000, &key), "it has ended");
        assert!(!Link { expires: 2000, ..link.clone() }.is_valid(999, &key), "its end was moved");
        assert!(!Link { name: "other.csv".to_owned(), ..link.clone() }.is_valid(999, &key));
        assert!(!Link { signature: "00".to_owned(), ..link.clone() }.is_valid(999, &key));
        assert!(!link.is_valid(999, &LinkKey::new(&[8; 32]).unwrap()), "another site's key");
        assert!(!Link::sign("../wp-config.php", 1000, &key).is_valid(0, &key), "signed or not");
        assert!(LinkKey::new(b"short").is_err());
    }
}
