<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * A durable queue of background tasks, in the site's own database, that never charges twice.
 *
 * A task runs at least once; one that moves money (`billing_run`, `subscription_renewal`, or any type registered
 * with `on_crash` 'hold') at most once: when its worker dies in the middle it is held until a person has looked.
 * Workers keep their tasks by leases with fencing tokens on the database's clock; what a worker that lost its lease
 * says is dropped.
 *
 * Inside WordPress everything a request does here goes through `$wpdb`, so that a transaction which is rolled
 * back leaves no task. Workers use a connection of their own. With `database` in `$config`, and outside
 * WordPress, everything does.
 *
 * Built-in types: billing_run, subscription_renewal, send_notifications, email_campaign, data_export, cleanup_logs,
 * sync_external_data. Other types run by register_handler() or by the filter
 * `slbp_process_custom_background_task(false, $task_type, $task_data, $task)`.
 *
 * @phpstan-type Progress array{done: int, total: int, message: string, eta: int|null}
 * @phpstan-type Task array{
 *     id: int, task_type: string, task_data: array<array-key, mixed>, priority: int,
 *     status: 'pending'|'processing'|'completed'|'failed'|'held'|'cancelled',
 *     state: 'foreign'|'scheduled'|'blocked'|'gated'|'ready'|'leased'|'waiting'|'held'|'done'|'dead'|'cancelled',
 *     queue: string, retry_count: int, attempt: int, max_attempts: int|null, crash_count: int,
 *     on_crash: 'retry'|'fail'|'hold'|null, timeout: int|null, batch_id: string|null, after: list<string>,
 *     idempotency_key: string, run_at: float, scheduled_at: string|null, started_at: string|null,
 *     completed_at: string|null, created_at: string|null, error_message: string|null, progress: Progress,
 *     cancel_requested: bool, worker: string|null
 * }
 * `run_at` is unix time; the other dates are on the site's clock.
 *
 * @phpstan-type TaskOptions array{
 *     unique_key?: string|int, max_attempts?: int, queue?: string, batch_id?: string,
 *     after?: int|string|list<int|string>, on_crash?: 'retry'|'fail'|'hold', timeout?: int
 * }
 * `unique_key`: while a task of this type with this key lives there is no second one, and its id is returned.
 * `after`: ids of tasks that must have completed, or 'batch:NAME' for a batch of which every task must have ended.
 * `timeout`: seconds after which a running task loses its lease.
 */
class SLBP_Background_Processor
{
    /**
     * @param array<string, mixed> $config
     *     batch_size: int, tasks that one process_tasks() runs at most. Default 10, `slbp.queue_batch_size`.
     *     max_execution_time: float, seconds after which process_tasks() begins no task. Default 30.
     *     retry_attempts: int, further attempts after a failure. Default 3.
     *     backoff: array{base?: float, factor?: float, cap?: float, jitter?: float}, the delay between attempts.
     *         Default 300 s, doubled each time, at most 21600 s, 20 % to either side.
     *     lease: float, seconds a worker keeps a task without a sign of life. Default 60, `slbp.queue_lease`.
     *     max_crashes: int, workers that a task may kill before it has failed. Default 3.
     *     max_payload: int, bytes of JSON. Default 4194304.
     *     skip_locked: bool, whether claims skip locked rows. Default: what the server can.
     *     table: string. Default {prefix}slbp_background_tasks.
     *     database: array{host?, port?, socket?, user?, password?, name?, prefix?, charset?, ssl?, ssl_ca?, ssl_cert?,
     *         ssl_key?, ssl_verify?, flags?, timeout?, read_timeout?}. Default: DB_HOST and its siblings, then
     *         `slbp.database_*`.
     *
     * @throws SLBP_InvalidArgumentException for an unknown key (naming the nearest) or a wrong value.
     * @throws SLBP_Config_Exception when a constant or directive holds a wrong value.
     */
    public function __construct(array $config = [])
    {
    }

    /**
     * Stores a task.
     *
     * @param string $task_type 1 to 50 of A-Z a-z 0-9 _ - . : /.
     * @param array<array-key, mixed> $task_data What the handler gets; stored as JSON.
     * @param int $priority Lower is sooner. A task that has waited long runs before better ones that just came.
     * @param mixed $scheduled_at null for now; 'Y-m-d H:i:s' on the site's clock (a time that the change to summer
     *     time skips moves forward, one that the change back repeats is its first occurrence), ISO 8601 with an offset,
     *     unix time, or a DateTimeInterface.
     * @param array $options TaskOptions.
     *
     * @return mixed int id of the task, of the living one when `unique_key` is taken; false when it could not be
     *     stored (the reason is in PHP's log): text that is not UTF-8, too large, the database does not answer.
     *
     * @throws SLBP_InvalidArgumentException for a wrong type, priority, date or option, or an object in the data.
     */
    public function queue_task(
        string $task_type,
        array $task_data = [],
        int $priority = 10,
        mixed $scheduled_at = null,
        array $options = []
    ): mixed {
    }

    /**
     * Stores many tasks with few statements.
     *
     * @param array $tasks Rows with the parameter names of queue_task() as keys; only task_type is required.
     *
     * @return list<int> Ids in the order of `$tasks`; empty when they could not be stored.
     *
     * @throws SLBP_InvalidArgumentException naming the row; nothing is stored then.
     */
    public function queue_tasks(array $tasks): array
    {
    }

