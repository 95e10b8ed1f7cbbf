//! Keys: recipients that encrypt, identities that decrypt, and their text.
//!
//! Invariant: nothing here prints an identity. Errors name the place of a wrong key, not the key.

use std::fmt;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use x25519_dalek::{PublicKey, StaticSecret};

const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";

/// Whom a file is encrypted for: a public key, written `age1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(pub(super) PublicKey);

/// Who can open a file: a secret key, written `AGE-SECRET-KEY-1…`.
#[derive(Clone)]
pub struct Identity {
    pub(super) secret: StaticSecret,
    pub(super) public: PublicKey,
}

/// What a site has: whom its backups are encrypted for, and what opens them here.
#[derive(Clone, Default)]
pub struct Keys {
    /// At least one. When none was named these are the public halves of the identities.
    pub recipients: Vec<Recipient>,
    /// None on a server that shall not be able to read its own backups.
    pub identities: Vec<Identity>,
}

impl Keys {
    /// The keys in `text`: words, or lines as in a file of `age-keygen`, whose comments count for nothing.
    ///
    /// # Errors
    /// Which word is no key, or that there is none; never the word itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words = lines.flat_map(|line| line.split([' ', '\t', ',', '\r'])).filter(|word| !word.is_empty());
        let mut keys = Self::default();
        for (index, word) in words.enumerate() {
            keys.take(word).map_err(|wrong| format!("key {}: {wrong}", index + 1))?;
        }
        if keys.recipients.is_empty() {
            keys.recipients = keys.identities.iter().map(Identity::recipient).collect();
        }
        if keys.recipients.is_empty() {
            return Err("expected an age key: 'age1…', 'AGE-SECRET-KEY-1…' or the path of a file with them"
                .to_owned());
        }
        Ok(keys)
    }

    /// The recipients, abbreviated.
    pub fn names(&self) -> Vec<String> {
        self.recipients.iter().map(Recipient::abbreviated).collect()
    }

    /// Whether what is encrypted with these keys can be opened with them.
    pub fn open_their_own(&self) -> bool {
        self.identities.iter().any(|identity| self.recipients.contains(&identity.recipient()))
    }

    fn take(&mut self, word: &str) -> Result<(), String> {
        let lower = word.to_ascii_lowercase();
        if lower.starts_with(IDENTITY) {
            let secret = StaticSecret::from(decode(word, IDENTITY, "identity")?);
            let public = PublicKey::from(&secret);
            self.identities.push(Identity { secret, public });
        } else if lower.starts_with("age1") {
            self.recipients.push(Recipient(decode(word, RECIPIENT, "recipient")?.into()));
        } else {
            return Err("expected 'age1…' or 'AGE-SECRET-KEY-1…'".to_owned());
        }
        Ok(())
    }
}

impl Identity {
    /// Whom to encrypt for so that this identity can open it.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.public)
    }
}

impl Recipient {
    /// Enough of the key for a person to tell it from others, too little to encrypt for it: the text
    /// goes into manifests, and who may write to a store shall not learn from it how to make backups.
    pub fn abbreviated(&self) -> String {
        let text = self.to_string();
        let end = text.len().saturating_sub(6);
        format!("{}…{}", text.get(..10).unwrap_or_default(), text.get(end..).unwrap_or_default())
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32>(Hrp::parse_unchecked(RECIPIENT), self.0.as_bytes());
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.abbreviated())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.identities.len();
        f.debug_struct("Keys").field("recipients", &self.recipients).field("identities", &count).finish()
    }
}

fn decode(word: &str, prefix: &str, what: &str) -> Result<[u8; 32], String> {
    let mistyped = |_| format!("this {what} is mistyped: its checksum is wrong");
    let decoded = CheckedHrpstring::new::<Bech32>(word).map_err(mistyped)?;
    let other = || format!("this {what} is of a kind that is not supported: only X25519 keys are");
    if decoded.hrp().to_lowercase() != prefix {
        return Err(other());
    }
    decoded.byte_iter().collect::<Vec<u8>>().try_into().map_err(|_| other())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    const PUBLIC: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    #[test]
    fn an_identity_knows_its_recipient() {
        let keys = Keys::parse(&format!("# created: today\n# public key: {PUBLIC}\n{SECRET}\n")).unwrap();
        assert_eq!(keys.recipients, [keys.identities[0].recipient()]);
        assert_eq!(keys.recipients[0].to_string(), PUBLIC);
    }

    #[test]
    fn a_named_recipient_goes_before_the_identities() {
        let keys = Keys::parse(&format!("{SECRET}, {PUBLIC}")).unwrap();
        assert_eq!((keys.recipients.len(), keys.identities.len()), (1, 1));
        assert!(Keys::parse(PUBLIC).unwrap().identities.is_empty());
    }

    #[test]
    fn a_wrong_key_is_named_by_its_place_and_never_shown() {
        let mistyped = SECRET.replace("GFPYY", "GFPYZ");
        let plugin = bech32::encode::<Bech32>(Hrp::parse_unchecked("age1yubikey"), &[7; 32]).unwrap();
        let short = bech32::encode::<Bech32>(Hrp::parse_unchecked("age"), &[7; 31]).unwrap();
        for (text, expected) in [
            (mistyped.as_str(), "key 1: this identity is mistyped"),
            (&format!("{PUBLIC} {mistyped}"), "key 2: this identity is mistyped"),
            (&format!("{PUBLIC} hunter2"), "key 2: expected 'age1…'"),
            (&plugin, "not supported"),
            (&short, "not supported"),
            ("# nothing", "expected an age key"),
        ] {
            let error = Keys::parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("GFPY") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn nothing_that_prints_keys_prints_a_secret() {
        let shown = format!("{:?}", Keys::parse(SECRET).unwrap());
        assert!(shown.contains("age1zvkyg2…unujwj") && !shown.contains("SECRET"), "{shown}");
    }
}
