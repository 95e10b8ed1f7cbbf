<?php

/**
 * A must-use plugin for the tests: a payment gateway that knows each idempotency key and counts how often it is
 * asked, on a connection of its own, and handlers that misbehave.
 */

declare(strict_types=1);

add_filter('slbp_charge_subscription', function (mixed $result, array $subscription, string $key, array $task): array {
    [$host, $socket] = explode(':', DB_HOST);
    $gateway = new mysqli($host, DB_USER, DB_PASSWORD, DB_NAME, 0, $socket);
    $id = (int) $subscription['id'];
    // The test lets so many through, and kills a worker while the others wait.
    while ($gateway->query('SELECT (SELECT COUNT(*) FROM gateway) >= (SELECT most FROM gateway_gate)')->fetch_row()[0]) {
        usleep(20_000);
    }
    $gateway->query("INSERT INTO gateway VALUES ('$key', $id, 1) ON DUPLICATE KEY UPDATE asked = asked + 1");
    return ['success' => true, 'transaction_id' => "ch_$id"];
}, 10, 4);

add_action('slbp_register_task_handlers', function (SLBP_Background_Processor $queue): void {
    $queue->register_handler('greet', function (array $data): bool {
        update_option('greeted', $data['name']);
        return true;
    });
    $queue->register_handler('fails', fn(): bool => false);
    $queue->register_handler('dies', function (): void {
        wp_die('a page in the middle of a task');
    });
});

add_filter('slbp_process_custom_background_task', function (mixed $done, string $type, array $data): mixed {
    return $type === 'custom' ? update_option('customized', $data['n']) : $done;
}, 10, 3);

add_filter('slbp_sync_external_data', fn(mixed $done, array $data): mixed => new WP_Error('crm', "no {$data['system']} today"), 10, 2);
