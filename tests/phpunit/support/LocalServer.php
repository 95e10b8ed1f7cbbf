<?php

declare(strict_types=1);

/**
 * A Redis or Memcached of a test's own, on a socket in a temporary folder.
 */
final class LocalServer
{
    /** @var resource */
    private $process;

    /** @param list<string> $command */
    private function __construct(public readonly string $socket, private readonly string $folder, array $command)
    {
        $null = ['file', '/dev/null', 'w'];
        $this->process = proc_open($command, [0 => ['pipe', 'r'], 1 => $null, 2 => $null], $pipes);
        for ($deadline = microtime(true) + 20; !$this->answers() && microtime(true) < $deadline;) {
            usleep(10000);
        }
        if (!$this->answers()) {
            throw new RuntimeException("{$command[0]} did not start");
        }
    }

    public static function redis(): self
    {
        $folder = self::folder();
        $socket = "$folder/redis.sock";
        $options = ['--port', '0', '--unixsocket', $socket, '--dir', $folder, '--save', '', '--appendonly', 'no'];

        return new self($socket, $folder, ['redis-server', ...$options]);
    }

    public static function memcached(): self
    {
        $folder = self::folder();
        $user = posix_getuid() === 0 ? ['-u', 'root'] : [];

        return new self("$folder/memcached.sock", $folder, ['memcached', '-s', "$folder/memcached.sock", ...$user]);
    }

    /** Sends a command to Redis and returns its raw reply. */
    public function command(string ...$words): string
    {
        $bulks = array_map(fn(string $word): string => '$' . strlen($word) . "\r\n$word\r\n", $words);

        return $this->send('*' . count($words) . "\r\n" . implode('', $bulks));
    }

    /** Sends lines and returns what comes back within a moment. */
    public function send(string $request): string
    {
        $connection = stream_socket_client("unix://{$this->socket}");
        fwrite($connection, $request);
        $answer = (string) fread($connection, 1 << 20);
        fclose($connection);

        return $answer;
    }

    public function stop(): void
    {
        if (is_resource($this->process)) {
            proc_terminate($this->process, SIGKILL);
            proc_close($this->process);
            array_map('unlink', glob("{$this->folder}/*") ?: []);
            rmdir($this->folder);
        }
    }

    private function answers(): bool
    {
        return file_exists($this->socket) && @stream_socket_client("unix://{$this->socket}") !== false;
    }

    private static function folder(): string
    {
        $folder = sys_get_temp_dir() . '/slbp-' . bin2hex(random_bytes(6));
        mkdir($folder, 0700);

        return $folder;
    }
}
