//! PHP values into the cache and out of it.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::{ZendHashTable, Zval};
use ext_php_rs::zend::ExecutorGlobals;

use super::HostedCache;
use super::arguments::{FromValue, Name, array_key, keys_of, names_of};
use super::memo;
use super::results::answers;
use super::scratch::{self, Scratch};
use crate::binding::convert::decode::Zvals;
use crate::binding::convert::encode::{PhpValue, Serialized};
use crate::binding::convert::zend::{Elements, Filling, flag};
use crate::cache::codec::{self, EncodeError, Encoded, Encoder, Objects};
use crate::cache::facade::Expiry;
use crate::cache::keys::Key;
use crate::cache::meta::{Facts, flags};
use crate::cache::value::Source;
use crate::error::{Error, Kind, Result};

/// When a value is to be stored.
#[derive(Clone, Copy)]
pub enum When {
    /// In any case.
    Always,
    /// When there is none.
    Absent,
    /// When there is one.
    Present,
}

/// What came of encoding a value.
pub(super) enum Outcome {
    /// Its encoding.
    Encoded(Encoded),
    /// It is larger than the settings allow.
    TooLarge,
    /// Its class threw an exception, which is pending.
    Thrown,
}

impl HostedCache {
    /// The value of `key`; `None` is a miss, or an exception is pending.
    pub fn read(&self, key: Key<'_>) -> Option<Zval> {
        scratch::with(|scratch| {
            let found = self.get().get(key, &mut scratch.body)?;
            build(scratch.body.get(..found.len)?, &found.facts)
        })
    }

    /// The same for somebody who will add what is missing: his [`HostedCache::store`] is then refused
    /// if anybody else has written or invalidated the key in between.
    pub fn read_to_add(&self, key: Key<'_>) -> Option<Zval> {
        scratch::with(|scratch| {
            let found = match self.get().get_or_token(key, &[], &mut scratch.body) {
                Ok(Ok(found)) => found,
                Ok(Err(token)) => {
                    self.opened.note_miss(key, token);
                    return None;
                }
                Err(_) => return None,
            };
            build(scratch.body.get(..found.len)?, &found.facts)
        })
    }

    /// The values of `names` in `group`. Each name is a key of the array; one that is missing has the
    /// value `missing`, or is left out.
    pub fn read_many(
        &self,
        group: &[u8],
        names: &ZendHashTable,
        missing: Option<bool>,
    ) -> ZBox<ZendHashTable> {
        let mut table = Filling::map(names.len());
        scratch::with(|scratch| {
            {
                let names = names_of(names);
                let keys: Vec<Key<'_>> = names.iter().map(|name| Key::new(group, name)).collect();
                scratch.values = self.get().get_many(&keys);
            }
            for ((_, name), value) in Elements::of(names).zip(&scratch.values) {
                let value = value.as_ref().and_then(|value| build(&value.body, &value.facts));
                let value = value.or_else(|| missing.map(flag));
                // SAFETY: an element of an argument, which the call holds.
                if let (Some(value), name) = (value, Name::of(unsafe { &*name })) {
                    table.insert(array_key(&name), value);
                }
            }
            scratch.values.clear();
        });
        table.finish()
    }

    /// Stores `zval`; whether it is stored. When an exception is pending it is not.
    ///
    /// # Errors
    /// Something in it cannot be stored, or there are too many tags.
    pub fn store(
        &self,
        key: Key<'_>,
        zval: &Zval,
        when: When,
        expiry: Expiry,
        tags: &ZendHashTable,
    ) -> Result<bool> {
        scratch::with(|scratch| {
            let encoded = match self.encode(zval, scratch)? {
                Outcome::Encoded(encoded) => encoded,
                Outcome::Thrown => return Ok(false),
                Outcome::TooLarge => {
                    self.get().refuse_too_large(key);
                    return Ok(false);
                }
            };
            let tags = names_of(tags);
            let tags: Vec<&[u8]> = tags.iter().map(|tag| &**tag).collect();
            let stored = self.store_encoded(key, &encoded, when, expiry, &tags);
            scratch.spare = encoded.bytes;
            stored
        })
    }

