<?php

/**
 * The functions of slbp. For IDEs and static analysis; never loaded at runtime.
 */

/** The version of the extension, e.g. "0.1.0". */
function slbp_version(): string
{
}

/**
 * The state of the shared segment and of the backends.
 *
 * @return array<string, mixed>
 */
function slbp_info(): array
{
}

/**
 * For the process that the extension starts for backups with `async`: does the job on standard input.
 *
 * @internal
 *
 * @return array{string, string} The file that loads WordPress for what is left to do, and the site's host name.
 */
function slbp_backup_worker(): array
{
}

/**
 * For the same process, once WordPress is loaded: options, caches, mail.
 *
 * @internal
 */
function slbp_backup_worker_end(): void
{
}

/**
 * Keeps worker processes running until SIGTERM or SIGINT, which it passes on to them; then waits for them to drain.
 * A worker that ends is started again, one that ends by itself at once later and later. On the command line only.
 *
 * @param list<string> $command The program and its arguments.
 * @param int $processes 1 to 256.
 *
 * @return int How many workers were started.
 *
 * @throws SLBP_InvalidArgumentException in a web request, or for a wrong number.
 * @throws SLBP_Queue_Exception when the command cannot be started.
 */
function slbp_supervise(array $command, int $processes): int
{
}

/**
 * Whether it is time to look at this site's alerts: true for one caller in `slbp.alert_interval` seconds, who should call
 * SLBP_Monitoring_Manager::check_alerts() once the response is out.
 */
function slbp_alerts_due(): bool
{
}

/**
 * Removes what is kept of this site's alerts beside its memory, for a plugin that is deactivated: nothing is looked at any
 * more then, with the database down either.
 */
function slbp_forget_alerts(): void
{
}
