<?php

/**
 * One piece of work of SLBP_Backup_Manager, for tests/bench/backups.py, which times it.
 *
 *   php -d extension=slbp.so backup.php FOLDER SOCKET DATABASE create TYPE
 *   php -d extension=slbp.so backup.php FOLDER SOCKET DATABASE restore ID TARGET
 *
 * Prints a JSON object: the backup's id, and the peak memory of the process in bytes.
 */

declare(strict_types=1);

[, $folder, $socket, $database, $work, $what] = $argv;
$manager = new SLBP_Backup_Manager([
    'backup_dir' => $folder,
    'database' => ['socket' => $socket, 'user' => 'root', 'name' => $database, 'prefix' => 'wp_'],
]);
$result = 'create' === $work
    ? $manager->create_backup($what, ['database'])
    : $manager->restore_backup($what, ['database'], ['target_database' => $argv[6]]);
if (!$result['success']) {
    fwrite(STDERR, $result['message'] . "\n");
    exit(1);
}
preg_match('/^VmHWM:\s+(\d+) kB/m', file_get_contents('/proc/self/status'), $peak);
echo json_encode(['id' => $result['backup_id'], 'memory' => 1024 * (int) $peak[1]]), "\n";
