--TEST--
Neither PHP's memory nor the process grows, whatever happens
--EXTENSIONS--
slbp
--FILE--
<?php
class Thrower
{
    public function __serialize(): array
    {
        throw new LogicException('no');
    }
}
class Plain
{
    public $a = [1, 2, ['x' => 'y']];
    protected ?Plain $next = null;
}
$cache = new SLBP_Performance_Optimizer();
$objects = new SLBP_Object_Cache();
$value = ['list' => range(1, 50), 'objects' => [new Plain(), new Plain()], 'date' => new DateTime(), 'text' => str_repeat('x', 500)];
$round = function () use ($cache, $objects, $value) {
    $cache->set_cache('v', $value, 60, ['tag']);
    $cache->get_cache('v', $found);
    $cache->set_cache_multiple(['a' => $value, 'b' => 1]);
    $cache->get_cache_multiple(['a', 'b', 'c']);
    $cache->delete_cache_multiple(['a', 'b']);
    $cache->remember_cache('r' . random_int(0, 50), fn() => $value, 1);
    $objects->prefetch(['slbp' => ['v', 'w']]);
    $objects->set('o', 'all', ['a' => 1, 'b' => 'text' . random_int(0, 9)]);
    $objects->merge('o', 'all', ['c' => [1]], ['a']);
    foreach ([new Thrower(), [1, fn() => 1], [new ArrayObject([fn() => 1])]] as $bad) {
        try {
            $cache->set_cache('bad', $bad);
        } catch (Throwable) {
        }
    }
    try {
        $cache->remember_cache('thrown', fn() => throw new LogicException('no'));
    } catch (LogicException) {
    }
};
$run = function (int $rounds) use ($round): array {
    for ($i = 0; $i < $rounds; $i++) {
        $round();
    }
    gc_collect_cycles();
    [, $resident, $shared] = explode(' ', file_get_contents('/proc/self/statm'));
    return ['memory' => memory_get_usage(), 'pages' => $resident - $shared];
};
$before = $run(300);
$before = $run(300);
$after = $run(3000);
var_dump($after['memory'] - $before['memory'], $after['pages'] - $before['pages'] < 64);
?>
--EXPECT--
int(0)
bool(true)