    /**
     * Registers what runs tasks of a type, in place of what did.
     *
     * The handler is called as `handler(array $task_data, array $task)`. false, a WP_Error or an exception is a failure and
     * tried again while attempts are left; anything else is success. `exit()` in a handler does not end the
     * worker; a fatal error ends its process. Both mark the task with the message, by its `on_crash`.
     *
     * @param array $options
     *     idempotent: bool, a second run does no harm: after a crash it is run again.
     *     on_crash: 'retry' (default), 'fail' or 'hold' (default of types that move money).
     *     concurrency: int, how many may run at once, over all workers.
     *     rate: array{limit: int, window: int}|string, how many may start in how many seconds: '10/minute'.
     *     timeout: float, seconds one may run. Default 3600.
     *     backoff: as in the constructor.
     *
     * @throws SLBP_InvalidArgumentException for a type that is no name, an unknown option or a wrong value.
     */
    public function register_handler(string $task_type, callable $handler, array $options = []): void
    {
    }

    /**
     * Runs one batch: at most `batch_size` tasks (filter `slbp_background_batch_size`), begun within
     * `max_execution_time` (filter `slbp_background_max_execution_time`).
     *
     * @return int How many tasks were run, well or not.
     */
    public function process_tasks(): int
    {
    }

    /**
     * Runs tasks as they come, for the command line. SIGTERM or SIGINT ends it after the task that runs, a second one
     * at once.
     *
     * @param array $options
     *     queues: list<string>|string, only these. Default all.
     *     max_tasks: int, max_time: float seconds, memory_limit: int|string bytes ('128M'); ends at any. Default none.
     *     stop_when_empty: bool, ends when there is nothing to do. Default false.
     *     batch_size: int, tasks taken at once at most. Default 100.
     *
     * @return int How many tasks were run, well or not.
     *
     * @throws SLBP_InvalidArgumentException for an unknown option or a wrong value.
     */
    public function work(array $options = []): int
    {
    }

    /** @return array|null Task; null when there is none with this id. */
    public function get_task(int $task_id): ?array
    {
    }

    /**
     * @param array $filters status (one, a list, or 'pending,held'; also 'scheduled'), task_type, queue, batch_id, before (an id:
     *     only older tasks), limit (1 to 1000, default 50).
     *
     * @return list<array> Tasks, the newest first.
     *
     * @throws SLBP_InvalidArgumentException for an unknown filter or a wrong value.
     */
    public function get_tasks(array $filters = []): array
    {
    }

    /**
     * Notes how far a running task is. It is seen at once, whatever transaction is open.
     *
     * @param int $total 0 when it is not known.
     * @param string $message Up to 255 characters are kept.
     *
     * @return bool false when the task does not run or was asked to stop: then the handler should return false.
     */
    public function update_progress(int $task_id, int $done, int $total = 0, string $message = ''): bool
    {
    }

    /**
     * Cancels a task: at once when it does not run, else its handler is asked to stop (update_progress() tells it). With
     * a task that waits for tasks it started, those are cancelled too.
     *
     * @return bool false when there is no such task or it has ended.
     */
    public function cancel_task(int $task_id): bool
    {
    }

    /**
     * Runs a failed, held or cancelled task again, with all its attempts.
     *
     * @return bool false when the task is none of these.
     */
    public function retry_task(int $task_id): bool
    {
    }

    /**
     * Runs every failed task again.
     *
     * @param string|null $task_type Only of this type.
     *
     * @return int How many.
     */
    public function retry_failed(?string $task_type = null): int
    {
    }

    /**
     * Lets no task of the type start, in any worker, until resume().
     *
     * @return bool false when the database could not be reached.
     */
    public function pause(string $task_type): bool
    {
    }

    /** @return bool false when the database could not be reached. */
    public function resume(string $task_type): bool
    {
    }

    /**
     * @return array{pending: int, processing: int, completed: int, failed: int, scheduled: int, held: int,
     *     cancelled: int, oldest_pending_age: float, throughput: float} `scheduled` are those of `pending` that wait
     *     for their time; oldest_pending_age in seconds; throughput in tasks done per second over five minutes.
     *     From counters, so that it costs the same whatever the history holds.
     */
    public function get_queue_stats(): array
    {
    }

    /**
     * Deletes tasks that ended more than `$days` ago, in small pieces, for 20 s at most.
     *
     * @return int How many.
     */
    public function clear_old_tasks(int $days = 7): int
    {
    }

    /**
     * A link to the file of a finished data_export, signed with a key that only this site has.
     *
     * @param string $name The file's name, which the task's progress message tells.
     * @param int $lifetime Seconds, up to a month.
     *
     * @return array{name: string, expires: int, signature: string}|null null when there is no such file, or when the site has
     *     no secret (its salts, or `slbp.signing_key`).
     *
     * @throws SLBP_InvalidArgumentException for a wrong lifetime.
     */
    public function get_export_link(string $name, int $lifetime = 86400): ?array
    {
    }

    /** @return string|null The path of the file behind a link that is ours and still good. */
    public function open_export(string $name, int $expires, string $signature): ?string
    {
    }
}
