<?php

/**
 * One PHP process that opens, reads, writes and closes a session over and over: php sessions.php ROUNDS BYTES.
 * Which handler is php.ini's matter; the bench (sessions.py) says. Prints seconds of wall time per round.
 */

declare(strict_types=1);

[, $rounds, $bytes] = $argv;
ob_start();
$id = bin2hex(random_bytes(16));
$round = function (int $n) use ($id, $bytes): void {
    session_id($id);
    session_start();
    $_SESSION = ['n' => ($_SESSION['n'] ?? 0) + 1, 'data' => str_repeat(md5((string) $n), intdiv((int) $bytes, 32))];
    session_write_close();
};
// The id must be known before strict mode asks for it.
ini_set('session.use_strict_mode', '0');
$round(0);
ini_set('session.use_strict_mode', '1');
for ($n = 0; $n < 20; $n++) {
    $round($n);
}
$best = INF;
for ($run = 0; $run < 5; $run++) {
    $began = hrtime(true);
    for ($n = 0; $n < $rounds; $n++) {
        $round($n);
    }
    $best = min($best, (hrtime(true) - $began) / $rounds / 1e9);
}
session_id($id);
session_start();
$counted = $_SESSION['n'];
ob_end_clean();
echo json_encode(['seconds' => $best, 'all_counted' => $counted === 1 + 20 + 5 * $rounds]);
