--TEST--
No warning about sessions tells the password in session.save_path, nor does one of PHP's own
--EXTENSIONS--
slbp
--SKIPIF--
<?php
if (!extension_loaded('session')) {
    die('skip no sessions');
}
?>
--INI--
session.use_cookies=0
session.cache_limiter=
log_errors=0
--FILE--
<?php
ob_start();
ini_set('session.save_handler', 'slbp');
$paths = [
    'http://u:hunter2@host', 'redis://u:hunter2@127.0.0.1:1', 'redis://127.0.0.1:1?auth=hunter2', 'mysql://u:hunter2@host',
    'redis://u:hunter2@h?x=1', 'redis://u:hun/ter2@h/three', 'redis://u:hunter2@127.0.0.1:1 | shm2:',
];
foreach ($paths as $path) {
    ini_set('session.save_path', $path);
    ob_start();
    $started = [session_start(), session_start()];
    $said = ob_get_clean();
    preg_match_all('/slbp: (.*) in /', $said, $ours);
    preg_match_all('/\(path: (.*)\) in /', $said, $its);
    echo implode(' / ', array_unique(array_merge($ours[1], $its[1]))), "\n";
    if ($started !== [false, false] || preg_match('/hunter2|ter2/', $said) || ini_get('session.save_path') !== $path) {
        echo "NOT: $said";
    }
}
// What was hidden is used all the same: the path was only shown differently.
ini_set('session.save_path', 'shm:');
var_dump(session_start());
?>
--EXPECTF--
session.save_path: expected redis://, rediss://, redis+unix://, memcached://, mysql:// or shm: / http://***@host
127.0.0.1:1: Connection refused (os error 111) / redis://***@127.0.0.1:1
%s / redis://127.0.0.1:1?auth=***
session.save_path: a database: expected its name, as in mysql://user@host/name / mysql://***@host
session.save_path: unknown parameter 'x' behind redis: / redis://***@h?x=1
session.save_path: %s / redis://***@h/three
session.save_path: expected redis://, rediss://, redis+unix://, memcached://, mysql:// or shm: / redis://***@127.0.0.1:1 | shm2:
bool(true)
