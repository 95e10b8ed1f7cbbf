<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * Caches values in memory that all php-fpm workers share, and in Redis or Memcached behind it; watches what the
 * site asks of its database.
 *
 * Values: null, bool, int, float, strings of any bytes, arrays, objects. References in arrays are
 * followed. Objects come back as new ones, without their constructor having run; `__serialize`,
 * `__unserialize`, `__sleep`, `__wakeup` and Serializable are obeyed. An object that stands in a value
 * more than once is one object again when it comes back, unless it also stands inside an object that
 * serializes itself. Resources, closures and objects of anonymous classes throw.
 *
 * A stored `false` or `null` is told from a miss by `$found`. A value whose class is gone, or no longer
 * takes the stored properties, is a miss.
 *
 * Expirations are seconds; 0 is never, a negative one deletes what is there and returns true, null is
 * `cache_expiration`, which under WordPress the filter `slbp_cache_expiration` can change.
 *
 * When Redis or Memcached do not answer, shared memory alone goes on, for a second at a time; what was
 * deleted meanwhile is deleted there before it is believed again. No method throws for that.
 *
 * @phpstan-type LayerStats array{hits: int, misses: int, hit_ratio: float}
 * @phpstan-type CacheStats array{
 *     backend: 'shm'|'redis'|'memcached',
 *     layers: array{
 *         shm: array{
 *             hits: int, misses: int, hit_ratio: float, items: int, bytes: int, capacity: int,
 *             evictions: int, expirations: int
 *         },
 *         redis?: LayerStats, memcached?: LayerStats
 *     },
 *     breaker: 'closed'|'open'|'probing'|null,
 *     linked: bool,
 *     counters: array<string, int>
 * }
 * @phpstan-type QueryOptions array{
 *     scope?: 'request'|'site', component?: string, search?: string, limit?: int,
 *     order?: 'total_time'|'average_time'|'max_time'|'p95_time'|'count'|'last_seen'
 * }
 *     scope: this request, or all that shared memory knows of this site (default). component: as in a row.
 *     search: part of the fingerprint. limit: 1 to 1000, default 50. order: largest first, default total_time.
 * @phpstan-type QueryRow array{
 *     id: string, fingerprint: string, verb: string, table: string, count: int, total_time: float,
 *     average_time: float, max_time: float, p95_time: float, slow: int, failed: int, n_plus_one: int,
 *     most_in_request: int, duplicates: int, requests: int, component: string, call_site: string, hint: string,
 *     last_seen: int
 * }
 *     A query from one place. Times in seconds, p95_time within a fifth; slow, failed and duplicates count
 *     executions, n_plus_one and requests count requests; component is 'plugin:slug', 'mu-plugin:slug',
 *     'theme:slug', 'core' or 'other'; last_seen is unix time. The fingerprint has `?` for every value.
 * @phpstan-type IndexAdvice array{
 *     table: string, columns: list<string>, name: string, ddl: string, rollback_ddl: string, reason: string,
 *     verified: bool, estimated_size: int, write_cost: string, queries: list<string>,
 *     evidence: array{
 *         sample_rows: int, table_rows: int, rows_read_before: int, rows_read_after: int,
 *         cost_before: float, cost_after: float, key_before: string, key_after: string
 *     }|null
 * }
 */
