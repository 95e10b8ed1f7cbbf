<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * Backs a site up, and brings it back.
 *
 * A backup is a folder that `sh`, `tar`, `gunzip` and the `mariadb` client can restore without this
 * extension: RESTORE.txt in it says how. Incrementals and differentials are real for the database and
 * the files: rows are read in key order inside one snapshot, each range of keys is hashed, and only
 * ranges that changed are written, deletions included.
 *
 * A restore loads everything beside the site, verifies it on the way, takes a safety backup and then
 * puts all into place by renames; if anything fails before, the site is as it was.
 *
 * @phpstan-type Backup array{
 *     id: string, type: 'full'|'incremental'|'differential'|null,
 *     purpose: 'manual'|'daily'|'weekly'|'monthly'|'safety'|'drill'|null,
 *     components: list<'database'|'files'|'config'>, created_at: int, completed_at: int|null, duration: int|null,
 *     status: 'in_progress'|'completed'|'failed'|'partial'|'broken', size: int, base_id: string|null,
 *     checksum: string|null, encrypted: bool, locations: list<string>, awaiting: list<string>,
 *     error: string|null
 * }
 * `created_at` and `completed_at` are unix times, `duration` seconds, `size` bytes; `base_id` is the full backup at
 * the start of the chain; `partial` means that files could not be read, `broken` that a backup it builds on is gone.
 * `locations` says where it is: 'local' and the names of stores with a copy; `awaiting` which stores lack one and get it.
 *
 * @phpstan-type Progress array{
 *     id: string, work: 'create'|'restore'|'drill'|'fetch'|'copy', status: 'in_progress'|'completed'|'failed', step: string,
 *     done_bytes: int, total_bytes: int, done_parts: int, total_parts: int, percent: int, eta_seconds: int|null,
 *     started_at: int, updated_at: int, message: string, result: mixed
 * }
 */
class SLBP_Backup_Manager
{
    /**
     * Settings that `$config` leaves out come from the option `slbp_backup_config`, then from constants, then from
     * php.ini.
     *
     * @param array<string, mixed> $config
     *     enabled: bool, whether backups are made by themselves. Default true.
     *     schedule: 'daily' (default), 'weekly' or 'monthly': the most frequent kind that is made.
     *     hour: int, 0 to 23, site time. Default 3.
     *     retention_days: int. Default 30. monthly_retention_months: int, of 31 days. Default 12.
     *     compression: bool, or a gzip level from 0 to 9. Default true, which is level 3.
     *     daily_components, weekly_components: list<'database'|'files'|'config'>.
     *     notifications: array{email_on_completion?: bool, email_on_failure?: bool, email?: string}.
     *     backup_dir: string, an absolute path outside the web root. Default: the constant SLBP_BACKUP_DIR,
     *         slbp.backup_dir, else a folder beside WordPress whose name cannot be guessed, else such a one in
     *         wp-content.
     *     database: array{host?, user?, password?, name?, prefix?, port?, socket?, charset?, ssl?, ...}. Default: the
     *         constants DB_HOST (in all its forms), DB_USER, DB_PASSWORD, DB_NAME and $table_prefix.
     *     tables: 'site' (default: the prefix), 'slbp', 'all', or list<string> of names and globs.
     *     files: array{roots?: list<string>|array<string, string>, exclude?: list<string>}; roots are absolute folders,
     *         by their name in the archive or without; exclude are globs over paths in the archive. Default:
     *         wp-content without what is made again.
     *     remote: one place or a list of places where copies go once a backup is made and verified, each
     *         array{type: 'path', path: string} (an absolute folder that exists: another disk, a mounted share) or
     *         array{type: 's3', bucket: string, region?: string, endpoint?: string, prefix?: string, path_style?: bool,
     *         access_key?: string, secret_key?: string, session_token?: string, ca?: string}. A place belongs to one site.
     *         Keys that are left out come from the constants SLBP_BACKUP_S3_ACCESS_KEY and ..._SECRET_KEY, from
     *         slbp.backup_s3_access_key and ..._secret_key, else from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
     *         AWS_SESSION_TOKEN; the region from AWS_REGION. `ca` is a PEM file with the authorities to trust.
     *     encryption_key: string|list<string>, age keys, or the absolute path of a file with them. A recipient (age1...)
     *         encrypts, an identity (AGE-SECRET-KEY-1...) opens, and encrypts when no recipient is named. With
     *         recipients alone the server cannot read its backups: each is a full. Default: the constant
     *         SLBP_BACKUP_ENCRYPTION_KEY, slbp.backup_encryption_key, else backups are not encrypted; '' turns it off.
     *
     * @throws SLBP_InvalidArgumentException for an unknown key (naming the nearest) or a wrong value.
     * @throws SLBP_Config_Exception when the option, a constant or a directive holds a wrong value.
     */
    public function __construct(array $config = [])
    {
    }

