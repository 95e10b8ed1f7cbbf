<?php

declare(strict_types=1);

/**
 * A private MariaDB: own data folder, no network, one socket. It ends with `stop()` or with this process.
 */
final class MariaDb
{
    public readonly string $folder;
    public readonly string $socket;

    /** @var resource */
    private $process;

    public function __construct()
    {
        $this->folder = sys_get_temp_dir() . '/slbp-phpunit-' . getmypid() . '-' . bin2hex(random_bytes(4));
        mkdir($this->folder, 0700);
        $this->socket = "{$this->folder}/mysqld.sock";
        $common = ['--no-defaults', "--datadir={$this->folder}/data", '--user=' . posix_getpwuid(posix_geteuid())['name']];
        self::run(['mariadb-install-db', ...$common, '--auth-root-authentication-method=normal', '--skip-test-db']);
        $this->process = proc_open(
            [is_executable('/usr/sbin/mariadbd') ? '/usr/sbin/mariadbd' : 'mariadbd', ...$common, "--socket={$this->socket}",
                "--pid-file={$this->folder}/mysqld.pid", "--tmpdir={$this->folder}", '--skip-networking', '--debug-no-sync',
                '--innodb-flush-log-at-trx-commit=0', '--innodb-buffer-pool-size=32M', '--innodb-log-file-size=16M'],
            [['file', '/dev/null', 'r'], ['file', "{$this->folder}/log", 'a'], ['file', "{$this->folder}/log", 'a']],
            $pipes
        );
        for ($deadline = microtime(true) + 60; !file_exists($this->socket); usleep(20_000)) {
            if (microtime(true) > $deadline || !proc_get_status($this->process)['running']) {
                throw new RuntimeException("MariaDB did not start:\n" . file_get_contents("{$this->folder}/log"));
            }
        }
        register_shutdown_function($this->stop(...));
    }

    /** A connection to a new, empty database of this name. */
    public function database(string $name): mysqli
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $connection = new mysqli('localhost', 'root', '', '', 0, $this->socket);
        $connection->query("CREATE OR REPLACE DATABASE `$name`");
        $connection->select_db($name);
        return $connection;
    }

    public function stop(): void
    {
        clearstatcache();
        if (!is_dir($this->folder)) {
            return;
        }
        proc_terminate($this->process);
        proc_close($this->process);
        self::run(['rm', '-rf', $this->folder]);
    }

    /** @param list<string> $command */
    public static function run(array $command): string
    {
        $process = proc_open($command, [['file', '/dev/null', 'r'], ['pipe', 'w'], ['redirect', 1]], $pipes);
        $output = stream_get_contents($pipes[1]);
        if (proc_close($process) !== 0) {
            throw new RuntimeException(implode(' ', $command) . " failed:\n$output");
        }
        return $output;
    }
}