class SLBP_Performance_Optimizer
{
    /**
     * @param array<string, mixed> $config
     *     cache_expiration: int, seconds that values last whose caller does not say; default 3600, 0 is for ever.
     *     backend: 'auto' (default: the store that is named here, in a WP_REDIS_* or WP_MEMCACHED_* constant, or
     *         in php.ini; else shm), 'shm', 'redis' or 'memcached'.
     *     prefix: string, what keys begin with in Redis or Memcached. Default: WP_CACHE_KEY_SALT, slbp.cache_prefix,
     *         the store's prefix, or the site's database and table prefix.
     *     redis: array{host?, port?, path?, scheme?, username?, password?, database?, prefix?, timeout?, read_timeout?,
     *         cluster?, sentinel?, servers?, tls_ca?, tls_cert?, tls_key?}.
     *     memcached: array{host?, port?, servers?, username?, password?, prefix?, timeout?, read_timeout?}.
     *     max_value_size: int, bytes of the largest value, encoded and before compression; default 8388608.
     *     compress_from: int, bytes from which values are compressed for Redis and Memcached; default 1024.
     *     site_share: float, how much of the cache's shared memory this site may fill, 0 to 1; default 1.
     *     jitter: float, by how much computed values expire earlier, at random, 0 to 1; default 0.1.
     *     query_monitoring: bool, whether the queries of this request are watched; default true.
     *     slow_query_threshold: float, seconds from which on a query is slow; default 1.0.
     *     n_plus_one_threshold: int, executions in one request from which on a query is an N+1; default 5.
     *     n_plus_one_time: float, seconds that they take together at least; default 0.001.
     *     scope: what get_performance_stats() covers: 'request' (default) or 'site'.
     *     asset_optimization: bool, whether assets and pages are optimized; default true. Without it
     *         optimize_assets() answers false and optimize_html() the page as it is.
     *     plugin_path, plugin_url: string, the folder where relative file names begin, and its URL. Default: the
     *         constants SLBP_PLUGIN_PATH and SLBP_PLUGIN_URL, else WordPress' root.
     *     allowed_roots: list<string>|array<string, string>, more folders whose files may be read, or those folders
     *         with their URLs. Under WordPress its root, its content and its plugins are allowed besides.
     *     upload_dir, upload_url: string, the folder below which bundles go (into slbp-cache/), and its URL.
     *         Default: wp_upload_dir().
     *     cdn_url: string, what visitors fetch files from instead of the site. Default: the constant SLBP_CDN_URL.
     *     asset_shorten_names: bool, whether local variables of scripts get short names; default false.
     *     asset_max_size: int, bytes; larger files are left as they are; default 1048576, at most 2097152.
     *     asset_grace: int, seconds that a file stays which nothing names any more; default 604800.
     *     database: for another part of the class.
     *
     * @throws SLBP_InvalidArgumentException for an unknown key (naming the nearest) or a wrong value.
     * @throws SLBP_Config_Exception when a constant or directive holds a wrong value.
     */
    public function __construct(array $config = [])
    {
    }

    /**
     * @param string $key at most 4090 bytes, any bytes
     * @param int|null $expiration seconds
     * @param list<string> $tags at most 31; see invalidate_tags()
     *
     * @return bool false when the value is larger than `max_value_size`, or could be stored nowhere
     *
     * @throws SLBP_Cache_Exception for a closure, resource or object of an anonymous class, or a value that nests
     *     deeper than 256 levels or holds itself; the message names what and where.
     * @throws SLBP_InvalidArgumentException for more than 31 tags.
     */
    public function set_cache(string $key, mixed $data, ?int $expiration = null, array $tags = []): bool
    {
    }

    /**
     * @param bool|null $found set to whether there is a value
     *
     * @return mixed the value, or false when there is none
     *
     * @throws Throwable what `__unserialize`, `__wakeup` or an autoloader throws while the value is built. A class that
     *     is gone, or that no longer takes the properties, is a miss.
     */
    public function get_cache(string $key, ?bool &$found = null): mixed
    {
    }

    /** @return bool whether there was a value */
    public function delete_cache(string $key): bool
    {
    }

    /**
     * Forgets all that this site has cached, what WordPress' object cache holds included, and nothing of any
     * other site. Takes the same short time however much that is.
     *
     * @return bool always true
     */
    public function flush_cache(): bool
    {
    }

    /**
     * Stores a value where there is none.
     *
     * @param int|null $expiration seconds
     *
     * @return bool false when there is one already, and as for set_cache()
     *
     * @throws SLBP_Cache_Exception as set_cache().
     */
    public function add_cache(string $key, mixed $data, ?int $expiration = null): bool
    {
    }

    /**
     * Reads several values in one round trip.
     *
     * @param list<string> $keys
     *
     * @return array<string, mixed> every key in the given order; false for a miss
     */
    public function get_cache_multiple(array $keys): array
    {
    }

    /**
     * Stores several values in one round trip.
     *
     * @param array<string, mixed> $items
     * @param int|null $expiration seconds
     *
     * @return bool whether all are stored
     *
     * @throws SLBP_Cache_Exception as set_cache(); then none is stored.
     */
    public function set_cache_multiple(array $items, ?int $expiration = null): bool
    {
    }

    /**
     * @param list<string> $keys
     *
     * @return array<string, bool> whether there was a value, by key
     */
    public function delete_cache_multiple(array $keys): array
    {
    }

    /**
     * Adds to an integer, atomically over all workers and hosts; when it expires does not change.
     *
     * @return mixed int the sum, at least 0; false when there is no integer
     */
    public function increment_cache(string $key, int $offset = 1): mixed
    {
    }

