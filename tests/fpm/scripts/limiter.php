<?php

/**
 * One call on the limiter for the php-fpm tests: ?do=check|peek&client=...&limit=...
 * Answers the check, who answered, and the segment's counters.
 */

declare(strict_types=1);

// The command line gives the same parameters as its first argument.
parse_str($_SERVER['QUERY_STRING'] ?? $argv[1] ?? '', $query);

$rule = ['limit' => $query['limit'] ?? 1000, 'window' => 86400, 'algorithm' => 'fixed_window'];
$limiter = new SLBP_Rate_Limiter(['backend' => 'shm', 'limits' => ['general' => $rule]]);
$client = $query['client'] ?? 'user:1';

$check = ($query['do'] ?? 'check') === 'check' ? $limiter->check_rate_limit($client) : $limiter->peek_rate_limit($client);

echo json_encode($check + ['pid' => getmypid(), 'info' => slbp_info()]), "\n";
