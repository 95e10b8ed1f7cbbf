--TEST--
slbp_supervise() takes 1 to 256 processes, says when a command cannot be started, and drains
--EXTENSIONS--
slbp
--SKIPIF--
<?php
if (!function_exists('posix_kill')) {
    die('skip needs posix');
}
?>
--FILE--
<?php
foreach ([0, 257] as $processes) {
    try {
        slbp_supervise(['true'], $processes);
    } catch (SLBP_InvalidArgumentException $e) {
        echo $e->getMessage(), "\n";
    }
}
try {
    slbp_supervise(['/nonexistent/program'], 1);
} catch (SLBP_Queue_Exception $e) {
    echo $e->getMessage(), "\n";
}
// A worker that tells its supervisor to stop, and ends when it is told the same.
$worker = 'trap "exit 0" TERM; kill -TERM $PPID; while :; do sleep 0.05; done';
var_dump(slbp_supervise(['sh', '-c', $worker], 1));
?>
--EXPECTF--
$processes: expected 1 to 256, got 0
$processes: expected 1 to 256, got 257
a worker could not be started: No such file or directory (os error 2)
int(1)