    /**
     * Subtracts from an integer, likewise.
     *
     * @return mixed int the difference, at least 0; false when there is no integer
     */
    public function decrement_cache(string $key, int $offset = 1): mixed
    {
    }

    /**
     * The value, or what the callback returns, which is stored.
     *
     * Of all workers and hosts one computes, the rest wait for it or get the stale value. When the callback
     * throws, its exception passes through, nothing is stored, and the next one computes. It may call this
     * method again: who computes waits for nobody.
     *
     * @param callable(): mixed $callback
     * @param int|null $expiration seconds
     * @param array{grace?: int|float, wait?: int|float, beta?: int|float, lease?: int|float, tags?: list<string>} $options
     *     grace: seconds that an expired value is still served while somebody computes the next; default 0.
     *     wait: seconds to wait for somebody else's value before computing one's own; default 5.
     *     beta: how eagerly values are computed before they expire; 0 is never, default 1.
     *     lease: seconds after which a computation is no longer waited for; default 10.
     *     tags: at most 31.
     *
     * @return mixed the value
     *
     * @throws SLBP_Cache_Exception as set_cache(), for what the callback returned.
     * @throws SLBP_InvalidArgumentException for an unknown or wrong option.
     */
    public function remember_cache(string $key, callable $callback, ?int $expiration = null, array $options = []): mixed
    {
    }

    /**
     * Forgets all that was stored with one of the tags. Takes the same short time however much that is.
     *
     * @param list<string> $tags
     *
     * @return bool always true
     */
    public function invalidate_tags(array $tags): bool
    {
    }

    /**
     * How the cache does, on this host since its shared memory was created, for all sites together.
     *
     * `linked` says whether Redis pushes what other hosts change; until it does, reads pass shared memory over.
     *
     * @return CacheStats
     */
    public function get_cache_stats(): array
    {
    }

    /**
     * Counts a query that the script measured itself, such as one through another driver. Queries through mysqli
     * and PDO are seen anyway: when the last one seen was this, nothing is added.
     *
     * @param string $query_id a name, shown behind the call site
     * @param string $query the SQL; only its shape is kept
     * @param float $start_time microtime(true) before the query
     */
    public function monitor_query_performance(string $query_id, string $query, float $start_time): void
    {
    }

    /**
     * What this request has asked the database until now; with `'scope' => 'site'` in $config what all have.
     *
     * Times are in seconds. n_plus_one counts queries by place, duplicates executions whose answer the same request
     * had already.
     *
     * @return array{total_queries: int, slow_queries: int, average_execution_time: float, total_execution_time: float,
     *     failed_queries: int, n_plus_one: int, duplicates: int, distinct_queries: int, slow_query_threshold: float,
     *     top: list<QueryRow>}
     */
    public function get_performance_stats(): array
    {
    }

    /**
     * Queries of which executions took `slow_query_threshold` or longer.
     *
     * @param QueryOptions $options
     *
     * @return list<QueryRow> empty, and a line in PHP's log, when there is no shared memory
     *
     * @throws SLBP_InvalidArgumentException for an unknown or wrong option.
     */
    public function get_slow_queries(array $options = []): array
    {
    }

    /**
     * Queries that one request executed again and again from one place with other values.
     *
     * @param QueryOptions $options
     *
     * @return list<QueryRow>
     *
     * @throws SLBP_InvalidArgumentException for an unknown or wrong option.
     */
    public function get_n_plus_one_queries(array $options = []): array
    {
    }

    /**
     * Queries that one request executed again with the same values.
     *
     * @param QueryOptions $options
     *
     * @return list<QueryRow>
     *
     * @throws SLBP_InvalidArgumentException for an unknown or wrong option.
     */
    public function get_duplicate_queries(array $options = []): array
    {
    }

    /**
     * All queries.
     *
     * @param QueryOptions $options
     *
     * @return list<QueryRow>
     *
     * @throws SLBP_InvalidArgumentException for an unknown or wrong option.
     */
    public function get_queries(array $options = []): array
    {
    }

