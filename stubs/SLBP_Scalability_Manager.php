<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * Health, draining, and what load balancers need to know.
 *
 * Checks are 'healthy', 'degraded' or 'unhealthy'; the whole is as bad as its worst check, but one that is not
 * critical makes it 'degraded' at most. Over HTTP healthy and degraded are 200, unhealthy is 503. What nobody knows yet
 * is degraded. A finding is shared by all workers of the host for its time to live, and one worker at a time looks.
 *
 * Under php-fpm the probes are answered before WordPress starts (`slbp.probes` in php.ini); the methods here are what
 * the REST routes of the same addresses call, and give the same answers. Each returns a WP_REST_Response, outside
 * WordPress array{status: int, headers: array<string, string>, body: array<string, mixed>}. A request that accepts
 * application/health+json gets the format of draft-inadarei-api-health-check-06.
 *
 * @phpstan-type CheckOptions array{
 *     critical?: bool, groups?: list<'ready'|'health'|'detailed'>, ttl?: float, timeout?: float
 * }
 * `critical`: while it is unhealthy the groups that ask for it are 503; default false. `groups`: who asks for it, default
 * health; all belong to detailed. `ttl`: seconds for which a finding is good, 1 to 3600, default 10. `timeout`: seconds
 * after which it is degraded, whatever it says, default 2; PHP code cannot be stopped half way.
 */
class SLBP_Scalability_Manager
{
    /**
     * @param array<string, mixed> $config
     *     health_check_ips: list<string>, addresses and networks that may see details, with those of `slbp.health_ips` in
     *         php.ini and of the option `slbp_health_check_ips`.
     *     health_token: string of 16 bytes or more, a bearer token that may; default `slbp.health_token`.
     *     database: as for SLBP_Background_Processor.
     *     external_apis: list<string>, https:// addresses that the detailed check asks.
     *     session: array<string, mixed>, the keys of SLBP_Session_Handler.
     *     external_ca: string, the authorities for them in PEM; default: the system's.
     *     load_balancer: array{probe?: string, health?: string, live?: string, host?: string, interval?: int,
     *         check_timeout?: int, fall?: int, rise?: int, connect_timeout?: int, read_timeout?: int, keepalive?: int,
     *         affinity?: 'none'|'ip'|'cookie', cookie?: string}.
     *
     * @throws SLBP_InvalidArgumentException an unknown key or a wrong value
     * @throws SLBP_Exception a wrong directive in php.ini
     */
    public function __construct(array $config = [])
    {
    }

    /**
     * How the site does, as far as that is cheap to say: body `status`, `checks` (name => state), `timestamp`.
     *
     * @param object|null $request a WP_REST_Request
     */
    public function health_check(mixed $request = null): mixed
    {
    }

    /**
     * Everything: body `status`, `timestamp`, `instance_id`, and `checks` as name => array{status, critical, value, unit,
     * message, checked_at, age, duration}. Checks no permission; the route does, by check_health_permissions().
     *
     * @param object|null $request a WP_REST_Request
     */
    public function detailed_health_check(mixed $request = null): mixed
    {
    }

    /**
     * Whether this node shall get traffic: body `status` ('ready' or 'not_ready'), `checks`, `timestamp`.
     *
     * @param object|null $request a WP_REST_Request
     */
    public function readiness_check(mixed $request = null): mixed
    {
    }

    /**
     * That this process lives, which depends on nothing: body `status` ('alive'), `timestamp`.
     *
     * @param object|null $request a WP_REST_Request
     */
    public function liveness_check(mixed $request = null): mixed
    {
    }

    /**
     * Whether the visitor may see details: by address (past trusted proxies only), bearer token, or manage_options.
     *
     * @param object|null $request a WP_REST_Request
     */
    public function check_health_permissions(mixed $request = null): bool
    {
    }

