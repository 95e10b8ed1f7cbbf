--TEST--
Expiry, $found, counters, tags and groups
--EXTENSIONS--
slbp
--FILE--
<?php
$cache = new SLBP_Performance_Optimizer();
echo "-- a stored false is no miss\n";
var_dump($cache->set_cache('false', false), $cache->get_cache('false', $found), $found, $cache->get_cache('none', $found), $found);

echo "-- a negative expiration deletes\n";
var_dump($cache->set_cache('gone', 1), $cache->set_cache('gone', 2, -1), $cache->get_cache('gone', $found), $found);

echo "-- one second, and for ever\n";
$cache->set_cache('second', 1, '1');
$cache->set_cache('ever', 1, 0);
var_dump($cache->get_cache('second'));
for ($deadline = microtime(true) + 5; $cache->get_cache('second') !== false && microtime(true) < $deadline;) {
    usleep(10000);
}
var_dump($cache->get_cache('second'), $cache->get_cache('ever'));

echo "-- add and delete\n";
var_dump($cache->add_cache('add', 1), $cache->add_cache('add', 2), $cache->get_cache('add'), $cache->delete_cache('add'), $cache->delete_cache('add'));

echo "-- counters\n";
$cache->set_cache('n', 5, 60);
var_dump($cache->increment_cache('n'), $cache->increment_cache('n', 10), $cache->decrement_cache('n', 100), $cache->increment_cache('n', PHP_INT_MAX));
$cache->set_cache('text', 'five');
var_dump($cache->increment_cache('text'), $cache->increment_cache('nothing'));

echo "-- several\n";
var_dump($cache->set_cache_multiple(['a' => 1, 7 => 'seven']));
echo json_encode($cache->get_cache_multiple(['x', 7, 'a', '07'])), json_encode($cache->delete_cache_multiple(['a', 'x'])), "\n";

echo "-- tags\n";
$cache->set_cache('p', 1, 60, ['product', 'shop']);
$cache->set_cache('q', 2, 60, ['page']);
$cache->invalidate_tags(['shop']);
var_dump($cache->get_cache('p'), $cache->get_cache('q'));

echo "-- groups\n";
$objects = new SLBP_Object_Cache();
$objects->set('posts', '1', ['ID' => 1]);
$objects->set('terms', '1', ['term_id' => 1]);
echo json_encode($objects->prefetch(['posts' => [1, 2], 'terms' => ['1'], 'users' => [3]])), "\n";
$objects->flush_group('posts');
echo json_encode($objects->get_multiple('posts', [1])), json_encode($objects->get_multiple('terms', [1])), "\n";
var_dump($objects->replace('posts', '1', 'x'), $objects->replace('terms', '1', 'x'), $objects->get('terms', '1'));
echo json_encode($objects->set_multiple('posts', [1 => 'a', 'b' => 'c'])), json_encode($objects->add_multiple('posts', [1 => 'z', 2 => 'y'])), "\n";
var_dump($objects->increment('posts', '1'), $objects->set('posts', 'views', 3), $objects->increment('posts', 'views', -5));

echo "-- merge\n";
$objects->set('options', 'alloptions', ['a' => '1', 'b' => '2', 5 => 'five']);
var_dump($objects->merge('options', 'alloptions', ['b' => '3', 'c' => '4'], ['a', '5']));
echo json_encode($objects->get('options', 'alloptions')), "\n";
var_dump($objects->merge('options', 'none', ['a' => 1]), $objects->merge('posts', 'views', ['a' => 1]));

echo "-- flush\n";
var_dump($cache->flush_cache(), $cache->get_cache('q'), $objects->get('terms', '1'));
echo implode(' ', array_keys($cache->get_cache_stats())), "\n";
?>
--EXPECT--
-- a stored false is no miss
bool(true)
bool(false)
bool(true)
bool(false)
bool(false)
-- a negative expiration deletes
bool(true)
bool(true)
bool(false)
bool(false)
-- one second, and for ever
int(1)
bool(false)
int(1)
-- add and delete
bool(true)
bool(false)
int(1)
bool(true)
bool(false)
-- counters
int(6)
int(16)
int(0)
int(9223372036854775807)
bool(false)
bool(false)
-- several
bool(true)
{"x":false,"7":"seven","a":1,"07":false}{"a":true,"x":false}
-- tags
bool(false)
int(2)
-- groups
{"posts":{"1":{"ID":1}},"terms":{"1":{"term_id":1}},"users":[]}
[]{"1":{"term_id":1}}
bool(false)
bool(true)
string(1) "x"
{"1":true,"b":true}{"1":false,"2":true}
bool(false)
bool(true)
int(0)
-- merge
bool(true)
{"b":"3","c":"4"}
bool(false)
bool(false)
-- flush
bool(true)
bool(false)
bool(false)
backend layers breaker linked counters
