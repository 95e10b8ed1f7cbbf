--TEST--
A relative slbp.shm_path is told at start and makes no file
--EXTENSIONS--
slbp
--FILE--
<?php
$options = ['-n', '-d', 'extension=' . getenv('SLBP_EXTENSION'), '-d', 'slbp.shm_path=slbp-relative', '-d', 'display_startup_errors=1'];
$process = proc_open([PHP_BINARY, ...$options, '-r', 'echo slbp_info()["mode"];'], [1 => ['pipe', 'w']], $pipes, sys_get_temp_dir());
echo trim(stream_get_contents($pipes[1])), "\n";
proc_close($process);
var_dump(file_exists(sys_get_temp_dir() . '/slbp-relative'));
?>
--EXPECTF--
%Aslbp.shm_path: expected an absolute path, got 'slbp-relative'; each process works alone until this is mended%A
private
bool(false)
