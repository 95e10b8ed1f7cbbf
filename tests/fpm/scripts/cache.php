<?php

/**
 * One call on the cache for the php-fpm tests: ?do=get|set|delete|flush|stats|watch|remember|arrays&key=...&value=...
 * Answers the value, who answered, and when.
 */

declare(strict_types=1);

// The command line gives the same parameters as its first argument.
parse_str($_SERVER['QUERY_STRING'] ?? $argv[1] ?? '', $query);

$cache = new SLBP_Performance_Optimizer();
$key = $query['key'] ?? 'key';

/** Reads until the value is another than the one given, and says when it was last read so. */
$watch = function (string $old, float $patience) use ($cache, $key): array {
    $last = microtime(true);
    for ($deadline = $last + $patience; $last < $deadline;) {
        $before = microtime(true);
        $value = $cache->get_cache($key);
        if ($value !== $old) {
            return ['value' => $value, 'last' => $last];
        }
        $last = $before;
    }
    return ['value' => $old, 'last' => $last];
};

/** Reads arrays that other requests have read too, and changes what it has read. */
$arrays = function (int $seed) use ($cache): bool {
    $same = true;
    for ($i = 0; $i < 20; $i++) {
        $key = 'array ' . ($seed + $i) % 50;
        $expected = ['key' => $key, 'list' => range(0, 200), 'map' => array_fill_keys(["$key a", "$key b"], ['x' => $key])];
        $read = $cache->remember_cache($key, fn() => $expected, 600, ['beta' => 0]);
        $same = $same && $read === $expected;
        $read['map']["$key a"]['x'] = &$read['list'];
        $read['list'][] = $seed;
    }
    return $same;
};

$answer = match ($query['do'] ?? 'get') {
    'get' => ['value' => $cache->get_cache($key)],
    'set' => ['value' => $cache->set_cache($key, $query['value'], (int) ($query['ttl'] ?? 600))],
    'delete' => ['value' => $cache->delete_cache($key)],
    'flush' => ['value' => $cache->flush_cache()],
    'stats' => ['value' => $cache->get_cache_stats()],
    'remember' => ['value' => $cache->remember_cache($key, function () use ($query): string {
        usleep((int) ($query['sleep'] ?? 0));
        return $query['value'];
    })],
    'arrays' => ['value' => $arrays((int) $query['seed'])],
    'watch' => $watch($query['value'], (float) ($query['patience'] ?? 10)),
};

echo json_encode($answer + ['pid' => getmypid(), 'time' => microtime(true)]), "\n";
