<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * Limits how often a client may do something, exactly, across every php-fpm worker.
 *
 * A `sliding_window` weighs the last aligned window by how much of it still counts, so it holds `limit` for
 * even traffic; a client that spends all of it at the end of one window and goes on in the next gets less
 * than twice `limit` in a window's length. `gcra` lets one unit back in every window / limit seconds, after
 * a `burst`. `fixed_window` starts anew with each aligned window.
 *
 * Order of decision: blacklist, whitelist, ban, limits. Counters live in shared memory (`shm`) or in
 * Redis; lists live in shared memory and, under WordPress, also in the options
 * `slbp_rate_limit_whitelist` and `slbp_rate_limit_blacklist`.
 *
 * @phpstan-type RateCheck array{
 *     allowed: bool, limit: int, remaining: int, window: int, retry_after: int, reset: int,
 *     reason: 'ok'|'limit'|'blacklist'|'whitelist'|'banned'|'dry_run', policy: string
 * }
 * A rule needs `limit` or `limits`; `window` is 3600 s where it is left out.
 *
 * @phpstan-type Rule array{
 *     limit?: int, window?: int, limits?: list<array{limit: int, window: int}>,
 *     algorithm?: 'sliding_window'|'gcra'|'fixed_window', burst?: int, cost?: int, dry_run?: bool,
 *     on_store_failure?: 'local'|'open'|'closed'
 * }
 * @phpstan-type ListEntry array{
 *     entry: string, reason: string, source: string, added: int, expires: int|null
 * }
 */
class SLBP_Rate_Limiter
{
    /**
     * @param array<string, mixed> $config
     *     limits: array<string, Rule>, rules by endpoint name or fnmatch pattern, in order; rules may also stand
     *         at the top level. Default: general 100/h, auth 10/h, payment 50/h, webhook 1000/h.
     *     plans: array<string, array<string, Rule>>, rules that replace `limits` for a plan or role.
     *     algorithm: 'sliding_window' (default), 'gcra' or 'fixed_window'.
     *     backend: 'auto' (default: Redis when 'redis', WP_REDIS_HOST or slbp.redis_host names one, else shm), 'shm' or 'redis'.
     *     redis: array{host?, port?, path?, scheme?, username?, password?, database?, prefix?, timeout?}.
     *     whitelist, blacklist: list<string>, entries that hold without being stored.
     *     trusted_proxies: list<string>, addresses and CIDRs whose forwarding headers are believed.
     *     auto_ban: array{enabled?: bool, threshold?: int, window?: int, ban?: int, max_ban?: int, jitter?: float},
     *         seconds. Default: 20 violations in 600 s ban for 600 s, doubling to 86400 s, jitter 0.1.
     *     client_ip_header: 'auto' (default: Forwarded or X-Forwarded-For), 'forwarded', 'x-forwarded-for', or the name of
     *         the header in which trusted proxies put the client's address.
     *     server_addresses: list<string>, addresses of this server, which are never banned.
     *     api_key_validator: callable(string $secret, 'api_key'|'bearer' $kind): bool, instead of the filter
     *         `slbp_validate_api_key`.
     *     dry_run: bool, decide and count, but allow.
     *     on_store_failure: 'local' (default), 'open' or 'closed'.
     *
     * @throws SLBP_InvalidArgumentException for an unknown key (naming the nearest) or a wrong value.
     * @throws SLBP_Config_Exception when a constant, directive or option holds a wrong value.
     */
    public function __construct(array $config = [])
    {
    }

    /**
     * Spends `$cost` from the client's limits if every limit of the rule has room for it.
     *
     * @param string $client_id Who: 'ip:203.0.113.7', 'user:123', 'api_key:...'. Addresses are normalised; IPv6 is
     *     limited by /64.
     * @param string $endpoint What: chooses the rule (exact name, then pattern in order, then word, else general).
     * @param int $cost Units to spend, >= 1. A cost above the limit is refused and spends nothing.
     *
     * @return array{allowed: bool, limit: int, remaining: int, window: int, retry_after: int, reset: int,
     *     reason: string, policy: string} window and retry_after in seconds (retry_after 0 if allowed, else >= 1,
     *     rounded up); reset is the unix time at which the whole limit is free again, up to two windows ahead;
     *     reason is 'ok', 'limit', 'blacklist', 'whitelist', 'banned' or 'dry_run'; policy is the rule's name.
     *
     * @throws SLBP_InvalidArgumentException for an empty client id or a cost below 1.
     */
    public function check_rate_limit(string $client_id, string $endpoint = 'general', int $cost = 1): array
    {
    }

    /**
     * The caller's status as a REST answer. Spends nothing.
     *
     * @param mixed $request WP_REST_Request or null; parameters `endpoint`, and for administrators `client_id`.
     *
     * @return mixed WP_REST_Response, or array{status: int, headers: array<string, string>, body: array} outside
     *     WordPress.
     */
    public function get_rate_limit_status(mixed $request = null): mixed
    {
    }

    /**
     * What check_rate_limit would answer now. Spends nothing.
     *
     * @return array{allowed: bool, limit: int, remaining: int, window: int, retry_after: int, reset: int,
     *     reason: string, policy: string}
     */
    public function peek_rate_limit(string $client_id, string $endpoint = 'general'): array
    {
    }

    /**
     * Gives a client its limits back and lifts its ban.
     *
     * @param string|null $endpoint Only this endpoint's rule; null for all rules.
     *
     * @return bool false when the store could not be reached.
     */
    public function reset_rate_limit(string $client_id, ?string $endpoint = null): bool
    {
    }

