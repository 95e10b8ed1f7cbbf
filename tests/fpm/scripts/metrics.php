<?php

/**
 * Metrics for the php-fpm tests: ?do=count|sleep|warn|grow|fail|fatal|show. Answers JSON; `show` has the exposition in
 * `text`.
 */

declare(strict_types=1);

parse_str($_SERVER['QUERY_STRING'] ?? $argv[1] ?? '', $query);

$monitoring = new SLBP_Monitoring_Manager();
$monitoring->register_metric('fpm_test_total', 'counter', 'Increments of the test.');
$answer = ['pid' => getmypid()];
switch ($query['do'] ?? 'show') {
    case 'count':
        for ($i = 0; $i < $query['times']; $i++) {
            $monitoring->increment('fpm_test_total');
        }
        break;
    case 'sleep':
        file_put_contents($query['file'], getmypid());
        sleep((int) $query['seconds']);
        break;
    case 'warn':
        echo @$nothing, $query['missing'] ?? '';
        trigger_error('a warning', E_USER_WARNING);
        trigger_error('a deprecation', E_USER_DEPRECATED);
        break;
    case 'grow':
        $memory = str_repeat('x', 100 << 20);
        break;
    case 'fail':
        http_response_code(503);
        break;
    case 'fatal':
        undefined_on_purpose();
        break;
    case 'show':
        $answer['text'] = $monitoring->render_metrics('application/openmetrics-text');
        break;
}
echo json_encode($answer);