    /**
     * Makes a backup and returns when it is done.
     *
     * @param string $type 'full', 'incremental' (what changed since the last backup) or 'differential' (since the last
     *     full). Without anything to build on, a full is made.
     * @param list<'database'|'files'|'config'> $components
     * @param array<string, mixed> $options
     *     async: bool, hand the work to a process of its own and return with the status 'in_progress'.
     *     tables: as in the constructor.
     *
     * @return array{success: bool, backup_id: string|null, status: 'completed'|'partial'|'in_progress'|'failed',
     *     message: string, backup_info: array<string, mixed>|null} backup_info is a Backup.
     *
     * @throws SLBP_InvalidArgumentException for an unknown type, component or option.
     */
    public function create_backup(string $type = 'full', array $components = ['database', 'files', 'config'], array $options = []): array
    {
    }

    /**
     * @param array<string, mixed> $filters type, status, purpose, component: equal to; limit: int.
     *
     * @return list<array<string, mixed>> Backups, newest first, with those that are being made, those that failed and those
     *     of which there are only copies, as far as they are known: copy_backups() looks.
     *
     * @throws SLBP_InvalidArgumentException for an unknown filter.
     */
    public function list_backups(array $filters = []): array
    {
    }

    /**
     * @return array<string, mixed>|null A Backup, or null when there is none of this id.
     *
     * @throws SLBP_InvalidArgumentException for an id that no backup can have.
     */
    public function get_backup_info(string $backup_id): ?array
    {
    }

    /**
     * Brings the site back to a backup, with all it builds on. The site is either as in the backup or as it was. What is
     * not here is downloaded first, from where copies are; only dry_run wants it here (fetch_backup).
     *
     * @param list<'database'|'files'|'config'> $components One that the backup does not have is an error, unless all
     *     were asked for.
     * @param array<string, mixed> $options
     *     dry_run: bool, only tell what would change.
     *     tables: list<string>, only these, by name or glob.
     *     keep_new_tables: bool, leave tables alone that were made since. By default they go, into the safety backup.
     *     target_database: string, another database of the same server. target_dir: string, another folder.
     *     search_replace: array<string, string>, old texts => new ones, on the way into the database: plain, as JSON writes
     *         them and percent-encoded, and inside serialized values with the lengths made right. Nothing is
     *         unserialized; a malformed value stays as it is and is counted. A post's guid stays.
     *     new_url: string, the same for the address that the backup's settings name (`home`), with either scheme and none.
     *     table_prefix: string, what the names of the tables begin with afterwards, also where WordPress keeps it in rows.
     *         Other tables of that prefix stay.
     *     safety_backup: bool. Default true in place, false for another target.
     *     async: bool, as in create_backup.
     *
     * @return array{success: bool, backup_id: string, status: 'completed'|'planned'|'in_progress'|'failed', message: string,
     *     restore_results: array{database?: array<string, mixed>, files?: array<string, mixed>,
     *     config?: array<string, mixed>}, safety_backup_id: string|null}
     *
     * @throws SLBP_InvalidArgumentException for a malformed id, an unknown component or option.
     */
    public function restore_backup(string $backup_id, array $components = ['database', 'files', 'config'], array $options = []): array
    {
    }

    /**
     * Reads a backup and all it builds on back, every checksum, every row's range, every file.
     *
     * @param array<string, mixed> $options async: bool, as in create_backup; the result is then that of its progress.
     *
     * @return array{success: bool, backup_id: string, status: 'completed'|'failed'|'in_progress', message: string,
     *     contents_checked?: bool, checked_files?: int, checked_bytes?: int, checked_rows?: int,
     *     errors?: list<string>} contents_checked is false when the backup is
     *     encrypted and no identity is configured: then only the checksums of its files were compared.
     */
    public function verify_backup(string $backup_id, array $options = []): array
    {
    }

    /**
     * Deletes a backup and its copies. A copy that cannot be deleted now is one no more, and goes when its store is back.
     *
     * @return array{success: bool, backup_id: string, message: string, warnings: list<string>} success is false when
     *     another backup builds on this one; warnings name the stores that could not be reached.
     */
    public function delete_backup(string $backup_id): array
    {
    }

    /**
     * Downloads a backup and all it builds on from where copies are. Every byte is compared with its checksum; what this
     * host copied itself must be what it copied.
     *
     * @param array<string, mixed> $options async: bool, as in create_backup.
     *
     * @return array{success: bool, backup_id: string, status: 'completed'|'in_progress'|'failed', message: string}
     *
     * @throws SLBP_InvalidArgumentException for a malformed id or an unknown option.
     */
    public function fetch_backup(string $backup_id, array $options = []): array
    {
    }