    /**
     * Records bad behaviour; enough of it within `auto_ban.window` bans the client.
     *
     * @param string $kind 'failed_login', 'not_found', 'invalid_username', 'xmlrpc' or a name of your own; 'denied' (came
     *     although its limit was used up) weighs a tenth.
     * @param int $weight How many violations it counts for, >= 1.
     *
     * @return array{banned: bool, violations: int, threshold: int, ban_seconds: int, ban_expires: int, exempt: bool}
     *     exempt is true for trusted proxies, loopback, whitelisted clients and the server itself.
     */
    public function record_violation(string $client_id, string $kind, int $weight = 1): array
    {
    }

    /**
     * Records a failed login. Each new username beyond the first five of a client counts as two violations.
     *
     * @return array{banned: bool, violations: int, threshold: int, ban_seconds: int, ban_expires: int, exempt: bool}
     */
    public function record_failed_login(string $client_id, string $username): array
    {
    }

    /**
     * REST: GET lists, POST adds (`entry`, `ttl`, `reason`), DELETE removes (`entry`).
     *
     * @return mixed WP_REST_Response or plain array; 400 names what is wrong with an entry.
     */
    public function manage_whitelist(mixed $request): mixed
    {
    }

    /** REST: as manage_whitelist, for the blacklist. */
    public function manage_blacklist(mixed $request): mixed
    {
    }

    /** REST: GET shows the rules, POST replaces them (validated whole), DELETE returns to the defaults. */
    public function manage_rate_limit_config(mixed $request): mixed
    {
    }

    /**
     * @param string $entry '203.0.113.7', '10.0.0.0/8', '2001:db8::/32', '192.168.*', 'user:123', 'api_key:...'.
     * @param int|null $ttl Seconds until it expires; null for never.
     *
     * @return bool false when the list is full.
     *
     * @throws SLBP_InvalidArgumentException for a malformed entry or a ttl below 1; nothing changes.
     */
    public function add_to_whitelist(string $entry, ?int $ttl = null, string $reason = ''): bool
    {
    }

    /**
     * @return bool false when it was not on the list.
     *
     * @throws SLBP_InvalidArgumentException for a malformed entry.
     */
    public function remove_from_whitelist(string $entry): bool
    {
    }

    /** @return list<array{entry: string, reason: string, source: string, added: int, expires: int|null}> */
    public function get_whitelist(): array
    {
    }

    /**
     * As add_to_whitelist.
     *
     * @throws SLBP_InvalidArgumentException also when the entry covers loopback or a trusted proxy.
     */
    public function add_to_blacklist(string $entry, ?int $ttl = null, string $reason = ''): bool
    {
    }

    /**
     * @return bool false when it was not on the list.
     *
     * @throws SLBP_InvalidArgumentException for a malformed entry.
     */
    public function remove_from_blacklist(string $entry): bool
    {
    }

    /**
     * The blacklist, with running bans (source 'auto_ban').
     *
     * @return list<array{entry: string, reason: string, source: string, added: int, expires: int|null}>
     */
    public function get_blacklist(): array
    {
    }

    public function is_whitelisted(string $client_id): bool
    {
    }

    /** True for blacklisted and for banned clients. */
    public function is_blacklisted(string $client_id): bool
    {
    }

    /**
     * The address of the client: REMOTE_ADDR, or what trusted proxies say, read right to left.
     *
     * @param array<string, mixed>|null $server $_SERVER when null.
     *
     * @return string An address without port or brackets; '' when there is none (CLI). The proxy's
     *                own when its headers conflict or cannot be read: charge get_address_identifier().
     */
    public function get_client_ip(?array $server = null): string
    {
    }

    /**
     * The id of the client's address, whoever is logged in there.
     *
     * @param array<string, mixed>|null $server $_SERVER when null.
     *
     * @return string 'ip:203.0.113.7'; 'behind:10.0.0.1' for all who hide behind that trusted proxy by a
     *                forwarding header that conflicts or cannot be read; '' when there is none (CLI).
     */
    public function get_address_identifier(?array $server = null): string
    {
    }

    /**
     * 'user:ID' for a logged-in user, 'api_key:HASH' for a key that the filter `slbp_validate_api_key` accepts,
     * else 'ip:ADDRESS' (IPv6: its /64); 'ip:unknown' when there is no address (CLI).
     *
     * @param mixed $request WP_REST_Request or null.
     */
    public function get_client_identifier(mixed $request = null): string
    {
    }

    /**
     * For the filter rest_pre_dispatch: passes `$result` on, or answers 429 (403 for the blacklist).
     *
     * @return mixed `$result`, or a WP_REST_Response with an application/problem+json body.
     */
    public function check_rest_rate_limit(mixed $result, mixed $server, mixed $request): mixed
    {
    }

    /** For admin-ajax.php: sends 429 and ends the request when the client is over its limit. */
    public function check_ajax_rate_limit(): void
    {
    }

    /**
     * The headers of a check: RateLimit, RateLimit-Policy, X-RateLimit-Limit, -Remaining, -Reset; of a refused one
     * also Retry-After and Cache-Control: no-store.
     *
     * @param array $check A result of check_rate_limit or peek_rate_limit.
     *
     * @return array<string, string>
     *
     * @throws SLBP_InvalidArgumentException for an array that is no such result.
     */
    public function get_rate_limit_headers(array $check): array
    {
    }
}
