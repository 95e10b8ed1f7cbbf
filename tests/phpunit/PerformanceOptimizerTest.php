<?php

declare(strict_types=1);

require_once __DIR__ . '/support/LayeredTestCase.php';

/**
 * SLBP_Performance_Optimizer's caching half as a PHP programmer uses it, over every layer.
 */
final class PerformanceOptimizerTest extends LayeredTestCase
{
    private static function cache(string $layer, array $more = []): SLBP_Performance_Optimizer
    {
        $cache = new SLBP_Performance_Optimizer(self::config($layer) + $more);
        $cache->flush_cache();

        return $cache;
    }

    public function testTheSpecificationsExampleWorksAsWritten(): void
    {
        $optimizer = new SLBP_Performance_Optimizer([
            'cache_expiration' => 3600,
            'asset_optimization' => true,
            'query_monitoring' => true,
        ]);
        $user_data = ['plan' => 'pro', 'renews' => '2026-12-01'];
        self::assertTrue($optimizer->set_cache('user_subscriptions_123', $user_data, 1800));
        self::assertSame($user_data, $optimizer->get_cache('user_subscriptions_123'));
        self::assertFalse($optimizer->get_cache('user_subscriptions_124'));
    }

    /** @dataProvider layers */
    public function testTheStoreThatIsNamedIsTheOneThatIsUsed(string $layer): void
    {
        $cache = self::cache($layer);
        $cache->set_cache('k', 1);
        $cache->get_cache('k');
        $stats = $cache->get_cache_stats();
        self::assertSame($layer, $stats['backend']);
        self::assertSame($layer === 'shm' ? null : 'closed', $stats['breaker']);
        self::assertSame($layer === 'shm' ? ['shm'] : ['shm', $layer], array_keys($stats['layers']));
        self::assertGreaterThan(0, $stats['layers'][$layer]['hits']);
    }

    /** @dataProvider layers */
    public function testValuesComeBackAsTheyWere(string $layer): void
    {
        $values = [
            'null' => null, 'false' => false, 'int' => PHP_INT_MIN, 'counter' => 41, 'float' => 0.1, 'binary' => "\0\xff\r\n",
            'list' => [1, [2, [3]]], 'map' => ['b' => 1, 5 => 2, 'a' => ['x' => null]], 'empty' => [], 'none' => '',
            'long' => str_repeat('long text ', 5000), 'noise' => random_bytes(5000), 'large list' => range(1, 5000),
            "key \0\xff with anything" => 'x',
        ];
        $cache = self::cache($layer);
        foreach ($values as $key => $value) {
            self::assertTrue($cache->set_cache($key, $value), $key);
            self::assertSame($value, $cache->get_cache($key, $found), $key);
            self::assertTrue($found, $key);
        }
        self::assertSame($values, $cache->get_cache_multiple(array_keys($values)));
    }

    /** @dataProvider layers */
    public function testEveryMethodDoesWhatItSays(string $layer): void
    {
        $cache = self::cache($layer);
        self::assertTrue($cache->add_cache('a', 1));
        self::assertFalse($cache->add_cache('a', 2));
        self::assertSame(1, $cache->get_cache('a'));
        self::assertTrue($cache->delete_cache('a'));
        self::assertFalse($cache->delete_cache('a'));

        self::assertTrue($cache->set_cache('n', 5, 60));
        self::assertSame(7, $cache->increment_cache('n', 2));
        self::assertSame(0, $cache->decrement_cache('n', 9));
        self::assertFalse($cache->increment_cache('missing'));
        self::assertTrue($cache->set_cache('text', 'five'));
        self::assertFalse($cache->increment_cache('text'));

        self::assertTrue($cache->set_cache_multiple(['x' => [1], 'y' => 2, '7' => 'seven']));
        self::assertSame(['y' => 2, 'z' => false, 7 => 'seven'], $cache->get_cache_multiple(['y', 'z', '7']));
        self::assertSame(['x' => true, 'z' => false], $cache->delete_cache_multiple(['x', 'z']));

        self::assertTrue($cache->set_cache('y', 3, -1), 'a negative expiration deletes');
        self::assertFalse($cache->get_cache('y', $found));
        self::assertFalse($found);

        $cache->set_cache('tagged', 1, 60, ['product-1', 'shop']);
        $cache->set_cache('other', 2, 60, ['product-2']);
        self::assertTrue($cache->invalidate_tags(['product-1']));
        self::assertFalse($cache->get_cache('tagged'));
        self::assertSame(2, $cache->get_cache('other'));

        self::assertTrue($cache->flush_cache());
        self::assertFalse($cache->get_cache('other'));
    }

