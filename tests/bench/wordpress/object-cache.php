<?php

/**
 * The peers' drop-in: what a plain one over APCu or phpredis looks like. BENCH_STORE says which.
 *
 * As such drop-ins do, it keeps what the request has seen, fetches several keys in one call and knows
 * non-persistent groups. It has none of what would cost it time: no multisite, no statistics, no merging.
 */

declare(strict_types=1);

final class ApcuStore
{
    public function get(string $key, ?bool &$found): mixed
    {
        return apcu_fetch($key, $found);
    }

    public function getMany(array $keys): array
    {
        return apcu_fetch($keys) ?: [];
    }

    public function set(string $key, mixed $value, int $expire): bool
    {
        return apcu_store($key, $value, $expire);
    }

    public function add(string $key, mixed $value, int $expire): bool
    {
        return apcu_add($key, $value, $expire);
    }

    public function delete(string $key): bool
    {
        return apcu_delete($key);
    }

    public function flush(): bool
    {
        return apcu_clear_cache();
    }
}

/** One persistent connection by unix socket, values by igbinary. A stored false is told from a miss by a wrapper. */
final class PhpRedisStore
{
    private Redis $redis;

    public function __construct()
    {
        $this->redis = new Redis();
        $this->redis->pconnect(BENCH_REDIS);
        $this->redis->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_IGBINARY);
    }

    public function get(string $key, ?bool &$found): mixed
    {
        $value = $this->redis->get($key);
        $found = $value !== false;
        return $found ? $value[0] : false;
    }

    public function getMany(array $keys): array
    {
        $values = array_combine($keys, $this->redis->mGet($keys));
        return array_map(static fn (array $value): mixed => $value[0], array_filter($values));
    }

    public function set(string $key, mixed $value, int $expire): bool
    {
        return $expire > 0 ? $this->redis->setex($key, $expire, [$value]) : $this->redis->set($key, [$value]);
    }

    public function add(string $key, mixed $value, int $expire): bool
    {
        return (bool) $this->redis->set($key, [$value], $expire > 0 ? ['nx', 'ex' => $expire] : ['nx']);
    }

    public function delete(string $key): bool
    {
        return (bool) $this->redis->del($key);
    }

    public function flush(): bool
    {
        return $this->redis->flushDB();
    }
}

// phpcs:ignore Squiz.Classes.ValidClassName -- WordPress' name
final class WP_Object_Cache
{
    public array $cache = [];
    public array $local = [];
    public int $cache_hits = 0;
    public int $cache_misses = 0;
    private ApcuStore|PhpRedisStore $store;

    public function __construct()
    {
        $this->store = BENCH_STORE === 'apcu' ? new ApcuStore() : new PhpRedisStore();
    }

    public function get(int|string $key, string $group, bool $force, ?bool &$found): mixed
    {
        if ($force || !isset($this->cache[$group]) || !array_key_exists($key, $this->cache[$group])) {
            $value = isset($this->local[$group]) ? false : $this->store->get("$group:$key", $found);
            if (isset($this->local[$group]) || !$found) {
                $found = false;
                $this->cache_misses++;
                return false;
            }
            $this->cache[$group][$key] = $value;
        }
        $found = true;
        $this->cache_hits++;
        $value = $this->cache[$group][$key];
        return is_object($value) ? clone $value : $value;
    }

    public function getMany(array $keys, string $group): array
    {
        $unknown = [];
        foreach (isset($this->local[$group]) ? [] : $keys as $key) {
            if (!isset($this->cache[$group][$key])) {
                $unknown["$group:$key"] = $key;
            }
        }
        foreach ($unknown === [] ? [] : $this->store->getMany(array_keys($unknown)) as $name => $value) {
            $this->cache[$group][$unknown[$name]] = $value;
        }
        $values = [];
        foreach ($keys as $key) {
            $value = $this->cache[$group][$key] ?? false;
            $values[$key] = is_object($value) ? clone $value : $value;
        }
        return $values;
    }

    public function set(int|string $key, mixed $value, string $group, int $expire): bool
    {
        $this->cache[$group][$key] = is_object($value) ? clone $value : $value;
        return isset($this->local[$group]) || $this->store->set("$group:$key", $value, $expire);
    }

    public function add(int|string $key, mixed $value, string $group, int $expire): bool
    {
        $held = isset($this->cache[$group]) && array_key_exists($key, $this->cache[$group]);
        if ($held || wp_suspend_cache_addition() || !(isset($this->local[$group]) || $this->store->add("$group:$key", $value, $expire))) {
            return false;
        }
        $this->cache[$group][$key] = is_object($value) ? clone $value : $value;
        return true;
    }

    public function delete(int|string $key, string $group): bool
    {
        unset($this->cache[$group][$key]);
        return isset($this->local[$group]) || $this->store->delete("$group:$key");
    }

    public function flush(): bool
    {
        $this->cache = [];
        return $this->store->flush();
    }
}

function wp_cache_init()
{
    $GLOBALS['wp_object_cache'] = new WP_Object_Cache();
}

function wp_cache_get($key, $group = '', $force = false, &$found = null)
{
    return $GLOBALS['wp_object_cache']->get($key, $group ?: 'default', $force, $found);
}

function wp_cache_get_multiple($keys, $group = '', $force = false)
{
    return $GLOBALS['wp_object_cache']->getMany($keys, $group ?: 'default');
}

function wp_cache_set($key, $data, $group = '', $expire = 0)
{
    return $GLOBALS['wp_object_cache']->set($key, $data, $group ?: 'default', (int) $expire);
}

function wp_cache_add($key, $data, $group = '', $expire = 0)
{
    return $GLOBALS['wp_object_cache']->add($key, $data, $group ?: 'default', (int) $expire);
}

function wp_cache_replace($key, $data, $group = '', $expire = 0)
{
    wp_cache_get($key, $group, false, $found);
    return $found && wp_cache_set($key, $data, $group, $expire);
}

function wp_cache_delete($key, $group = '')
{
    return $GLOBALS['wp_object_cache']->delete($key, $group ?: 'default');
}

function wp_cache_incr($key, $offset = 1, $group = '')
{
    $value = wp_cache_get($key, $group, true, $found);
    return $found && wp_cache_set($key, max(0, (int) $value + $offset), $group) ? max(0, (int) $value + $offset) : false;
}

function wp_cache_decr($key, $offset = 1, $group = '')
{
    return wp_cache_incr($key, -$offset, $group);
}

function wp_cache_flush()
{
    return $GLOBALS['wp_object_cache']->flush();
}

function wp_cache_close()
{
    return true;
}

function wp_cache_add_global_groups($groups)
{
}

function wp_cache_add_non_persistent_groups($groups)
{
    $GLOBALS['wp_object_cache']->local += array_fill_keys((array) $groups, true);
}
