<?php

/**
 * The cache against what a site would use instead: APCu, phpredis with igbinary, php-memcached.
 *
 *   php -d extension=slbp.so -d apc.enable_cli=1 tests/bench/cache.php shm|redis|memcached [socket or host:port]
 */

declare(strict_types=1);

require __DIR__ . '/measure.php';

use function Slbp\Bench\best;
use function Slbp\Bench\row;

class Subscription
{
    public $id = 123;
    public $user_id = 7;
    public $plan = 'professional';
    public $status = 'active';
    public $amount = '49.00';
    public $currency = 'EUR';
    public $interval = 'month';
    public $gateway = 'stripe';
    public $customer = 'cus_9s6XKzkNRiz8i3';
    public $created_at = '2026-01-15 09:30:00';
    public $updated_at = '2026-11-15 09:30:00';
    public $renews_at = '2026-12-15 09:30:00';
    public $cancelled_at = null;
    public $trial = false;
    public $quantity = 1;
    public $discount = 0.1;
    public $country = 'DE';
    public $tax = 19;
    public $note = '';
    public $paid = true;
}

/** @return array<string, mixed> */
function values(): array
{
    return [
        'string of 64 bytes' => str_repeat('0123456789abcdef', 4),
        'array of 8' => [
            'id' => 123, 'user_id' => 7, 'plan' => 'professional', 'status' => 'active', 'amount' => '49.00',
            'currency' => 'EUR', 'renews_at' => '2026-12-15 09:30:00', 'trial' => false,
        ],
        'array of 1,000' => array_map(fn(int $n): string => "order number $n", range(1, 1000)),
        'object of 20 properties' => new Subscription(),
    ];
}

function against_apcu(SLBP_Performance_Optimizer $cache): void
{
    $goals = ['string of 64 bytes' => 0.6, 'array of 8' => 0.5, 'array of 1,000' => 0.5, 'object of 20 properties' => 0.7];
    foreach (values() as $what => $value) {
        $cache->set_cache('subscription_123', $value, 3600);
        apcu_store('subscription_123', $value, 3600);
        $times = best([
            'ours' => static function (int $n) use ($cache): void {
                for ($i = 0; $i < $n; $i++) {
                    $read = $cache->get_cache('subscription_123');
                }
            },
            'apcu' => static function (int $n): void {
                for ($i = 0; $i < $n; $i++) {
                    $read = apcu_fetch('subscription_123');
                }
            },
        ], $what === 'array of 1,000' ? 1_000 : 50_000);
        row("cache: read, $what", $times['ours'], 'apcu_fetch', $times['apcu'], $goals[$what]);
    }
    foreach (['string of 64 bytes', 'array of 8'] as $what) {
        $value = values()[$what];
        $times = best([
            'ours' => static function (int $n) use ($cache, $value): void {
                for ($i = 0; $i < $n; $i++) {
                    $cache->set_cache('subscription_123', $value, 3600);
                }
            },
            'apcu' => static function (int $n) use ($value): void {
                for ($i = 0; $i < $n; $i++) {
                    apcu_store('subscription_123', $value, 3600);
                }
            },
        ], 20_000);
        row("cache: store, $what", $times['ours'], 'apcu_store', $times['apcu'], 1.3);
    }
}

/** Ranks drawn by Zipf's law: the hundredth key is asked for a hundredth as often as the first. */
function zipf(int $keys, int $draws): array
{
    $sums = [];
    $sum = 0.0;
    for ($rank = 1; $rank <= $keys; $rank++) {
        $sums[] = $sum += 1 / $rank;
    }
    $ranks = [];
    for ($draw = 0; $draw < $draws; $draw++) {
        $at = mt_rand() / mt_getrandmax() * $sum;
        [$low, $high] = [0, $keys - 1];
        while ($low < $high) {
            $middle = intdiv($low + $high, 2);
            $sums[$middle] < $at ? $low = $middle + 1 : $high = $middle;
        }
        $ranks[] = $low;
    }
    return $ranks;
}

/** Nanoseconds an operation, all processes together, of four that read 95 times and write 5 times in 100. */
function contended(callable $read, callable $write): float
{
    $operations = 100_000;
    $started = hrtime(true);
    $children = [];
    for ($child = 0; $child < 4; $child++) {
        $pid = pcntl_fork();
        if ($pid === 0) {
            mt_srand($child);
            $ranks = zipf(10_000, 20_000);
            for ($i = 0; $i < $operations; $i++) {
                $key = 'key_' . $ranks[$i % 20_000];
                $i % 20 === 0 ? $write($key) : $read($key);
            }
            posix_kill(posix_getpid(), SIGKILL);
        }
        $children[] = $pid;
    }
    foreach ($children as $pid) {
        pcntl_waitpid($pid, $status);
    }
    return (hrtime(true) - $started) / ($operations * 4);
}

