--TEST--
A value whose class is gone, or no longer takes its properties, is a miss
--EXTENSIONS--
slbp
--SKIPIF--
<?php
if (!is_dir('/dev/shm')) {
    die('skip no /dev/shm');
}
?>
--FILE--
<?php
$path = '/dev/shm/slbp-phpt-' . getmypid();
$run = function (string $code) use ($path) {
    $command = [PHP_BINARY, '-n', '-d', 'extension=' . getenv('SLBP_EXTENSION'), '-d', "slbp.shm_path=$path", '-r', $code];
    $process = proc_open($command, [1 => ['pipe', 'w'], 2 => ['pipe', 'w']], $pipes);
    echo stream_get_contents($pipes[1]), stream_get_contents($pipes[2]);
    proc_close($process);
};
$read = 'var_dump((new SLBP_Performance_Optimizer())->get_cache("o", $found), $found);';
$run('class A { public int $n = 5; public $m = 1; } var_dump((new SLBP_Performance_Optimizer())->set_cache("o", new A()));');
echo "-- the same class\n";
$run('class A { public int $n; public $m; }' . $read);
echo "-- no class\n";
$run($read);
echo "-- another type\n";
$run('class A { public array $n = []; public $m; }' . $read);
echo "-- a property less, a property more\n";
$run('class A { public ?int $n = null; public $new = "default"; }' . $read);
echo "-- abstract, or with a say\n";
$run('abstract class A { public $n; public $m; }' . $read);
$run('class A { public $n; public $m; function __wakeup() { echo "never"; } }' . $read);
echo "-- an autoloader that throws\n";
$run('spl_autoload_register(fn() => throw new LogicException("load"));try {' . $read . '} catch (LogicException $e) { echo $e->getMessage(), "\n"; }');
echo "-- an autoloader that uses the cache\n";
$run('spl_autoload_register(function ($name) { (new SLBP_Performance_Optimizer())->set_cache("x", [1, 2]); (new SLBP_Performance_Optimizer())->get_cache("x"); eval("class $name { public \$n; public \$m; }"); });' . $read);
unlink($path);
?>
--EXPECTF--
bool(true)
-- the same class
object(A)#%d (2) {
  ["n"]=>
  int(5)
  ["m"]=>
  int(1)
}
bool(true)
-- no class
bool(false)
bool(false)
-- another type
bool(false)
bool(false)
-- a property less, a property more
object(A)#%d (3) {
  ["n"]=>
  int(5)
  ["new"]=>
  string(7) "default"
  ["m"]=>
  int(1)
}
bool(true)
-- abstract, or with a say
bool(false)
bool(false)
bool(false)
bool(false)
-- an autoloader that throws
load
-- an autoloader that uses the cache
object(A)#%d (2) {
  ["n"]=>
  int(5)
  ["m"]=>
  int(1)
}
bool(true)
