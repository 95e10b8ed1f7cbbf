--TEST--
Every kind of value comes back as it was
--EXTENSIONS--
slbp
--FILE--
<?php
class Base
{
    private $same = 'base';
    protected array $list = [1, 2];
    public ?int $unset;
    public readonly int $fixed;

    public function __construct()
    {
        $this->fixed = 7;
    }
}
#[AllowDynamicProperties]
class Child extends Base
{
    private $same = 'child';
    public ?Base $other = null;
}
class With_Say
{
    public $value = 1;
    private $connection = 'open';

    public function __serialize(): array
    {
        return ['value' => $this->value];
    }

    public function __unserialize(array $data): void
    {
        $this->value = $data['value'];
        $this->connection = 'reopened';
    }
}
class Sleeper
{
    public $kept = 1;
    public $dropped = 2;
    public $woken = false;

    public function __sleep()
    {
        return ['kept'];
    }

    public function __wakeup()
    {
        $this->woken = true;
    }
}
enum Plan: string
{
    case Free = 'free';
}
$child = new Child();
$child->other = new Base();
$child->dynamic = ['x' => new Base()];
$child->{'7'} = 'numeric';
$say = new With_Say();
$holder = (object) ['items' => new ArrayObject(['a' => 1]), 'say' => $say];
$twice = new Base();
$circle = new stdClass();
$circle->self = $circle;
$values = [
    'null' => null, 'true' => true, 'false' => false,
    'zero' => 0, 'negative' => -1, 'largest' => PHP_INT_MAX, 'smallest' => PHP_INT_MIN,
    'float' => 0.1, 'negative zero' => -0.0, 'infinity' => -INF, 'nan' => NAN,
    'empty' => '', 'byte' => "\0", 'binary' => "\xff\0\xfe", 'long' => str_repeat('x', 300), 'number' => '12',
    'none' => [], 'list' => [1, 'two', [3]], 'long list' => range(-100, 1000), 'map' => ['b' => 1, 'a' => 2, 5 => 3, -1 => 4],
    'holes' => [2 => 'c', 0 => 'a'], 'was packed' => array_diff_key([0, 1, 2], [1 => 0]), 'long key' => [str_repeat('k', 500) => 1],
    'deep' => array_reduce(range(1, 250), fn($inner) => [$inner], 'core'),
    'stdClass' => (object) ['a' => 1, '5' => (object) []], 'object' => $child, 'list of objects' => [new Base(), new Base()],
    'enum' => [Plan::Free], 'date' => new DateTimeImmutable('2026-01-01 UTC'), 'holder' => $holder,
    'twice' => [$twice, $twice], 'circle' => $circle,
];
$cache = new SLBP_Performance_Optimizer();
foreach ($values as $name => $value) {
    if (!$cache->set_cache($name, $value)) {
        echo "$name was not stored\n";
    }
    $back = $cache->get_cache($name, $found);
    if (!$found || serialize($back) !== serialize($value)) {
        echo "$name differs: ", var_export($found, true), "\n";
        var_dump($back);
    }
}
$many = $cache->get_cache_multiple(array_keys($values));
var_dump(serialize($many) === serialize($values), array_keys($many) === array_keys($values));

[$one, $other] = $cache->get_cache('twice');
var_dump($one === $other, $cache->get_cache('circle')->self->self instanceof stdClass);

$cache->set_cache('sleeper', new Sleeper());
var_dump($cache->get_cache('sleeper'));

echo "-- objects are new ones, references are followed\n";
$object = (object) ['n' => 1];
$cache->set_cache('object', $object);
$copy = $cache->get_cache('object');
$copy->n = 2;
$number = 1;
$cache->set_cache('references', ['a' => &$number, 'b' => &$number]);
$array = $cache->get_cache('references');
$array['a'] = 2;
var_dump($object->n, $cache->get_cache('object')->n, $array['b']);

echo "-- what was read is the script's own\n";
$cache->set_cache('array', ['a' => [1]]);
$first = $cache->get_cache('array');
$first['a'][] = 2;
$first['b'] = 3;
var_dump(json_encode($cache->get_cache('array')));

echo "-- also the tenth time, when nothing is built anew\n";
$original = ['list' => [3, 1, 2], 'map' => ['b' => ['deep' => 'x'], 'a' => 1], 'text' => 'text', 7 => [], 'long' => str_repeat('k', 60)];
$cache->set_cache('often', $original);
for ($i = 0; $i < 10; $i++) {
    $read = $cache->get_cache('often');
    if ($read !== $original || $cache->get_cache_multiple(['often'])['often'] !== $original) {
        echo "differs the time $i\n";
    }
    $kept[] = $read['map'];
    sort($read['list']);
    $read['map']['b']['deep'] .= 'y';
    foreach ($read as &$element) {
        $element = is_array($element) ? array_reverse($element) : strrev($element);
    }
    unset($element, $read['text']);
    $read['list'][] = &$read['map'];
    $read['map']['new'] = $i;
    next($read);
    ksort($read);
    $gone = $read;
    $read = null;
}
var_dump(count(array_unique(array_map('serialize', $kept))), $kept[0] === $original['map'], isset($gone['text']));
?>
--EXPECTF--
bool(true)
bool(true)
bool(true)
bool(true)
object(Sleeper)#%d (3) {
  ["kept"]=>
  int(1)
  ["dropped"]=>
  int(2)
  ["woken"]=>
  bool(true)
}
-- objects are new ones, references are followed
int(1)
int(1)
int(1)
-- what was read is the script's own
string(9) "{"a":[1]}"
-- also the tenth time, when nothing is built anew
int(1)
bool(true)
bool(false)
