--TEST--
Every directive that the settings fall back to is registered
--EXTENSIONS--
slbp
--FILE--
<?php
$source = new RegexIterator(
    new RecursiveIteratorIterator(new RecursiveDirectoryIterator(__DIR__ . '/../../../src', FilesystemIterator::SKIP_DOTS)),
    '/\.rs$/'
);
$named = [];
foreach ($source as $file) {
    // What the tests at the end of a file name is made up.
    $code = explode('#[cfg(test)]', file_get_contents($file->getPathname()))[0];
    preg_match_all('/"(slbp\.[a-z]+_[a-z_]+)"/', $code, $found);
    $named = array_merge($named, $found[1]);
}
$named = array_unique($named);
var_dump(count($named) > 20, array_values(array_diff($named, array_keys(ini_get_all('slbp', false)))));
?>
--EXPECT--
bool(true)
array(0) {
}