function under_contention(SLBP_Performance_Optimizer $cache): void
{
    $value = values()['array of 8'];
    for ($rank = 0; $rank < 10_000; $rank++) {
        $cache->set_cache("key_$rank", ['id' => $rank] + $value, 3600);
        apcu_store("key_$rank", ['id' => $rank] + $value, 3600);
    }
    $best = ['ours' => INF, 'apcu' => INF, 'nothing' => INF];
    for ($round = 0; $round < 5; $round++) {
        $best['ours'] = min($best['ours'], contended(
            fn(string $key) => $cache->get_cache($key),
            fn(string $key) => $cache->set_cache($key, ['id' => $key] + $value, 3600)
        ));
        $best['apcu'] = min($best['apcu'], contended(
            fn(string $key) => apcu_fetch($key),
            fn(string $key) => apcu_store($key, ['id' => $key] + $value, 3600)
        ));
        $best['nothing'] = min($best['nothing'], contended(fn(string $key) => $key, fn(string $key) => $key));
    }
    $ours = $best['ours'] - $best['nothing'];
    $theirs = $best['apcu'] - $best['nothing'];
    row('cache: 4 processes on 2 cores, 95 % reads, Zipf', $ours, 'APCu, the same', $theirs, 0.5);
}

/** What an entry takes, key and all. To be asked first, while both caches are empty. */
function memory(SLBP_Performance_Optimizer $cache): void
{
    $entries = 50_000;
    $value = values()['string of 64 bytes'];
    $free = apcu_sma_info(true)['avail_mem'];
    for ($i = 0; $i < $entries; $i++) {
        $cache->set_cache(sprintf('subscription_%07d', $i), $value, 3600);
        apcu_store(sprintf('subscription_%07d', $i), $value, 3600);
    }
    $used = $cache->get_cache_stats()['layers']['shm'];
    // A slot of the index is 8 bytes, and every fourth stays free.
    $ours = $used['bytes'] / $used['items'] + 8 / 0.75;
    $theirs = ($free - apcu_sma_info(true)['avail_mem']) / $entries;
    row('cache: memory of an entry of 20 + 64 bytes', $ours, 'APCu', $theirs, 1.0, 'bytes');
}

function against_phpredis(string $socket): void
{
    $redis = new Redis();
    $redis->connect($socket);
    $redis->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_IGBINARY);
    $cache = new SLBP_Performance_Optimizer(['redis' => ['path' => $socket], 'prefix' => 'bench']);
    $value = values()['array of 8'];
    $keys = array_map(fn(int $n): string => "key_$n", range(1, 100));
    foreach ($keys as $key) {
        $cache->set_cache($key, $value, 3600);
        $redis->set($key, $value, 3600);
    }
    $get = static function (int $n) use ($redis): void {
        for ($i = 0; $i < $n; $i++) {
            $read = $redis->get('key_1');
        }
    };
    $ours = static function (int $n) use ($cache): void {
        for ($i = 0; $i < $n; $i++) {
            $read = $cache->get_cache('key_1');
        }
    };
    $is_linked = $cache->get_cache_stats()['linked'];
    $times = best(['ours' => $ours, 'phpredis' => $get], 3_000);
    if ($is_linked) {
        row('cache: coherent read with Redis behind, array of 8', $times['ours'], 'phpredis get', $times['phpredis'], 1 / 40);
        return;
    }
    row('cache: read from Redis, array of 8', $times['ours'], 'phpredis get', $times['phpredis'], 1.15);
    $times = best([
        'ours' => static function (int $n) use ($cache, $keys): void {
            for ($i = 0; $i < $n; $i++) {
                $read = $cache->get_cache_multiple($keys);
            }
        },
        'phpredis' => static function (int $n) use ($redis, $keys): void {
            for ($i = 0; $i < $n; $i++) {
                $read = $redis->mGet($keys);
            }
        },
    ], 500);
    row('cache: read 100 keys from Redis', $times['ours'], 'phpredis mGet', $times['phpredis'], 1.15);
}

function against_memcached(string $server): void
{
    $memcached = new Memcached();
    [$host, $port] = explode(':', $server);
    $memcached->addServer($host, (int) $port);
    $cache = new SLBP_Performance_Optimizer(['memcached' => ['servers' => [$server]], 'prefix' => 'bench']);
    $value = values()['array of 8'];
    $cache->set_cache('key_1', $value, 3600);
    $memcached->set('key_1', $value, 3600);
    $times = best([
        'ours' => static function (int $n) use ($cache): void {
            for ($i = 0; $i < $n; $i++) {
                $read = $cache->get_cache('key_1');
            }
        },
        'memcached' => static function (int $n) use ($memcached): void {
            for ($i = 0; $i < $n; $i++) {
                $read = $memcached->get('key_1');
            }
        },
    ], 3_000);
    row('cache: read with Memcached behind, array of 8', $times['ours'], 'Memcached::get', $times['memcached'], 1 / 10);
}

if (PHP_SAPI !== 'cli') {
    $cache = new SLBP_Performance_Optimizer(['redis' => ['path' => $_GET['redis']], 'prefix' => 'bench']);
    $cache->get_cache('key_1');
    echo $cache->get_cache_stats()['linked'] ? 'linked' : 'not linked';
    return;
}
[, $part, $server] = $argv + [null, 'shm', null];
match ($part) {
    'shm' => (static function (): void {
        $cache = new SLBP_Performance_Optimizer(['backend' => 'shm']);
        memory($cache);
        against_apcu($cache);
        under_contention($cache);
    })(),
    'redis' => against_phpredis($server),
    'memcached' => against_memcached($server),
};
