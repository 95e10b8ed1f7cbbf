--TEST--
phpinfo() has an slbp section with the version and every directive of php/ini/slbp.ini
--EXTENSIONS--
slbp
--FILE--
<?php
ob_start();
phpinfo(INFO_MODULES);
$page = ob_get_clean();
var_dump(str_contains($page, 'Version => ' . slbp_version()));
preg_match_all('/^;?(slbp\.\w+) = ?(.*)$/m', file_get_contents(__DIR__ . '/../../../php/ini/slbp.ini'), $documented);
$registered = ini_get_all('slbp', false);
$described = array_combine($documented[1], $documented[2]);
var_dump(array_diff_key($registered, $described), array_diff_key($described, $registered));
var_dump(array_diff_assoc($described, array_map('strval', $registered)));
foreach (array_keys($registered) as $directive) {
    if (!str_contains($page, "$directive =>")) {
        echo "$directive is missing from phpinfo\n";
    }
}
?>
--EXPECT--
bool(true)
array(0) {
}
array(0) {
}
array(0) {
}
