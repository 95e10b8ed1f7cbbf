<?php

/**
 * SLBP_Rate_Limiter against what a site would use instead: APCu counters, and a Lua script through phpredis.
 *
 *   php -d extension=slbp.so -d apc.enable_cli=1 tests/bench/limiter.php [redis socket]
 */

declare(strict_types=1);

require __DIR__ . '/measure.php';

use function Slbp\Bench\best;
use function Slbp\Bench\row;

/** A limit that no round reaches, so that every check takes the allowed path. */
const LIMIT = 4_000_000;

function against_apcu(): void
{
    $limiter = new SLBP_Rate_Limiter(['limits' => ['general' => ['limit' => LIMIT, 'window' => 3600]]]);
    apcu_store('bench:count', 0, 3600);
    $times = best([
        'ours' => static function (int $n) use ($limiter): void {
            for ($i = 0; $i < $n; $i++) {
                $check = $limiter->check_rate_limit('ip:198.51.100.7', 'general');
            }
        },
        'apcu' => static function (int $n): void {
            for ($i = 0; $i < $n; $i++) {
                $used = apcu_inc('bench:count');
                $until = apcu_fetch('bench:count');
                $check = [
                    'allowed' => $used <= LIMIT, 'limit' => LIMIT, 'remaining' => LIMIT - $used, 'window' => 3600,
                    'retry_after' => 0, 'reset' => $until, 'reason' => 'ok', 'policy' => 'general',
                ];
            }
        },
    ], 50_000);
    row('limiter: check in shared memory', $times['ours'], 'apcu_inc + apcu_fetch + array', $times['apcu'], 2.0);
}

function against_phpredis(string $socket): void
{
    $limiter = new SLBP_Rate_Limiter([
        'backend' => 'redis',
        'redis' => ['path' => $socket, 'scheme' => 'unix'],
        'limits' => ['general' => ['limit' => LIMIT, 'window' => 3600]],
    ]);
    $redis = new Redis();
    $redis->connect($socket);
    $script = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], 3600) end return n";
    $sha = $redis->script('load', $script);
    $times = best([
        'ours' => static function (int $n) use ($limiter): void {
            for ($i = 0; $i < $n; $i++) {
                $check = $limiter->check_rate_limit('ip:198.51.100.7', 'general');
            }
        },
        'phpredis' => static function (int $n) use ($redis, $sha): void {
            for ($i = 0; $i < $n; $i++) {
                $used = $redis->evalSha($sha, ['bench:count'], 1);
            }
        },
    ], 2_000);
    row('limiter: check in Redis', $times['ours'], 'one bare EVALSHA by phpredis', $times['phpredis'], 1.3);
}

/** 100,000 networks, none of which holds the address: the longest way through the list. */
function against_one_microsecond(): void
{
    $limiter = new SLBP_Rate_Limiter();
    mt_srand(7);
    $added = 0;
    while ($added < 100_000) {
        $network = sprintf('%d.%d.%d.0/%d', mt_rand(1, 126), mt_rand(0, 255), mt_rand(0, 255), mt_rand(20, 24));
        $added += (int) $limiter->add_to_blacklist($network);
    }
    $times = best([
        'ours' => static function (int $n) use ($limiter): void {
            for ($i = 0; $i < $n; $i++) {
                $listed = $limiter->is_blacklisted('ip:198.51.100.7');
            }
        },
    ], 50_000);
    row('limiter: lookup among 100,000 CIDRs', $times['ours'], 'one microsecond', 1000.0, 1.0);
}

against_apcu();
isset($argv[1]) ? against_phpredis($argv[1]) : fwrite(STDERR, "no Redis socket given: not measured against phpredis\n");
against_one_microsecond();
