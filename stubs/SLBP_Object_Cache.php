<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * The cache by groups, as the WordPress drop-in needs it: everything that outlives a request.
 *
 * What can be stored, and what happens when Redis or Memcached do not answer: see SLBP_Performance_Optimizer.
 * `$expire` is seconds; 0 is never, a negative one deletes what is there and returns true.
 */
class SLBP_Object_Cache
{
    /**
     * @param array<string, mixed> $config the cache's keys of SLBP_Performance_Optimizer's `$config`
     *
     * @throws SLBP_InvalidArgumentException for an unknown key (naming the nearest) or a wrong value.
     * @throws SLBP_Config_Exception when a constant or directive holds a wrong value.
     */
    public function __construct(array $config = [])
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
    public function get(string $group, string $key, ?bool &$found = null): mixed
    {
    }

    /**
     * @param list<string|int> $keys
     *
     * @return array<string|int, mixed> the values that are there
     */
    public function get_multiple(string $group, array $keys): array
    {
    }

    /**
     * Reads values of several groups; one round trip for all that is not in shared memory.
     *
     * @param array<string, list<string|int>> $wanted keys by group
     *
     * @return array<string, array<string|int, mixed>> the values that are there, by group and key
     */
    public function prefetch(array $wanted): array
    {
    }

    /**
     * @return bool false when the value is too large, or could be stored nowhere
     *
     * @throws SLBP_Cache_Exception for what cannot be stored; the message names what and where.
     */
    public function set(string $group, string $key, mixed $data, int $expire = 0): bool
    {
    }

    /**
     * Stores a value where there is none. After a miss of this key in this request it is also refused when
     * somebody has written or invalidated the key since: what was computed from then on may be out of date.
     *
     * @return bool whether it is stored
     *
     * @throws SLBP_Cache_Exception as set().
     */
    public function add(string $group, string $key, mixed $data, int $expire = 0): bool
    {
    }

    /**
     * Stores a value where there is one.
     *
     * @return bool whether it is stored
     *
     * @throws SLBP_Cache_Exception as set().
     */
    public function replace(string $group, string $key, mixed $data, int $expire = 0): bool
    {
    }

    /**
     * Stores several values in one round trip.
     *
     * @param array<string|int, mixed> $items
     *
     * @return array<string|int, bool> whether each is stored, by key
     *
     * @throws SLBP_Cache_Exception as set(); then none is stored.
     */
    public function set_multiple(string $group, array $items, int $expire = 0): array
    {
    }

    /**
     * @param array<string|int, mixed> $items
     *
     * @return array<string|int, bool> whether each is stored, by key
     *
     * @throws SLBP_Cache_Exception as set(); then none is stored.
     */
    public function add_multiple(string $group, array $items, int $expire = 0): array
    {
    }

    /** @return bool whether there was a value */
    public function delete(string $group, string $key): bool
    {
    }

    /**
     * @param list<string|int> $keys
     *
     * @return array<string|int, bool> whether there was a value, by key
     */
    public function delete_multiple(string $group, array $keys): array
    {
    }

    /**
     * Adds to an integer, atomically over all workers and hosts; when it expires does not change.
     *
     * @param int $offset a negative one subtracts
     *
     * @return mixed int the sum, at least 0; false when there is no integer
     */
    public function increment(string $group, string $key, int $offset = 1): mixed
    {
    }

    /**
     * Forgets all of this site.
     *
     * @return bool always true
     */
    public function flush(): bool
    {
    }

    /**
     * Forgets all of a group. Takes the same short time however much that is.
     *
     * @return bool always true
     */
    public function flush_group(string $group): bool
    {
    }

    /**
     * Changes elements of a stored array, atomically: what others change meanwhile is kept.
     *
     * @param array<string|int, mixed> $changes elements to put in
     * @param list<string|int> $removed keys to take out
     *
     * @return bool false when there is no array, or it changed too fast
     *
     * @throws SLBP_Cache_Exception as set().
     */
    public function merge(string $group, string $key, array $changes, array $removed = [], int $expire = 0): bool
    {
    }

    /** @return 'shm'|'redis'|'memcached' what stands behind shared memory; 'shm' for nothing. Asks nobody. */
    public function backend(): string
    {
    }

    /** @return array<string, mixed> as SLBP_Performance_Optimizer::get_cache_stats() */
    public function stats(): array
    {
    }
}
