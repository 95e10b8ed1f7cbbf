--TEST--
phpinfo() says of a secret directive only whether it is set
--EXTENSIONS--
slbp
--INI--
slbp.redis_password=hunter2
slbp.database_password=hunter3
slbp.backup_encryption_key=hunter4
--FILE--
<?php
ob_start();
phpinfo(INFO_MODULES);
$page = ob_get_clean();
var_dump(str_contains($page, 'hunter2'), str_contains($page, 'hunter3'), str_contains($page, 'hunter4'));
preg_match_all('/^slbp\.(?:backup_encryption_key|database_password|redis_password|signing_key) => .*$/m', $page, $shown);
echo implode("\n", $shown[0]), "\n";
?>
--EXPECT--
bool(false)
bool(false)
bool(false)
slbp.backup_encryption_key => (set) => (set)
slbp.database_password => (set) => (set)
slbp.redis_password => (set) => (set)
slbp.signing_key => no value => no value