    /// Stores `items` in one round trip; whether each is stored, by key.
    ///
    /// # Errors
    /// Something in one of them cannot be stored; then none is.
    pub fn store_many(
        &self,
        group: &[u8],
        items: &ZendHashTable,
        when: When,
        expiry: Expiry,
    ) -> Result<ZBox<ZendHashTable>> {
        scratch::with(|scratch| {
            scratch.encoded.clear();
            for (_, zval) in Elements::of(items) {
                // SAFETY: an element of an argument, which the call holds.
                let encoded = match self.encode(unsafe { &*zval }, scratch)? {
                    Outcome::Encoded(encoded) => Some(encoded),
                    Outcome::TooLarge => None,
                    Outcome::Thrown => return Ok(ZendHashTable::new()),
                };
                scratch.encoded.push(encoded);
            }
            let names = keys_of(items);
            let cache = self.get();
            let (mut whole, mut too_large) = (Vec::new(), Vec::new());
            for (name, encoded) in names.iter().zip(&scratch.encoded) {
                match encoded {
                    Some(encoded) => whole.push((Key::new(group, name), encoded)),
                    None => too_large.push(Key::new(group, name)),
                }
            }
            too_large.into_iter().for_each(|key| cache.refuse_too_large(key));
            let stored = match when {
                When::Always => {
                    whole.iter().for_each(|(key, _)| drop(self.opened.take_miss(*key)));
                    cache.set_many(&whole, expiry)
                }
                _ => whole
                    .iter()
                    .map(|(key, value)| self.store_encoded(*key, value, when, expiry, &[]) == Ok(true))
                    .collect(),
            };
            let mut stored = stored.into_iter();
            let results =
                scratch.encoded.iter().map(|encoded| encoded.is_some() && stored.next() == Some(true));
            Ok(answers(&names, results))
        })
    }

    /// Deletes `key`; whether a value was there.
    pub fn remove(&self, key: Key<'_>) -> bool {
        self.opened.take_miss(key);
        self.get().delete(key)
    }

    /// Deletes `names`; whether a value was at each, by name.
    pub fn remove_many(&self, group: &[u8], names: &ZendHashTable) -> ZBox<ZendHashTable> {
        let names = names_of(names);
        let keys: Vec<Key<'_>> = names.iter().map(|name| Key::new(group, name)).collect();
        keys.iter().for_each(|key| drop(self.opened.take_miss(*key)));
        answers(&names, self.get().delete_many(&keys))
    }

    fn store_encoded(
        &self,
        key: Key<'_>,
        value: &Encoded,
        when: When,
        expiry: Expiry,
        tags: &[&[u8]],
    ) -> Result<bool> {
        let cache = self.get();
        match (when, self.opened.take_miss(key)) {
            (When::Absent, Some(token)) => Ok(cache.set_if_unchanged(token, value, expiry)),
            (When::Absent, None) => cache.add(key, value, expiry, tags),
            (When::Always, _) => cache.set(key, value, expiry, tags),
            (When::Present, _) => cache.replace(key, value, expiry, tags),
        }
    }

    /// Encodes `zval`. What is under way lies in `scratch`, for PHP code may run and not come back.
    pub(super) fn encode(&self, zval: &Zval, scratch: &mut Scratch) -> Result<Outcome> {
        let limit = self.get().settings().max_value_size;
        scratch.walk.reset();
        let Scratch { encoder, spare, walk, .. } = scratch;
        let target = encoder.insert(Encoder::reusing(std::mem::take(spare), limit));
        let mut outcome = PhpValue { zval, walk }.write(target);
        if walk.is_shared() {
            *target = Encoder::new(limit);
            outcome = Serialized(zval).write(target);
        }
        match outcome {
            Ok(()) => {
                Ok(encoder.take().map_or(Outcome::TooLarge, |encoder| Outcome::Encoded(encoder.finish())))
            }
            Err(_) if ExecutorGlobals::has_exception() => Ok(Outcome::Thrown),
            Err(EncodeError::TooLarge) => Ok(Outcome::TooLarge),
            Err(EncodeError::TooDeep) => Err(Error::new(
                Kind::Cache,
                format!("value: nests deeper than {} levels, or refers to itself", codec::MAX_DEPTH),
            )),
            Err(EncodeError::Unsupported(what)) => Err(Error::new(Kind::Cache, format!("value{what}"))),
        }
    }
}

/// The PHP value of an encoding; `None` when it cannot be built here any more.
pub(super) fn build(body: &[u8], facts: &Facts) -> Option<Zval> {
    if facts.flags & flags::OBJECTS != 0 {
        return codec::decode(body, Objects::Allowed, &mut Zvals).ok();
    }
    memo::recall(body).or_else(|| {
        let value = codec::decode(body, Objects::Refused, &mut Zvals).ok()?;
        memo::learn(body);
        Some(value)
    })
}
