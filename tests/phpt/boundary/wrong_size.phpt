--TEST--
A size that is none is reported when PHP starts, not taken for the default
--EXTENSIONS--
slbp
--INI--
slbp.shm_size=64MB
--FILE--
<?php
echo slbp_info()['mode'], "\n";
?>
--EXPECTF--
%AWarning: PHP Startup: slbp: slbp.shm_size: expected a size such as 64M, got '64MB'; each process works alone until this is mended in Unknown on line 0
private
