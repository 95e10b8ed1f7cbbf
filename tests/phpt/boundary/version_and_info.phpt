--TEST--
slbp_version() and slbp_info() describe the loaded extension
--EXTENSIONS--
slbp
--FILE--
<?php
var_dump(preg_match('/^\d+\.\d+\.\d+$/', slbp_version()));
var_dump(slbp_version() === phpversion('slbp'));
var_dump(is_int(slbp_info()['size']), slbp_info()['size'] > 0, slbp_info()['mode']);
?>
--EXPECT--
int(1)
bool(true)
bool(true)
bool(true)
string(9) "anonymous"
