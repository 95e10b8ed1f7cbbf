<?php

/** One request with a session: ?do=count|hold|look|promises&sid=...; says what PHP warned of. */

declare(strict_types=1);

ini_set('session.use_cookies', '0');
ini_set('session.use_only_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('session.gc_probability', '0');

if ($_GET['do'] === 'promises') {
    $native = $_GET['native'] === '1';
    if (!$native) {
        session_set_save_handler(new SLBP_Session_Handler(['save_path' => ini_get('session.save_path')]), true);
    }
    header('Content-Type: text/plain');
    require dirname(__DIR__, 2) . '/phpt/session/semantics.inc';
    return;
}

$warnings = [];
set_error_handler(function (int $level, string $message) use (&$warnings): bool {
    $warnings[] = $message;
    return true;
});
session_id($_GET['sid']);
$started = session_start();
$before = $_SESSION['n'] ?? 0;
if ($_GET['do'] === 'hold') {
    file_put_contents($_GET['mark'], (string) getmypid());
    sleep(60);
}
if ($_GET['do'] === 'count' && $started) {
    $_SESSION['n'] = $before + 1;
    session_write_close();
}
if ($_GET['do'] === 'look' && $started) {
    session_write_close();
}
echo json_encode(['started' => $started, 'n' => $before, 'warnings' => $warnings, 'saved' => $started && $warnings === []]);
