--TEST--
SLBP_Scalability_Manager keeps data under names and has PHP keep its sessions
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
slbp.signing_key=a key of the site
--FILE--
<?php
ob_start();
$manager = new SLBP_Scalability_Manager(['session' => ['handler' => 'shm']]);
$value = ['a' => [1, 2.5, null], 'o' => new ArrayObject([1]), 'b' => "\0\xff"];
var_dump($manager->store_session_data('any name: ä', $value, '60'));
var_dump($manager->get_session_data('any name: ä') == $value);
var_dump($manager->get_session_data('another'), $manager->delete_session_data('another'));
var_dump($manager->delete_session_data('any name: ä'), $manager->get_session_data('any name: ä'));
var_dump($manager->store_session_data('gone', 1, 0), $manager->get_session_data('gone'));
var_dump($manager->store_session_data('f', false), $manager->get_session_data('f'));
try {
    $manager->store_session_data('closure', fn() => 1);
} catch (Exception $exception) {
    echo $exception->getMessage(), "\n";
}
foreach (['files', ''] as $wrong) {
    try {
        $manager->configure_session_handler($wrong);
    } catch (SLBP_InvalidArgumentException $exception) {
        echo $exception->getMessage(), "\n";
    }
}
foreach ([['session' => ['hanlder' => 'shm']], ['session' => ['mode' => 'none']], ['session' => 'shm']] as $config) {
    try {
        (new SLBP_Scalability_Manager($config))->get_session_data('x');
    } catch (SLBP_InvalidArgumentException $exception) {
        echo $exception->getMessage(), "\n";
    }
}
var_dump($manager->configure_session_handler('shm'), ini_get('session.save_handler'));
session_id('a-session');
session_start();
$_SESSION['n'] = 1;
session_write_close();
session_start();
var_dump($_SESSION, @$manager->configure_session_handler('shm'));
$manager->init_session_management();
?>
--EXPECT--
bool(true)
bool(true)
bool(false)
bool(true)
bool(true)
bool(false)
bool(true)
bool(false)
bool(true)
bool(false)
Serialization of 'Closure' is not allowed
handler: expected redis, memcached, database, shm, got 'files'
handler: expected redis, memcached, database, shm, got ''
$config: unknown key 'hanlder', did you mean 'handler'? (known: handler, save_path, redis, memcached, database, table, mode, lock_ttl, lock_wait, lifetime)
mode: $config: mode: expected locked, optimistic or read_only, got 'none'
session: expected an array with string keys
bool(true)
string(4) "user"
array(1) {
  ["n"]=>
  int(1)
}
bool(false)
