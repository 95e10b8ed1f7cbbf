//! `SLBP_Performance_Optimizer`.

use ext_php_rs::binary::Binary;
use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendCallable, ZendHashTable, Zval};
use serde_json::json;

use crate::assets::settings as assets_settings;
use crate::binding::assets::HostedAssets;
use crate::binding::cache::arguments::{Found, Items, names_of};
use crate::binding::cache::results::all_true;
use crate::binding::cache::{HostedCache, When};
use crate::binding::convert::json;
use crate::binding::convert::params::{Bytes, Lax, OrNull, Settings};
use crate::binding::convert::zend::{flag, whole_or_false};
use crate::binding::failure::or_failure;
use crate::binding::query::advice::Advisor;
use crate::binding::query::{self, results};
use crate::cache::keys::Key;
use crate::query::report::{List, Stats};
use crate::query::settings::{self as query_settings, Scope};

/// What this class stores is flushed with the site, and apart from what WordPress stores.
const GROUP: &[u8] = b"slbp";

/// Caches values in memory that all workers share, and in Redis or Memcached behind it; watches what the
/// site asks of its database.
#[php_class]
#[php(name = "SLBP_Performance_Optimizer")]
pub struct PerformanceOptimizer {
    hosted: HostedCache,
    scope: Scope,
    advisor: Advisor,
    assets: HostedAssets,
}

#[php_impl]
#[php(change_method_case = "none")]
impl PerformanceOptimizer {
    #[php(defaults(config = Settings::empty()))]
    pub fn __construct(config: Settings) -> PhpResult<Self> {
        let scope = query::configure(&config.tree)?;
        let advisor = Advisor::new(&config.tree);
        let assets = HostedAssets::new(&config.tree)?;
        let others = [assets_settings::KEYS, query_settings::KEYS, Advisor::KEYS].concat();
        Ok(Self { hosted: HostedCache::new(config, &others)?, scope, advisor, assets })
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

    pub fn optimize_assets(&self, asset_type: Bytes, files: &ZendHashTable) -> PhpResult<Zval> {
        Ok(self.assets.bundle(&asset_type.text(), files)?)
    }

    pub fn optimize_asset(&self, asset_type: Bytes, file: Bytes) -> PhpResult<Zval> {
        Ok(self.assets.minified(&asset_type.text(), &file.text())?)
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn optimize_html(&self, html: Bytes, options: Settings) -> PhpResult<Binary<u8>> {
        let page = self.assets.page(&html.0, &options.tree)?;
        Ok(page.unwrap_or_else(|| html.0.into_owned()).into())
    }

    pub fn monitor_query_performance(&self, query_id: Bytes, query: Bytes, start_time: Lax<f64>) {
        query::monitor(&query_id.text(), &query.0, start_time.0);
    }

    pub fn get_performance_stats(&self) -> PhpResult<ZBox<ZendHashTable>> {
        Ok(results::table(&or_failure(results::stats(self.scope), Stats::default())?))
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn get_slow_queries(&self, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        listed(List::Slow, options)
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn get_n_plus_one_queries(&self, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        listed(List::NPlusOne, options)
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn get_duplicate_queries(&self, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        listed(List::Duplicates, options)
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn get_queries(&self, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        listed(List::All, options)
    }

    #[php(defaults(query_params = Settings::empty()))]
    pub fn optimize_database_queries(
        &self,
        table_name: Bytes,
        query_params: Settings,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        let params = query_params.tree.as_object().cloned().unwrap_or_default();
        let failed = json!({"error": "The database did not answer; see PHP's log."});
        let advice = self.advisor.table(&table_name.text(), &params);
        Ok(json::to_array(&or_failure(advice, failed)?))
    }

    #[php(defaults(options = Settings::empty()))]
    pub fn recommend_indexes(&self, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
        Ok(results::table(&or_failure(self.advisor.recommend(options.tree), Vec::new())?))
    }

    pub fn clear_query_stats(&self) -> PhpResult<bool> {
        or_failure(results::clear().map(|()| true), false)
    }
}

fn listed(list: List, options: Settings) -> PhpResult<ZBox<ZendHashTable>> {
    Ok(results::table(&or_failure(results::rows(list, options.tree), Vec::new())?))
}

fn named<'k>(key: &'k Bytes) -> Key<'k> {
    Key::new(GROUP, &key.0)
}
