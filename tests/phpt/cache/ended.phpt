--TEST--
A script that ends while a value is being stored ends as it would in serialize()
--EXTENSIONS--
slbp
--FILE--
<?php
$run = function (string $code, string ...$options) {
    $command = [PHP_BINARY, '-n', '-d', 'extension=' . getenv('SLBP_EXTENSION'), ...$options, '-r', $code];
    $process = proc_open($command, [1 => ['pipe', 'w'], 2 => ['pipe', 'w']], $pipes);
    echo preg_replace('/ of \d+ bytes.*/', '', trim(stream_get_contents($pipes[1]))), "\n";
    stream_get_contents($pipes[2]);
    echo 'status ', proc_close($process), "\n";
};
$exit = 'class A { public $v = 1; function __serialize(): array { exit(5); } } ';
$cache = '$o = new SLBP_Object_Cache(); register_shutdown_function(fn() => print("shut down")); ';
$run($exit . $cache . '$o->set("g", "a", new A());');
$run($exit . $cache . '$o->add("g", "a", [new A()]);');
$run($exit . $cache . '$o->set_multiple("g", ["a" => 1, "b" => new A()]);');
$run($exit . $cache . '(new SLBP_Performance_Optimizer())->remember_cache("k", fn() => new A());');
$run('class A { public $v; function __sleep() { exit(5); } } ' . $cache . '$o->set("g", "a", new A());');
$run('class A { function __serialize(): array { return [str_repeat("x", 64 << 20)]; } } ' . $cache . '$o->set("g", "a", new A());', '-d', 'memory_limit=16M', '-d', 'display_errors=0');
$run('class A { public $v = 1; function __serialize(): array { Fiber::suspend(); return []; } } ' . $cache
    . '$f = new Fiber(fn() => $o->set("g", "a", new A())); $f->start(); unset($f); gc_collect_cycles(); echo "went on, ";');
?>
--EXPECT--
shut down
status 5
shut down
status 5
shut down
status 5
shut down
status 5
shut down
status 5
shut down
status 255
went on, shut down
status 0
