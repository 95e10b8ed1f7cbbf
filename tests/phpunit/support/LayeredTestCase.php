<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

require_once __DIR__ . '/LocalServer.php';

/**
 * Tests that hold over shared memory, Redis and Memcached alike, on servers of their own.
 */
abstract class LayeredTestCase extends TestCase
{
    /** @var array<string, LocalServer> */
    private static array $servers = [];

    public static function tearDownAfterClass(): void
    {
        array_map(fn(LocalServer $server) => $server->stop(), self::$servers);
        self::$servers = [];
    }

    /** @return array<string, array{string}> */
    public static function layers(): array
    {
        return ['shm' => ['shm'], 'redis' => ['redis'], 'memcached' => ['memcached']];
    }

    protected static function server(string $layer): LocalServer
    {
        return self::$servers[$layer] ??= $layer === 'redis' ? LocalServer::redis() : LocalServer::memcached();
    }

    /** @return array<string, mixed> the `$config` that puts the layer behind shared memory */
    protected static function config(string $layer): array
    {
        return match ($layer) {
            'shm' => ['backend' => 'shm'],
            'redis' => ['redis' => ['path' => self::server('redis')->socket]],
            'memcached' => ['memcached' => ['servers' => [self::server('memcached')->socket]]],
        };
    }

    /**
     * Runs code in a process of its own, with the same extension.
     *
     * @param list<string> $ini
     * @param list<string> $arguments
     */
    protected static function php(string $code, array $ini = [], array $arguments = []): string
    {
        $options = ['-d', 'extension=' . getenv('SLBP_EXTENSION')];
        foreach ($ini as $line) {
            array_push($options, '-d', $line);
        }
        $command = [PHP_BINARY, '-n', ...$options, '-r', $code, '--', ...$arguments];

        return (string) shell_exec(implode(' ', array_map('escapeshellarg', $command)));
    }
}
