<?php

/**
 * For IDEs and static analysis; never loaded at runtime.
 */

/**
 * Counts, measures and shows what a site does, across every php-fpm worker.
 *
 * Values live in shared memory and change by atomic operations: a worker that is killed loses nothing that it had
 * counted, and no update waits for another. They begin at zero when php-fpm is started or reloaded; with
 * `slbp.shm_path` the command line sees the same ones.
 *
 * The table never grows. A metric has at most 200 series of its own; updates beyond that go into a series whose labels
 * all read `overflow`, so that totals stay right, and are counted in `slbp_metrics_series_dropped_total`. So a label may
 * name a plan, a gateway or a status, and should not name a user, an address or an order.
 *
 * Metrics belong to the site; those that the extension itself keeps of the whole host say so in their help text.
 */
class SLBP_Monitoring_Manager
{
    /**
     * @param array<string, mixed> $config
     *     monitoring_ips: list<string>, addresses and networks that may see metrics. Default: the option
     *         `slbp_monitoring_ips`, then `slbp.monitoring_ips`, else nobody.
     *     trusted_proxies: list<string>, whose forwarding headers are believed. Default: the option
     *         `slbp_trusted_proxies`, then `slbp.trusted_proxies`.
     *
     * @throws SLBP_InvalidArgumentException for a wrong value.
     * @throws SLBP_Config_Exception when an option holds a wrong value.
     */
    public function __construct(array $config = [])
    {
    }

    /**
     * Makes a metric known. To be called in every request before its first update, because values and names are gone
     * after a reload; doing so again costs less than a microsecond and changes nothing.
     *
     * @param string $name A letter, then letters, digits and '_', up to 96. It is exposed as it is: end a counter's in
     *     `_total`, and others in their unit (`_seconds`, `_bytes`).
     * @param string $type 'counter', 'gauge' or 'histogram'.
     * @param string $help What is measured. Cut at 256 bytes.
     * @param list<string> $labels Names of labels, up to 8.
     * @param list<float> $buckets Upper bounds of a histogram's buckets, ascending, up to 28. Default 0.005 to 10.
     *
     * @throws SLBP_InvalidArgumentException for a name, label or bound that Prometheus could not read, and when the
     *     name is known with another type, labels or buckets (a change takes a reload of php-fpm).
     */
    public function register_metric(string $name, string $type, string $help, array $labels = [], array $buckets = []): void
    {
    }

    /**
     * Adds to a counter, or changes a gauge.
     *
     * @param float $by At least 0 for a counter.
     * @param array<string, string|int|float|bool> $labels A value for each label. What is not UTF-8 is replaced, what
     *     is longer than 64 bytes is cut.
     *
     * @throws SLBP_InvalidArgumentException for a name that is not registered, other labels, or a counter that is to fall.
     */
    public function increment(string $name, float $by = 1.0, array $labels = []): void
    {
    }

    /**
     * Sets a gauge. Of several workers the last one is right.
     *
     * @param array<string, string|int|float|bool> $labels
     *
     * @throws SLBP_InvalidArgumentException as increment(), and for INF and NAN.
     */
    public function set_gauge(string $name, float $value, array $labels = []): void
    {
    }

    /**
     * Counts an observation in a histogram.
     *
     * @param float $value At least 0.
     * @param array<string, string|int|float|bool> $labels
     *
     * @throws SLBP_InvalidArgumentException as increment(), and for a negative value.
     */
    public function observe(string $name, float $value, array $labels = []): void
    {
    }

    /**
     * Counts something that bears on security in `slbp_security_events_total{kind}`, and calls the action
     * `slbp_security_event($kind, $context)`. The context is stored nowhere.
     *
     * @param string $kind Up to 40 letters, digits and '_'.
     * @param array<string, mixed> $context
     *
     * @throws SLBP_InvalidArgumentException for a kind that is no word.
     */
    public function record_security_event(string $kind, array $context = []): void
    {
    }

    /**
     * Asks the database, the queue and the backups what only they know, at most once a minute for all workers (under
     * WordPress; cron calls this), and returns all values by category and name:
     * `['system' => ['memory_usage' => 41943040.0, ...], ...]`. `slbp_system_x` stands at `['system']['x']`, a metric of
     * one's own at `['custom']`; labelled series are added up, and of a histogram the mean is given. What cannot be known is
     * absent.
     *
     * @return array<string, array<string, float>>
     */
    public function collect_metrics(): array
    {
    }

