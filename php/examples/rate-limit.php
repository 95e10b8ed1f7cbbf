<?php

/**
 * Limits a client to three calls in ten seconds and shows what the fourth is told.
 *
 *   php -d extension=slbp.so php/examples/rate-limit.php
 */

declare(strict_types=1);

$limiter = new SLBP_Rate_Limiter(['limits' => ['general' => ['limit' => 3, 'window' => 10]]]);

for ($call = 1; $call <= 4; $call++) {
    $check = $limiter->check_rate_limit('user:123');
    printf(
        "call %d: %s, %d of %d left%s\n",
        $call,
        $check['allowed'] ? 'allowed' : 'refused',
        $check['remaining'],
        $check['limit'],
        $check['allowed'] ? '' : ", try again in {$check['retry_after']} s"
    );
}

foreach ($limiter->get_rate_limit_headers($check) as $name => $value) {
    echo "$name: $value\n";
}
