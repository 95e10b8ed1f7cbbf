--TEST--
What has no stored form is refused, and the message says what and where
--EXTENSIONS--
slbp
--FILE--
<?php
class Thrower
{
    public function __serialize(): array
    {
        throw new LogicException('not now');
    }
}
class Changer
{
    public static $victim;

    public function __serialize(): array
    {
        self::$victim->list = [];
        unset(self::$victim->gone);
        self::$victim->{'new' . count((array) self::$victim)} = 1;
        return [];
    }
}
$itself = [1];
$itself['again'] = &$itself;
$victim = Changer::$victim = (object) ['list' => [[1], [new Changer(), 2], [3]], 'gone' => 1];
$values = [
    fn() => 1,
    ['a' => [3 => fopen('php://memory', 'r')]],
    (object) ['p' => ['q' => new class () {
    }]],
    new ArrayObject([function () {
    }]),
    [(function () {
        yield 1;
    })()],
    $itself,
    array_reduce(range(1, 257), fn($inner) => [$inner]),
    new Thrower(),
    [1, [new Thrower()]],
];
$cache = new SLBP_Performance_Optimizer();
foreach ($values as $value) {
    try {
        var_dump($cache->set_cache('key', $value));
    } catch (Throwable $e) {
        echo get_class($e), ': ', $e->getMessage(), "\n";
    }
}
echo "-- nothing of it is stored\n";
var_dump($cache->get_cache('key'));
try {
    $cache->set_cache_multiple(['good' => 1, 'bad' => fn() => 1]);
} catch (SLBP_Cache_Exception $e) {
    echo $e->getMessage(), "\n";
}
var_dump($cache->get_cache('good', $found), $found);

echo "-- what changes while it is stored is stored as it was, or refused\n";
var_dump($cache->set_cache('victim', $victim), json_encode($cache->get_cache('victim')), json_encode($victim));

echo "-- misuse\n";
foreach ([['backnd' => 'shm'], ['backend' => 'files'], ['jitter' => 2]] as $config) {
    try {
        new SLBP_Performance_Optimizer($config);
    } catch (SLBP_InvalidArgumentException $e) {
        echo substr($e->getMessage(), 0, 60), "\n";
    }
}
foreach ([['graze' => 1], ['wait' => -1], ['tags' => 'x']] as $options) {
    try {
        $cache->remember_cache('key', fn() => 1, null, $options);
    } catch (SLBP_InvalidArgumentException $e) {
        echo $e->getMessage(), "\n";
    }
}
try {
    $cache->set_cache('key', 1, 60, array_map('strval', range(1, 40)));
} catch (SLBP_InvalidArgumentException $e) {
    echo $e->getMessage(), "\n";
}
var_dump($cache->set_cache(str_repeat('k', 5000), 1), (new SLBP_Performance_Optimizer(['max_value_size' => 100]))->set_cache('large', str_repeat('v', 101)));
?>
--EXPECT--
SLBP_Cache_Exception: value: a Closure cannot be stored
SLBP_Cache_Exception: value['a'][3]: a resource cannot be stored
SLBP_Cache_Exception: value->p['q']: an object of an anonymous class cannot be stored
SLBP_Cache_Exception: value: something inside (Serialization of 'Closure' is not allowed) cannot be stored
SLBP_Cache_Exception: value[0]: a Generator cannot be stored
SLBP_Cache_Exception: value: nests deeper than 256 levels, or refers to itself
SLBP_Cache_Exception: value: nests deeper than 256 levels, or refers to itself
LogicException: not now
LogicException: not now
-- nothing of it is stored
bool(false)
value: a Closure cannot be stored
bool(false)
bool(false)
-- what changes while it is stored is stored as it was, or refused
bool(true)
string(34) "{"list":[[1],[{},2],[3]],"gone":1}"
string(20) "{"list":[],"new1":1}"
-- misuse
$config: unknown key 'backnd', did you mean 'backend'? (know
backend: expected 'auto', 'shm', 'redis' or 'memcached', got
jitter: expected 0 to 1, got 2
$options: unknown key 'graze', did you mean 'grace'? (known: grace, wait, beta, lease, tags)
$options: wait: expected seconds >= 0, got -1
$options: tags: expected a list of strings
tags: expected at most 31, got 40
bool(false)
bool(false)
