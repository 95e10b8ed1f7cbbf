//! `SLBP_Performance_Optimizer`: its caching half.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendCallable, ZendHashTable, Zval};

use crate::binding::cache::arguments::{Found, Items, names_of};
use crate::binding::cache::results::all_true;
use crate::binding::cache::{HostedCache, When};
use crate::binding::convert::params::{Bytes, Lax, OrNull, Settings};
use crate::binding::convert::zend::{flag, whole_or_false};
use crate::cache::keys::Key;

/// What this class stores is flushed with the site, and apart from what WordPress stores.
const GROUP: &[u8] = b"slbp";

/// Keys of `$config` that are for the class' other half.
const OTHER_KEYS: &[&str] = &[
    "asset_optimization",
    "query_monitoring",
    "plugin_path",
    "plugin_url",
    "upload_dir",
    "upload_url",
    "cdn_url",
    "allowed_roots",
    "database",
    "slow_query_threshold",
    "n_plus_one_threshold",
    "scope",
];

/// Caches values in memory that all workers share, and in Redis or Memcached behind it.
#[php_class]
#[php(name = "SLBP_Performance_Optimizer")]
pub struct PerformanceOptimizer {
    hosted: HostedCache,
}

#[php_impl]
#[php(change_method_case = "none")]
impl PerformanceOptimizer {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        Ok(Self { hosted: HostedCache::new(config, OTHER_KEYS)? })
    }

    #[php(defaults(tags = Items::empty()))]
    pub fn set_cache(
        &self,
        key: Bytes,
        data: &Zval,
        expiration: OrNull<Lax<i64>>,
        tags: Items,
    ) -> PhpResult<bool> {
        let expiry = self.hosted.expiry(expiration);
        Ok(self.hosted.store(named(&key), data, When::Always, expiry, tags.table())?)
    }

    pub fn get_cache(&self, key: Bytes, found: Found) -> Zval {
        let value = self.hosted.read(named(&key));
        found.tell(value.is_some());
        value.unwrap_or_else(|| flag(false))
    }

    pub fn delete_cache(&self, key: Bytes) -> bool {
        self.hosted.get().delete(named(&key))
    }

    pub fn flush_cache(&self) -> bool {
        self.hosted.get().flush();
        true
    }

    pub fn add_cache(&self, key: Bytes, data: &Zval, expiration: OrNull<Lax<i64>>) -> PhpResult<bool> {
        let expiry = self.hosted.expiry(expiration);
        Ok(self.hosted.store(named(&key), data, When::Absent, expiry, Items::empty().table())?)
    }

    pub fn get_cache_multiple(&self, keys: &ZendHashTable) -> ZBox<ZendHashTable> {
        self.hosted.read_many(GROUP, keys, Some(false))
    }

    pub fn set_cache_multiple(&self, items: &ZendHashTable, expiration: OrNull<Lax<i64>>) -> PhpResult<bool> {
        let expiry = self.hosted.expiry(expiration);
        let stored = self.hosted.store_many(GROUP, items, When::Always, expiry)?;
        Ok(stored.len() == items.len() && all_true(&stored))
    }

    pub fn delete_cache_multiple(&self, keys: &ZendHashTable) -> ZBox<ZendHashTable> {
        self.hosted.remove_many(GROUP, keys)
    }

    #[php(defaults(offset = Lax(1)))]
    pub fn increment_cache(&self, key: Bytes, offset: Lax<i64>) -> Zval {
        whole_or_false(self.hosted.get().increment(named(&key), offset.0))
    }

    #[php(defaults(offset = Lax(1)))]
    pub fn decrement_cache(&self, key: Bytes, offset: Lax<i64>) -> Zval {
        whole_or_false(self.hosted.get().increment(named(&key), offset.0.saturating_neg()))
    }

    #[php(defaults(options = Items::empty()))]
    pub fn remember_cache(
        &self,
        key: Bytes,
        callback: ZendCallable,
        expiration: OrNull<Lax<i64>>,
        options: Items,
    ) -> PhpResult<Zval> {
        let expiry = self.hosted.expiry(expiration);
        Ok(self.hosted.remember(named(&key), &callback, expiry, options.table())?)
    }

    pub fn invalidate_tags(&self, tags: &ZendHashTable) -> bool {
        let tags = names_of(tags);
        let tags: Vec<&[u8]> = tags.iter().map(|tag| &**tag).collect();
        self.hosted.get().invalidate_tags(&tags);
        true
    }

    pub fn get_cache_stats(&self) -> ZBox<ZendHashTable> {
        self.hosted.stats()
    }
}

fn named<'k>(key: &'k Bytes) -> Key<'k> {
    Key::new(GROUP, &key.0)
}
