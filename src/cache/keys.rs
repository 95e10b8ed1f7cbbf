//! What a cached value is called.
//!
//! Owns: joining group and name into the bytes that every layer uses, `group:name`, readable in
//! `redis-cli`. A colon in the group is written `%3A` (and `%` as `%25`), so that no two keys are
//! written alike.

use super::meta::MAX_KEY;

/// A key as callers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'k> {
    /// What is flushed together; may be empty.
    pub group: &'k [u8],
    /// The rest.
    pub name: &'k [u8],
}

impl<'k> Key<'k> {
    /// The key `name` in `group`.
    pub const fn new(group: &'k [u8], name: &'k [u8]) -> Self {
        Self { group, name }
    }

    /// Writes the joined key over `out`; false when it is longer than [`MAX_KEY`].
    pub(super) fn join(&self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.group.iter().any(|byte| matches!(byte, b':' | b'%')) {
            for byte in self.group {
                match byte {
                    b':' => out.extend_from_slice(b"%3A"),
                    b'%' => out.extend_from_slice(b"%25"),
                    other => out.push(*other),
                }
            }
        } else {
            out.extend_from_slice(self.group);
        }
        out.push(b':');
        out.extend_from_slice(self.name);
        out.len() <= MAX_KEY
    }

    /// The joined key.
    pub(super) fn joined(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.group.len() + self.name.len() + 1);
        self.join(&mut out).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_are_written_alike() {
        let joined = |group: &str, name: &str| Key::new(group.as_bytes(), name.as_bytes()).joined().unwrap();
        assert_eq!(joined("posts", "1"), b"posts:1");
        assert_ne!(joined("a:b", "c"), joined("a", "b:c"));
        assert_ne!(joined("a%3Ab", "c"), joined("a:b", "c"));
        assert_eq!(Key::new(b"", &[b'x'; MAX_KEY]).joined(), None);
    }
}