    /**
     * Adds a check, in place of the one of that name. In WordPress: in the action `slbp_register_health_checks`, which
     * is given the manager whenever one is made; the probes before WordPress forget a check that nobody registers for
     * ten minutes.
     *
     * The callable returns true, false, the name of a state, a WP_Error, or
     * array{status: string, message?: string, value?: float}. false, null, a WP_Error, an exception and exit() mean
     * unhealthy; what cannot be understood means degraded. Messages are cut after some 100 bytes, and shown in details
     * only.
     *
     * @param string $name up to 40 of a-z 0-9 _
     * @param CheckOptions $options
     *
     * @throws SLBP_InvalidArgumentException a wrong name or option
     * @throws SLBP_Exception there are 16 others
     */
    public function register_health_check(string $name, callable $check, array $options = []): void
    {
    }

    /** What this node is called: `slbp.instance_id`, or a hash of the machine's id and the host's name. */
    public function get_instance_id(): string
    {
    }

    /**
     * Lets no new traffic come (readiness says 503), or lets it come again. All workers of this php-fpm see it at once,
     * until php-fpm restarts. From the command line it reaches php-fpm only with `slbp.shm_path`; a hook without that
     * makes the file of `slbp.drain_file` instead.
     *
     * @throws SLBP_Exception there is no shared memory, or no room in it
     */
    public function set_draining(bool $draining = true): void
    {
    }

    /** Whether this node is being drained, by set_draining() or by the file. */
    public function is_draining(): bool
    {
    }

    /**
     * What a load balancer is to be told, after the filter `slbp_load_balancer_config`.
     *
     * @return array{
     *     health_check: array{path: string, health_path: string, live_path: string, host: string|null, interval: int,
     *         timeout: int, unhealthy_threshold: int, healthy_threshold: int, success_codes: list<int>},
     *     session_affinity: array{type: 'none'|'ip'|'cookie', cookie: string},
     *     connection: array{connect_timeout: int, read_timeout: int, keepalive: int}
     * }
     */
    public function get_load_balancer_config(): array
    {
    }

    /**
     * The same as configuration: for nginx a file to include inside http { }, for HAProxy a whole file.
     *
     * @param 'nginx'|'haproxy' $server
     * @param list<string> $upstreams host:port
     *
     * @throws SLBP_InvalidArgumentException another server, or an upstream or setting that cannot stand in the file
     */
    public function render_load_balancer_config(string $server, array $upstreams): string
    {
    }

    /**
     * Has PHP keep its sessions in this store from the next session_start() on, by an SLBP_Session_Handler of `$config`
     * `session`.
     *
     * @param string $handler 'redis'|'memcached'|'database'|'shm'
     *
     * @return bool false when headers were sent or a session is open, and where PHP has no sessions
     *
     * @throws SLBP_InvalidArgumentException there is no such handler, or its settings are wrong
     * @throws SLBP_Config_Exception when a constant or directive holds a wrong value
     */
    public function configure_session_handler(string $handler): bool
    {
    }

    /** Does so with the handler that the option `slbp_session_handler` names; nothing where it is empty or too late. */
    public function init_session_management(): void
    {
    }

    /**
     * Keeps data under a name, in the store that was configured, else where SLBP_Session_Handler would. It is no PHP
     * session, whatever it is called.
     *
     * @param mixed $data what serialize() takes
     * @param int $expiration seconds; 0 or less deletes it
     *
     * @return bool false, with a warning, when it was not stored
     */
    public function store_session_data(string $session_id, mixed $data, int $expiration = 3600): bool
    {
    }

    /**
     * @return mixed the data, or false when there is none. Objects come back as such where the site has a secret (the
     *     eight WordPress salts, or slbp.signing_key); elsewhere as __PHP_Incomplete_Class.
     */
    public function get_session_data(string $session_id): mixed
    {
    }

    /** @return bool whether the store did it; true also when there was none */
    public function delete_session_data(string $session_id): bool
    {
    }

    /**
     * What a registry of services stores of this node: `service`, `endpoints` (paths), `dependencies`; after the filter
     * `slbp_microservices_config`.
     *
     * @return array<string, array<string, mixed>>
     */
    public function get_microservices_config(): array
    {
    }
}
