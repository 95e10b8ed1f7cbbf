//! `SLBP_Object_Cache`: what the WordPress drop-in stands on.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};

use crate::binding::cache::arguments::{Found, Items};
use crate::binding::cache::{HostedCache, When};
use crate::binding::convert::params::{Bytes, Lax, Settings};
use crate::binding::convert::zend::{flag, whole_or_false};
use crate::cache::facade::Expiry;
use crate::cache::keys::Key;

/// The cache by groups, as WordPress calls it; an expiry of 0 is none.
#[php_class]
#[php(name = "SLBP_Object_Cache")]
pub struct ObjectCache {
    hosted: HostedCache,
}

#[php_impl]
#[php(change_method_case = "none")]
impl ObjectCache {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        Ok(Self { hosted: HostedCache::new(config, &[])? })
    }

    pub fn get(&self, group: Bytes, key: Bytes, found: Found) -> Zval {
        let value = self.hosted.read_to_add(Key::new(&group.0, &key.0));
        found.tell(value.is_some());
        value.unwrap_or_else(|| flag(false))
    }

    pub fn get_multiple(&self, group: Bytes, keys: &ZendHashTable) -> ZBox<ZendHashTable> {
        self.hosted.read_many(&group.0, keys, None)
    }

    pub fn prefetch(&self, wanted: &ZendHashTable) -> ZBox<ZendHashTable> {
        self.hosted.prefetch(wanted)
    }

    #[php(defaults(expire = Lax(0)))]
    pub fn set(&self, group: Bytes, key: Bytes, data: &Zval, expire: Lax<i64>) -> PhpResult<bool> {
        self.store(&group, &key, data, When::Always, expire)
    }

    #[php(defaults(expire = Lax(0)))]
    pub fn add(&self, group: Bytes, key: Bytes, data: &Zval, expire: Lax<i64>) -> PhpResult<bool> {
        self.store(&group, &key, data, When::Absent, expire)
    }

    #[php(defaults(expire = Lax(0)))]
    pub fn replace(&self, group: Bytes, key: Bytes, data: &Zval, expire: Lax<i64>) -> PhpResult<bool> {
        self.store(&group, &key, data, When::Present, expire)
    }

    #[php(defaults(expire = Lax(0)))]
    pub fn set_multiple(
        &self,
        group: Bytes,
        items: &ZendHashTable,
        expire: Lax<i64>,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        Ok(self.hosted.store_many(&group.0, items, When::Always, Expiry::from_seconds(Some(expire.0)))?)
    }

    #[php(defaults(expire = Lax(0)))]
    pub fn add_multiple(
        &self,
        group: Bytes,
        items: &ZendHashTable,
        expire: Lax<i64>,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        Ok(self.hosted.store_many(&group.0, items, When::Absent, Expiry::from_seconds(Some(expire.0)))?)
    }

    pub fn delete(&self, group: Bytes, key: Bytes) -> bool {
        self.hosted.remove(Key::new(&group.0, &key.0))
    }

    pub fn delete_multiple(&self, group: Bytes, keys: &ZendHashTable) -> ZBox<ZendHashTable> {
        self.hosted.remove_many(&group.0, keys)
    }

    #[php(defaults(offset = Lax(1)))]
    pub fn increment(&self, group: Bytes, key: Bytes, offset: Lax<i64>) -> Zval {
        whole_or_false(self.hosted.get().increment(Key::new(&group.0, &key.0), offset.0))
    }

    pub fn flush(&self) -> bool {
        self.hosted.get_anew().flush();
        true
    }

    pub fn flush_group(&self, group: Bytes) -> bool {
        self.hosted.get_anew().flush_group(&group.0);
        true
    }

    #[php(defaults(removed = Items::empty(), expire = Lax(0)))]
    pub fn merge(
        &self,
        group: Bytes,
        key: Bytes,
        changes: &ZendHashTable,
        removed: Items,
        expire: Lax<i64>,
    ) -> PhpResult<bool> {
        let key = Key::new(&group.0, &key.0);
        let expiry = Expiry::from_seconds(Some(expire.0));
        Ok(self.hosted.merge(key, changes, removed.table(), expiry)?)
    }

    pub fn backend(&self) -> &'static str {
        self.hosted.get().settings().backend.name()
    }

    pub fn stats(&self) -> ZBox<ZendHashTable> {
        self.hosted.stats()
    }
}

impl ObjectCache {
    fn store(
        &self,
        group: &Bytes,
        key: &Bytes,
        data: &Zval,
        when: When,
        expire: Lax<i64>,
    ) -> PhpResult<bool> {
        let expiry = Expiry::from_seconds(Some(expire.0));
        Ok(self.hosted.store(Key::new(&group.0, &key.0), data, when, expiry, Items::empty().table())?)
    }
}