    /**
     * Copies to every store of `remote` what it lacks, deletes there what was to be deleted, and looks at what else is
     * there. create_backup does so by itself, and create_daily_backup where it failed.
     *
     * @param array<string, mixed> $options async: bool, as in create_backup; its progress is that of the id 'copies'.
     *
     * @return array{success: bool, status: 'completed'|'in_progress'|'failed', message: string,
     *     stores: list<array{name: string, copied: list<string>, error: string|null}>}
     *
     * @throws SLBP_InvalidArgumentException for an unknown option.
     */
    public function copy_backups(array $options = []): array
    {
    }

    /**
     * Deletes what is older than retention_days, counted from the newest backup. Never deleted: the newest three, and
     * what a kept one builds on. Copies that this host made go by the same rule.
     *
     * @return array{success: bool, deleted: list<string>, deleted_copies: list<string>, kept: int|null, message: string}
     */
    public function cleanup_old_backups(): array
    {
    }

    /**
     * Makes the backup that the schedule has due, if one is: call it as often as you like. A missed one is made at the
     * next call. Under a web server a process of its own does the work.
     *
     * @return array{success: bool, backup_id: string|null, status: string, message: string,
     *     backup_info: array<string, mixed>|null} status is 'not_due' when nothing was to be done; the id is then that of
     *     the newest backup.
     */
    public function create_daily_backup(): array
    {
    }

    /**
     * Makes a backup, loads it into tables and a folder beside the site, compares every row and file, and removes
     * everything again.
     *
     * @param array<string, mixed> $options async: bool, as in create_backup: then only `status` and `backup_id` come
     *     back, and the rest is the result of that backup's progress.
     *
     * @return array{backup_creation: bool, backup_compression: bool, backup_extraction: bool,
     *     database_verification: bool, files_verification: bool, cleanup: bool, overall_success: bool,
     *     rto_seconds: float, rpo_seconds: int|null, details: array<string, mixed>} rto_seconds is how long loading
     *     took, rpo_seconds the age of the newest backup before; details.errors says what went wrong.
     */
    public function test_disaster_recovery(array $options = []): array
    {
    }

    /**
     * @param string|null $backup_id null for the newest report.
     *
     * @return array<string, mixed>|null A Progress; null when nothing was ever reported.
     */
    public function get_progress(?string $backup_id = null): ?array
    {
    }

    /**
     * Writes a backup and all it builds on as one tar.
     *
     * @param string $path A new file (mode 0600), or 'php://output' for the visitor.
     *
     * @return bool false when there is no such backup or it could not be written; the log says why.
     *
     * @throws SLBP_InvalidArgumentException for a malformed id or a relative path.
     */
    public function export_backup(string $backup_id, string $path): bool
    {
    }

    /**
     * REST, POST `type`, `components`, `tables`, `async` (on unless false).
     *
     * @return mixed WP_REST_Response, or array{status: int, headers: array<string, string>, body: array} outside
     *     WordPress; so in all REST methods. 202 while a process of its own does the work.
     */
    public function create_backup_endpoint(mixed $request): mixed
    {
    }

    /** REST, GET with list_backups' filters: `backups`, `total`. */
    public function list_backups_endpoint(mixed $request): mixed
    {
    }

    /**
     * REST, POST `id` and restore_backup's components and options but for the targets; `async` is on unless false. JSON
     * is understood whatever the content type says.
     */
    public function restore_backup_endpoint(mixed $request): mixed
    {
    }

    /** REST, DELETE `id`; 409 when another backup builds on it. */
    public function delete_backup_endpoint(mixed $request): mixed
    {
    }

    /**
     * REST, GET shows the settings, POST replaces the option `slbp_backup_config` once they are understood. Where things
     * are (`backup_dir`, `database`, `files`, `encryption_key`, `remote`) stays as it is: the network cannot change it.
     */
    public function manage_backup_config(mixed $request): mixed
    {
    }

    /** REST, POST `async` (on unless false). */
    public function disaster_recovery_test(mixed $request): mixed
    {
    }

    /** REST, POST `id`, `async` (on unless false): verify_backup. */
    public function verify_backup_endpoint(mixed $request): mixed
    {
    }

    /** REST, POST `id`, `async` (on unless false): fetch_backup. */
    public function fetch_backup_endpoint(mixed $request): mixed
    {
    }

    /** REST, POST `async` (on unless false): copy_backups. */
    public function copy_backups_endpoint(mixed $request): mixed
    {
    }

    /** REST, GET `id`: a Progress. */
    public function get_progress_endpoint(mixed $request): mixed
    {
    }

    /**
     * Whether whoever sent the request may see and change backups: administrators, and who sends the constant
     * SLBP_BACKUP_TOKEN (at least 32 characters) as bearer token.
     */
    public function check_backup_permissions(mixed $request = null): bool
    {
    }
}
