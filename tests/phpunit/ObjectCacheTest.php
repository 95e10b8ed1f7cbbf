<?php

declare(strict_types=1);

require_once __DIR__ . '/support/LayeredTestCase.php';

/**
 * SLBP_Object_Cache as the WordPress drop-in uses it, over every layer.
 */
final class ObjectCacheTest extends LayeredTestCase
{
    private static function cache(string $layer): SLBP_Object_Cache
    {
        $cache = new SLBP_Object_Cache(self::config($layer));
        $cache->flush();

        return $cache;
    }

    /** @dataProvider layers */
    public function testItSaysWhatStandsBehindSharedMemory(string $layer): void
    {
        self::assertSame($layer, self::cache($layer)->backend());
    }

    /** @dataProvider layers */
    public function testGroupsAreApartAndFlushedApart(string $layer): void
    {
        $cache = self::cache($layer);
        $cache->set('posts', '1', 'post');
        $cache->set('terms', '1', 'term');
        $cache->set('a:b', 'c', 1);
        $cache->set('a', 'b:c', 2);
        self::assertSame(['post', 'term', 1, 2], [
            $cache->get('posts', '1'), $cache->get('terms', '1'), $cache->get('a:b', 'c'), $cache->get('a', 'b:c'),
        ]);
        self::assertTrue($cache->flush_group('posts'));
        self::assertFalse($cache->get('posts', '1', $found));
        self::assertFalse($found);
        self::assertSame('term', $cache->get('terms', '1'));
        self::assertTrue($cache->flush());
        self::assertFalse($cache->get('terms', '1'));
    }

    /** @dataProvider layers */
    public function testSeveralAreReadAndWrittenTogether(string $layer): void
    {
        $cache = self::cache($layer);
        self::assertSame(['a' => true, 7 => true], $cache->set_multiple('g', ['a' => null, 7 => [1]]));
        self::assertSame(['a' => null, 7 => [1]], $cache->get_multiple('g', ['a', 'b', '7']));
        self::assertSame(['a' => false, 'b' => true], $cache->add_multiple('g', ['a' => 1, 'b' => 2]));
        self::assertSame(
            ['g' => ['a' => null, 'b' => 2], 'h' => []],
            $cache->prefetch(['g' => ['a', 'b', 'c'], 'h' => ['x']])
        );
        self::assertSame(['a' => true, 'c' => false], $cache->delete_multiple('g', ['a', 'c']));
        self::assertSame([], $cache->get_multiple('g', []));
        self::assertSame([], $cache->prefetch([]));
    }

    /** @dataProvider layers */
    public function testConditionsHold(string $layer): void
    {
        $cache = self::cache($layer);
        self::assertFalse($cache->replace('g', 'k', 1));
        self::assertTrue($cache->add('g', 'k', 1));
        self::assertFalse($cache->add('g', 'k', 2));
        self::assertTrue($cache->replace('g', 'k', 3));
        self::assertSame(8, $cache->increment('g', 'k', 5));
        self::assertSame(0, $cache->increment('g', 'k', -50));
        self::assertFalse($cache->increment('g', 'none'));
        self::assertTrue($cache->set('g', 'k', 4, -1));
        self::assertFalse($cache->get('g', 'k'));
        $cache->set('g', 'flushed', 1);
        $cache->flush_group('g');
        self::assertTrue($cache->add('g', 'flushed', 2), 'what was flushed is not there');
        self::assertSame(2, $cache->get('g', 'flushed'));
    }

    /** @dataProvider layers */
    public function testAMergeKeepsWhatOthersChange(string $layer): void
    {
        $cache = self::cache($layer);
        self::assertFalse($cache->merge('options', 'alloptions', ['a' => '1']));
        $cache->set('options', 'alloptions', ['a' => '1', 'b' => '2']);
        self::assertTrue($cache->merge('options', 'alloptions', ['b' => '3', 'c' => '4'], ['a']));
        self::assertSame(['b' => '3', 'c' => '4'], $cache->get('options', 'alloptions'));
        $cache->set('options', 'text', 'no array');
        self::assertFalse($cache->merge('options', 'text', ['a' => '1']));
    }

    /**
     * Two processes that change different options at the same time lose nothing.
     *
     * @dataProvider layers
     */
    public function testConcurrentMergesLoseNothing(string $layer): void
    {
        $cache = self::cache($layer);
        $cache->set('options', 'alloptions', ['start' => 0]);
        $children = [];
        for ($child = 0; $child < 3; $child++) {
            $pid = pcntl_fork();
            if ($pid === 0) {
                $mine = new SLBP_Object_Cache(self::config($layer));
                for ($i = 0; $i < 50; $i++) {
                    while (!$mine->merge('options', 'alloptions', ["$child-$i" => str_repeat('v', 20)])) {
                        usleep(100);
                    }
                }
                posix_kill(posix_getpid(), SIGKILL);
            }
            $children[] = $pid;
        }
        array_map(fn(int $pid) => pcntl_waitpid($pid, $status), $children);
        self::assertCount(151, $cache->get('options', 'alloptions'));
    }

    /**
     * What was read from the database before somebody else's write must not be stored after it.
     *
     * @dataProvider layers
     */
    public function testAnAddThatSomebodyHasOutrunIsRefused(string $layer): void
    {
        $cache = self::cache($layer);
        $outrun = [
            'written and deleted' => function (SLBP_Object_Cache $other): void {
                $other->set('g', 'k', 'new');
                $other->delete('g', 'k');
            },
            'deleted' => fn(SLBP_Object_Cache $other) => $other->delete('g', 'k'),
            'flushed' => fn(SLBP_Object_Cache $other) => $other->flush_group('g'),
        ];
        foreach ($outrun as $what => $work) {
            self::assertFalse($cache->get('g', 'k'));
            self::elsewhere($layer, $work);
            self::assertFalse($cache->add('g', 'k', 'old'), $what);
            self::assertFalse($cache->get('g', 'k'), $what);
            self::assertTrue($cache->add('g', 'k', 'read again'), $what);
            self::assertSame('read again', $cache->get('g', 'k'));
            self::assertTrue($cache->delete('g', 'k'));
            self::assertTrue($cache->add('g', 'k', 'its own deletion is no reason'), $what);
            $cache->delete('g', 'k');
        }
    }

    /** Runs work in a process of its own, on the same cache. */
    private static function elsewhere(string $layer, callable $work): void
    {
        $pid = pcntl_fork();
        if ($pid === 0) {
            $work(new SLBP_Object_Cache(self::config($layer)));
            posix_kill(posix_getpid(), SIGKILL);
        }
        pcntl_waitpid($pid, $status);
    }

    public function testItCanBeSubclassedAndMocked(): void
    {
        $mock = $this->createMock(SLBP_Object_Cache::class);
        $mock->method('get')->willReturn('mocked');
        self::assertSame('mocked', $mock->get('g', 'k'));
    }
}