    /** @dataProvider layers */
    public function testValuesExpire(string $layer): void
    {
        $cache = self::cache($layer);
        $cache->set_cache('short', 'x', 1);
        $cache->set_cache('long', 'y', 60);
        self::assertSame('x', $cache->get_cache('short'));
        for ($deadline = microtime(true) + 10; $cache->get_cache('short') !== false && microtime(true) < $deadline;) {
            usleep(20000);
        }
        self::assertFalse($cache->get_cache('short'));
        self::assertSame('y', $cache->get_cache('long'));
    }

    /** @dataProvider layers */
    public function testWhatIsRememberedIsComputedOnce(string $layer): void
    {
        $cache = self::cache($layer);
        $calls = 0;
        $compute = function () use (&$calls): array {
            return ['calls' => ++$calls];
        };
        self::assertSame(['calls' => 1], $cache->remember_cache('r', $compute, 60));
        self::assertSame(['calls' => 1], $cache->remember_cache('r', $compute, 60));
        try {
            $cache->remember_cache('s', fn() => throw new LogicException('boo'));
            self::fail('the exception was swallowed');
        } catch (LogicException $e) {
            self::assertSame('boo', $e->getMessage());
        }
        $start = microtime(true);
        self::assertSame('inner', $cache->remember_cache('s', fn() => $cache->remember_cache('t', fn() => 'inner')));
        self::assertLessThan(4, microtime(true) - $start, 'the lease of the one that threw is free');
    }

    public function testObjectsAreStoredInSharedMemoryWithoutAKeyToSignThem(): void
    {
        foreach (['redis', 'memcached'] as $layer) {
            $cache = self::cache($layer);
            $before = $cache->get_cache_stats()['counters']['unsigned'];
            $cache->set_cache('o', (object) ['a' => 1]);
            self::assertSame($before + 1, $cache->get_cache_stats()['counters']['unsigned']);
            self::assertStringNotContainsString('stdClass', self::server($layer)->send("get slbp:slbp:o\r\n"));
        }
    }

    /** Whoever can write to Redis must not choose what objects PHP builds. */
    public function testAnObjectForgedInRedisIsAMiss(): void
    {
        $code = <<<'PHP'
            class Gadget
            {
                public $woken = false;
                public function __wakeup() { $this->woken = true; }
            }
            class Plain { public $a = 1; }
            $cache = new SLBP_Performance_Optimizer(['redis' => ['path' => $argv[1]], 'prefix' => 'forge']);
            if ($argv[2] === 'set') {
                $cache->set_cache_multiple(['gadget' => new Gadget(), 'plain' => [new Plain()], 'array' => [1, 2]]);
                exit;
            }
            echo json_encode($cache->get_cache_multiple(['gadget', 'plain', 'array']));
            echo ' ', $cache->get_cache_stats()['counters']['forged'];
            PHP;
        $redis = self::server('redis');
        $run = fn(string $what, string $key): string
            => self::php($code, ["slbp.signing_key=$key"], [$redis->socket, $what]);
        $run('set', 'the key');
        self::assertSame('{"gadget":{"woken":true},"plain":[{"a":1}],"array":[1,2]} 0', $run('get', 'the key'));
        self::assertSame('{"gadget":false,"plain":false,"array":[1,2]} 2', $run('get', 'another key'));

        $entry = substr(explode("\r\n", $redis->command('GET', 'forge:slbp:plain'), 2)[1], 0, -2);
        $redis->command('SET', 'forge:slbp:gadget', $entry);
        self::assertSame('{"gadget":false,"plain":[{"a":1}],"array":[1,2]} 1', $run('get', 'the key'), 'signed for another key');

        $redis->command('SET', 'forge:slbp:plain', 'O:6:"Gadget":0:{}');
        self::assertStringContainsString('"plain":false', $run('get', 'the key'), 'not ours at all');
    }

    public function testTheStoreMayBeAwayAndComeBack(): void
    {
        $server = LocalServer::redis();
        $redis = ['path' => $server->socket, 'timeout' => 0.1, 'read_timeout' => 0.1];
        $cache = new SLBP_Performance_Optimizer(['redis' => $redis]);
        $cache->set_cache('before', 1);
        $server->stop();
        self::assertFalse($cache->get_cache('before'));
        self::assertTrue($cache->set_cache('during', 2), 'shared memory goes on');
        self::assertSame(2, $cache->get_cache('during'));
        self::assertTrue($cache->flush_cache());
        self::assertFalse($cache->get_cache('during'));
        self::assertSame('inner', $cache->remember_cache('r', fn() => 'inner'));
    }

    public function testTheDefaultExpirationCanBeFiltered(): void
    {
        $code = <<<'PHP'
            function apply_filters($hook, $value) { echo "$hook($value) "; return '-1'; }
            $cache = new SLBP_Performance_Optimizer(['cache_expiration' => 77]);
            $cache->set_cache('a', 1, 60);
            $cache->set_cache('b', 1);
            echo json_encode($cache->get_cache_multiple(['a', 'b']));
            PHP;
        $output = self::php($code);
        self::assertSame('slbp_cache_expiration(77) {"a":1,"b":false}', $output);
    }
}