    /**
     * The exposition.
     *
     * @param string|null $accept An Accept header: OpenMetrics 1.0 when it prefers that, else text 0.0.4.
     */
    public function render_metrics(?string $accept = null): string
    {
    }

    /**
     * GET /metrics. Checks no permission; the route does.
     *
     * @param mixed $request WP_REST_Request or null.
     *
     * @return mixed WP_REST_Response, or array{status: int, headers: array<string, string>, body: string} outside
     *     WordPress. The body is text and must be sent as it is.
     */
    public function get_prometheus_metrics(mixed $request = null): mixed
    {
    }

    /**
     * GET /metrics/dashboard: the current values, and what happened in each step of a timeframe, from memory alone. Steps
     * in which nothing happened are left out; a mean of nothing is null.
     *
     * @param mixed $request WP_REST_Request or null; parameter `timeframe`: 1h (default) and 6h in steps of a minute, 24h of
     *     a quarter of an hour, 7d of an hour.
     *
     * @return mixed WP_REST_Response, or array{status: int, headers: array<string, string>, body: array} outside WordPress.
     *     Body: array{timestamp: int, timeframe: string, step: int, from: int, metrics: array<string, array<string, float>>,
     *     points: list<array{time: int, requests: int, errors: int, response_time: float|null, memory_peak: float|null,
     *     cache_hit_ratio: float|null}>}, milliseconds, bytes and percent.
     */
    public function get_dashboard_metrics(mixed $request = null): mixed
    {
    }

    /**
     * Looks at every rule, tells whoever is due, and brings the history up to date. One process at a time does so; for any
     * other the answer has no transitions and the states as they stand. Takes up to 40 seconds when receivers are slow:
     * never call it while a visitor waits. A receiver that fails is tried again by later calls.
     *
     * @return array{transitions: list<array{alert_name: string, state: 'inactive'|'pending'|'firing'|'resolved',
     *     value: float|null, threshold: float, severity: string, since: int, labels: array<string, string>}>,
     *     states: array<string, string>}
     */
    public function check_alerts(): array
    {
    }

    /**
     * GET /alerts. The body has `alerts` (what is pending, firing or just resolved), `total`, `status` (ok or firing),
     * `rules`, `silences`, and with the parameter `history` (a number) the newest events. Parameter `state` filters.
     *
     * @param mixed $request WP_REST_Request or null.
     *
     * @return mixed WP_REST_Response, or array{status: int, headers: array<string, string>, body: array} outside WordPress.
     */
    public function get_alerts(mixed $request = null): mixed
    {
    }

    /**
     * GET, POST and DELETE /alerts/config: shows the rules, replaces all of them, returns to the usual ones. A wrong rule is
     * a 400 that names it and its field, and nothing is changed. Addresses are shown without their paths, which are
     * secrets; one that is posted as it was shown stays what it is.
     *
     * @param mixed $request WP_REST_Request; its JSON body is what `$config['alerts']` would be.
     *
     * @return mixed WP_REST_Response, or array{status: int, headers: array<string, string>, body: array} outside WordPress.
     */
    public function manage_alert_config(mixed $request): mixed
    {
    }

    /**
     * Tells nobody of an alert for a while. When the silence ends and it still fires, it is told then.
     *
     * @param string $alert_name The rule's name, or '*' for every alert.
     * @param int    $seconds    Up to a year; 0 takes the silence back.
     *
     * @throws SLBP_InvalidArgumentException When there is no such rule, or the time is none.
     */
    public function silence_alert(string $alert_name, int $seconds, string $comment = ''): bool
    {
    }

    /**
     * Sends a test message, at once.
     *
     * @param string $channel 'email', 'webhook', 'slack' or 'alertmanager'.
     * @param string $target  An e-mail address, or an https:// address.
     *
     * @return array{success: bool, message: string}
     *
     * @throws SLBP_InvalidArgumentException When the channel is unknown or the target is none.
     */
    public function test_notification(string $channel, string $target): array
    {
    }

    /**
     * Whether whoever sent the request may see metrics: an address of `monitoring_ips`, the bearer token of php.ini
     * (`slbp.monitoring_token`), or a user who may manage_options. X-Forwarded-For counts only from a trusted proxy.
     *
     * @param mixed $request WP_REST_Request or null.
     */
    public function check_monitoring_permissions(mixed $request = null): bool
    {
    }

    /**
     * Whether a user who may manage_options is logged in.
     *
     * @param mixed $request WP_REST_Request or null.
     */
    public function check_admin_permissions(mixed $request = null): bool
    {
    }
}
