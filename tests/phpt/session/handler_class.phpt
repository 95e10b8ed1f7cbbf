--TEST--
SLBP_Session_Handler keeps PHP's promises (shared memory)
--EXTENSIONS--
slbp
--SKIPIF--
<?php
if (!extension_loaded('session')) {
    die('skip no sessions');
}
?>
--INI--
session.use_strict_mode=0
session.use_cookies=0
session.use_only_cookies=0
session.cache_limiter=
session.serialize_handler=php
session.gc_probability=0
--FILE--
<?php
$native = false;
session_set_save_handler(new SLBP_Session_Handler(['handler' => 'shm']), true);
require __DIR__ . '/semantics.inc';
?>
--EXPECT--
ok an unknown id is taken without strict mode
ok what was stored is read
ok 100 KB are stored
ok an unknown id is replaced in strict mode
ok a known id is kept in strict mode
ok session_reset() reads again
ok session_abort() writes nothing
ok the id is regenerated
ok the old session stays without delete
ok the new one has the data
ok the id is regenerated with delete
ok a late request with the old id sees nothing and keeps its cookie
ok nor does it save anything
ok the session goes on under the new id
ok it is destroyed
ok a destroyed id is not taken in strict mode
ok it begins anew without strict mode
ok read_and_close reads
ok an unchanged session is left as it is
ok gc removes nothing that lives
ok optimistic writes and read_only does not
ok an id that is too long is refused
written in a shutdown function