    /**
     * What a table lacks for the queries that find rows by these columns, and for those that were seen.
     *
     * Indexes are tried on a sample of the rows in a temporary table of a connection of its own; the table itself is
     * only read. A missing index is verified when the same questions read at most half as many rows with it (three
     * quarters where $query_params asks for it); on a table of fewer than 1,000 rows nothing can be measured. Takes up
     * to some ten seconds: not for a page.
     *
     * @param string $table_name with the site's prefix or without
     * @param array<string, mixed> $query_params columns that rows are found by, each with a value, a list of values or
     *     `['<', value]` (also >, <=, >=, BETWEEN); 'order_by' and 'group_by' name columns
     *
     * @return array{error: string}|array{
     *     table: string, missing_indexes: list<IndexAdvice>,
     *     redundant_indexes: list<array{name: string, columns: list<string>, covered_by: string, ddl: string,
     *         rollback_ddl: string}>,
     *     unused_indexes: list<array{name: string, columns: list<string>, watched: int, ddl: string,
     *         rollback_ddl: string}>|null,
     *     fragmentation: array{data_bytes: int, index_bytes: int, free_bytes: int, ratio: float,
     *         is_fragmented: bool, ddl: string},
     *     slow_queries: list<QueryRow>
     * } unused_indexes is null where the server does not know (performance_schema off, or up for less than a week);
     *     error for an unknown table, and when the database does not answer
     *
     * @throws SLBP_Config_Exception for a wrong setting of the database.
     */
    public function optimize_database_queries(string $table_name, array $query_params = []): array
    {
    }

    /**
     * The indexes that the queries which were seen lack, those of the costliest queries first. Nothing is changed:
     * each has the statement that creates it, and the one that undoes that.
     *
     * @param array{table?: string, limit?: int} $options table: only this one. limit: 1 to 100, default 10.
     *
     * @return list<IndexAdvice> empty, and a line in PHP's log, when the database does not answer
     *
     * @throws SLBP_InvalidArgumentException for an unknown or wrong option.
     */
    public function recommend_indexes(array $options = []): array
    {
    }

    /**
     * Forgets what this site's requests have asked, in shared memory and in this request.
     *
     * @return bool false, and a line in PHP's log, when there is no shared memory
     */
    public function clear_query_stats(): bool
    {
    }

    /**
     * Makes one file of several: minified, in their order, with a gzip twin, in the upload folder.
     *
     * The name holds the hash of the content: the same files have the same URL, and nothing is done again, whichever
     * worker asks; changed files have another one. Licence comments stay. In a stylesheet relative URLs are rebased
     * and `@import` keeps its place. In a script each file is as alone as in its own: what it throws and its
     * `'use strict'` end with it, its top-level declarations are global. Files that need this to be so run as
     * inline scripts, to which the bundle hands on its nonce for a Content-Security-Policy.
     *
     * A file that cannot be parsed, is too large or nested too deep goes in as it is, and the log says so.
     *
     * @param string $asset_type 'css' or 'js'
     * @param list<string> $files relative to plugin_path, absolute, or URLs of allowed folders
     *
     * @return string|false the URL, on the CDN if there is one. False, with the reason in the log, when a file is
     *     missing, is not UTF-8, lies outside the allowed folders (links followed) or is a JavaScript module: go on
     *     with the original files then.
     *
     * @throws SLBP_InvalidArgumentException for another type, no files, or a missing upload_dir or upload_url.
     */
    public function optimize_assets(string $asset_type, array $files): mixed
    {
    }

    /**
     * A minified copy of one file, for its place in a page.
     *
     * @return string|false the URL; false when the original serves as well or better: it is minified already, cannot
     *     be parsed, or asks for the address that it was loaded from. Else as optimize_assets().
     *
     * @throws SLBP_InvalidArgumentException as optimize_assets()
     */
    public function optimize_asset(string $asset_type, string $file): mixed
    {
    }

    /**
     * Sets `loading`, `decoding` and `fetchpriority` on images and frames as WordPress core would, and moves files to
     * the CDN. Everything else stays as it is, byte for byte; so does a page that cannot be followed.
     *
     * @param array<string, mixed> $options
     *     lazy: bool, whether media below the first viewport are loaded when the visitor gets there; default true.
     *     decoding: bool, whether images are decoded aside; default true.
     *     fetchpriority: bool, whether the first large image is fetched first; default true.
     *     first_viewport: int, how many media are taken for the first viewport's; default 3.
     *     large_pixels: int, what a large image is; default 50000.
     *     cdn_url: string; default that of the object. site_url: string, whose files it has; default site_url(), or the
     *         origin of upload_url.
     *
     * @return string the page
     *
     * @throws SLBP_InvalidArgumentException for an unknown or wrong option.
     */
    public function optimize_html(string $html, array $options = []): string
    {
    }
}
