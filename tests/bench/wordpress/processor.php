<?php

/**
 * Prepended to every script: notes how many microseconds of processor time the request took php-fpm, in the file BENCH_LOG.
 */

declare(strict_types=1);

getenv('BENCH_LOG') && (static function (): void {
    $spent = static function (): int {
        $usage = getrusage();
        $microseconds = $usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec'];
        return ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1_000_000 + $microseconds;
    };
    $before = $spent();
    $note = static function () use ($spent, $before): void {
        file_put_contents((string) getenv('BENCH_LOG'), $spent() - $before . "\n", FILE_APPEND);
    };
    // A function that is registered at shutdown runs after those that WordPress has registered.
    register_shutdown_function(static fn () => register_shutdown_function($note));
})();
