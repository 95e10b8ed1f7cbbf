<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * PHP sessions in Redis, Memcached, the database or shared memory, for hosts that cannot set
 * `session.save_handler = slbp` in php.ini:
 *
 *     session_set_save_handler(new SLBP_Session_Handler(), true);
 *     session_start();
 *
 * A lock has a random token and always ends; whoever was overtaken saves nothing and is told so by a warning. Ids are
 * stored as a keyed hash. Where the site has a secret (the eight WordPress salts, or `slbp.signing_key`) data is signed,
 * and data that is not is never unserialized. The class exists where PHP has sessions.
 */
class SLBP_Session_Handler implements SessionHandlerInterface, SessionIdInterface, SessionUpdateTimestampHandlerInterface
{
    /**
     * @param array{
     *     handler?: 'redis'|'memcached'|'database'|'shm',
     *     save_path?: string,
     *     redis?: array<string, mixed>,
     *     memcached?: array<string, mixed>,
     *     database?: array<string, mixed>,
     *     table?: string,
     *     mode?: 'locked'|'optimistic'|'read_only',
     *     lock_ttl?: float,
     *     lock_wait?: float,
     *     lifetime?: float,
     * } $config Without `handler` and `save_path`: Redis if WP_REDIS_HOST is defined (or slbp.redis_host set), else
     *     Memcached, else the database if DB_NAME is, else shared memory. `save_path` is as in php.ini, several places
     *     with `|` between them included. Seconds; `lifetime` is session.gc_maxlifetime by default.
     *
     * @throws SLBP_InvalidArgumentException for an unknown key (naming the nearest) or a wrong value.
     * @throws SLBP_Config_Exception when a constant, a directive or `save_path` holds a wrong value.
     */
    public function __construct(array $config = [])
    {
    }

    /** @return bool true; nothing is connected before it is needed */
    public function open(string $path, string $name): bool
    {
    }

    /** Gives the lock back, if the session was not written. */
    public function close(): bool
    {
    }

    /**
     * Opens a session and takes its lock, waiting for at most `lock_wait` seconds.
     *
     * @return string the data, '' for a new session; in fact also false, with a warning, when no store answers, the lock
     *     is not to be had or the id is none
     */
    public function read(string $id): string
    {
    }

    /** @return bool false, with a warning, when it was not saved: no store answers, or another request was quicker */
    public function write(string $id, string $data): bool
    {
    }

    /** Ends a session: data and lock go together. Whoever saves to it later is refused. */
    public function destroy(string $id): bool
    {
    }

    /** @return int how many expired sessions were removed (at most a few thousand); in fact also false on failure */
    public function gc(int $max_lifetime): int
    {
    }

    /** A new id, as session.sid_length and its like say. */
    public function create_sid(): string
    {
    }

    /** Whether there is a session with this id (session.use_strict_mode). */
    public function validateId(string $id): bool
    {
    }

    /** Leaves the session as it is, prolonged, and gives the lock back (session.lazy_write). */
    public function updateTimestamp(string $id, string $data): bool
    {
    }

    /** @return int|null how many sessions there are; null where the store cannot tell (Memcached, a Redis cluster) */
    public function count(): ?int
    {
    }
}
