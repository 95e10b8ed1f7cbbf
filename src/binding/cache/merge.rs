//! Changing some elements of a stored array without losing what others change meanwhile.

use ext_php_rs::types::{ZendHashTable, Zval};

use super::HostedCache;
use super::arguments::{array_key, names_of};
use super::scratch;
use super::values::{Outcome, build};
use crate::binding::convert::zend::{Elements, Filling};
use crate::cache::facade::Expiry;
use crate::cache::keys::Key;
use crate::error::Result;

/// How often it starts again because somebody else wrote in between.
const ATTEMPTS: usize = 64;

impl HostedCache {
    /// Puts `changes` into the array at `key` and takes the keys `removed` out; false when there is
    /// no array, or it was never the same for long enough.
    ///
    /// # Errors
    /// Something in the changes cannot be stored.
    pub fn merge(
        &self,
        key: Key<'_>,
        changes: &ZendHashTable,
        removed: &ZendHashTable,
        expiry: Expiry,
    ) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            if let Some(merged) = self.try_merge(key, changes, removed, expiry)? {
                return Ok(merged);
            }
        }
        Ok(false)
    }

    /// `None`: somebody else wrote in between.
    fn try_merge(
        &self,
        key: Key<'_>,
        changes: &ZendHashTable,
        removed: &ZendHashTable,
        expiry: Expiry,
    ) -> Result<Option<bool>> {
        scratch::with(|scratch| {
            let (found, token) = self.get().read_for_write(key, &[], &mut scratch.body)?;
            let Some(found) = found else { return Ok(Some(false)) };
            let Some(stored) = scratch.body.get(..found.len).and_then(|body| build(body, &found.facts))
            else {
                return Ok(Some(false));
            };
            let Some(array) = stored.array() else { return Ok(Some(false)) };
            let merged = changed(array, changes, removed);
            let Outcome::Encoded(encoded) = self.encode(&merged, scratch)? else { return Ok(Some(false)) };
            let stored = self.get().set_if_unchanged(token, &encoded, expiry);
            scratch.spare = encoded.bytes;
            Ok(stored.then_some(true))
        })
    }
}

/// `array` with `changes` and without `removed`, in the order of the old array and then of the changes.
fn changed(array: &ZendHashTable, changes: &ZendHashTable, removed: &ZendHashTable) -> Zval {
    let mut table = Filling::map(array.len() + changes.len());
    for (key, value) in Elements::of(array).chain(Elements::of(changes)) {
        // SAFETY: keys and elements of tables that the caller holds.
        let (key, value) = unsafe { (key.as_array_key(), (*value).shallow_clone()) };
        table.insert(key, value);
    }
    for name in names_of(removed) {
        table.remove(array_key(&name));
    }
    let mut merged = Zval::new();
    merged.set_hashtable(table.finish());
    merged
}
