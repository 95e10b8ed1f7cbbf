--TEST--
remember_cache computes once; an exception frees the lease; nested calls do not wait for one another
--EXTENSIONS--
slbp
--FILE--
<?php
$cache = new SLBP_Performance_Optimizer();
$calls = 0;
$compute = function () use (&$calls) {
    return ['call' => ++$calls];
};
var_dump($cache->remember_cache('a', $compute) === $cache->remember_cache('a', $compute), $calls);

echo "-- an exception passes, and the next one need not wait\n";
try {
    $cache->remember_cache('b', fn() => throw new LogicException('boo'));
} catch (LogicException $e) {
    echo $e->getMessage(), "\n";
}
$start = microtime(true);
var_dump($cache->remember_cache('b', fn() => 'second try'), microtime(true) - $start < 2);

echo "-- nested, also on the same key\n";
$start = microtime(true);
var_dump($cache->remember_cache('outer', fn() => 'o' . $cache->remember_cache('inner', fn() => 'i' . $cache->remember_cache('outer', fn() => 'x'))));
var_dump(microtime(true) - $start < 2, $cache->get_cache('inner'));

echo "-- what cannot be stored throws and frees the lease\n";
try {
    $cache->remember_cache('c', fn() => fn() => 1);
} catch (SLBP_Cache_Exception $e) {
    echo $e->getMessage(), "\n";
}
var_dump($cache->remember_cache('c', fn() => false), $cache->get_cache('c', $found), $found);

echo "-- tags and grace\n";
$cache->remember_cache('d', $compute, 60, ['tags' => ['t'], 'grace' => 5, 'beta' => 0, 'lease' => '2', 'wait' => 0.5]);
$cache->invalidate_tags(['t']);
var_dump($cache->get_cache('d'));

echo "-- a fatal error frees the lease too\n";
register_shutdown_function(function () use ($cache) {
    $start = microtime(true);
    var_dump($cache->remember_cache('e', fn() => 'after the error'), microtime(true) - $start < 2);
});
$cache->remember_cache('e', function () {
    trigger_error('the end', E_USER_ERROR);
}, 60, ['lease' => 30]);
echo "not reached\n";
?>
--EXPECTF--
bool(true)
int(1)
-- an exception passes, and the next one need not wait
boo
string(10) "second try"
bool(true)
-- nested, also on the same key
string(3) "oix"
bool(true)
string(2) "ix"
-- what cannot be stored throws and frees the lease
value: a Closure cannot be stored
bool(false)
bool(false)
bool(true)
-- tags and grace
bool(false)
-- a fatal error frees the lease too

Fatal error: the end in %s on line 42
string(15) "after the error"
bool(true)
