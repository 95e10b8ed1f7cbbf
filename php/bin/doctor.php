#!/usr/bin/env php
<?php

/**
 * Says whether this PHP has a working slbp extension, and in which state.
 *
 *   php php/bin/doctor.php        (or: php -d extension=slbp.so php/bin/doctor.php)
 *
 * Exit status: 0 when the extension is loaded, 1 when it is not.
 */

declare(strict_types=1);

printf("PHP         %s (%s, %s)\n", PHP_VERSION, PHP_SAPI, PHP_ZTS ? 'ZTS' : 'NTS');
printf("php.ini     %s\n", php_ini_loaded_file() ?: 'none');

if (!extension_loaded('slbp')) {
    echo "slbp        not loaded: add the line extension=slbp.so to php.ini\n";
    exit(1);
}

printf("slbp        %s\n\n", slbp_version());
foreach (ini_get_all('slbp', false) as $directive => $value) {
    // Whoever may run this may read php.ini, but its output ends up in tickets.
    $secret = preg_match('/password|key/', $directive) === 1 && $value !== '';
    printf("%-26s %s\n", $directive, $secret ? '(set)' : $value);
}
echo "\n", json_encode(slbp_info(), JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES), "\n";
