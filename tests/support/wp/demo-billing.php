<?php

/**
 * A must-use plugin of `make serve`: a thousand subscriptions, a gateway that moves no money, and a page that starts a
 * billing run (Tools > Billing Demo). What it charges it writes into wp_slbp_transactions, once per idempotency key.
 */

declare(strict_types=1);

const DEMO_SUBSCRIPTIONS = 1000;

add_filter('slbp_charge_subscription', function (mixed $result, array $subscription, string $key, array $task): array {
    global $wpdb;
    usleep(50_000);
    $charged = $wpdb->query($wpdb->prepare(
        "INSERT IGNORE INTO {$wpdb->prefix}slbp_transactions (user_id, transaction_id, amount, currency, status)
         VALUES (%d, %s, %s, %s, 'completed')",
        $subscription['user_id'],
        $key,
        $subscription['amount'],
        $subscription['currency']
    ));
    return ['success' => $charged !== false, 'transaction_id' => $key, 'message' => $wpdb->last_error];
}, 10, 4);

add_action('admin_menu', function (): void {
    add_management_page('Billing Demo', 'Billing Demo', 'manage_options', 'slbp-demo', function (): void {
        global $wpdb;
        demo_tables();
        $charges = $wpdb->get_row("SELECT COUNT(*) AS charges, COUNT(DISTINCT user_id) AS users FROM {$wpdb->prefix}slbp_transactions");
        printf(
            '<div class="wrap"><h1>Billing Demo</h1><p>%d charges of %d different subscribers so far.</p>
             <form method="post" action="%s"><input type="hidden" name="action" value="slbp_demo">%s
             <button class="button button-primary">Bill %d subscriptions</button></form>
             <p><a href="%s">Background Tasks</a> shows how far it is. Kill workers meanwhile: nobody is charged twice.</p></div>',
            $charges->charges,
            $charges->users,
            esc_url(admin_url('admin-post.php')),
            wp_nonce_field('slbp_demo', '_wpnonce', true, false),
            DEMO_SUBSCRIPTIONS,
            esc_url(admin_url('tools.php?page=slbp-queue'))
        );
    });
});

add_action('admin_post_slbp_demo', function (): void {
    check_admin_referer('slbp_demo');
    if (!current_user_can('manage_options')) {
        wp_die('', 403);
    }
    global $wpdb;
    demo_tables();
    $wpdb->query("DELETE FROM {$wpdb->prefix}slbp_subscriptions");
    $row = "('active', 19.90, 'EUR', UTC_TIMESTAMP() - INTERVAL 1 HOUR, %d)";
    $rows = array_map(fn(int $n): string => sprintf($row, $n), range(1, DEMO_SUBSCRIPTIONS));
    $wpdb->query("INSERT INTO {$wpdb->prefix}slbp_subscriptions (status, amount, currency, next_billing_date, user_id) VALUES "
        . implode(',', $rows));
    // It moves no money itself, so it may be run again when its worker is killed.
    slbp_background_processor()?->queue_task('billing_run', [], 10, null, ['on_crash' => 'retry']);
    wp_safe_redirect(admin_url('tools.php?page=slbp-queue&task_type=billing_run'));
    exit;
});

/** The billing plugin's tables, where it has not made them. */
function demo_tables(): void
{
    global $wpdb;
    $wpdb->query("CREATE TABLE IF NOT EXISTS {$wpdb->prefix}slbp_subscriptions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY,
        user_id bigint unsigned NOT NULL, subscription_id varchar(100) NOT NULL DEFAULT '', payment_gateway varchar(50) NOT NULL DEFAULT '',
        plan_id varchar(50) NOT NULL DEFAULT '', status varchar(20) NOT NULL, amount decimal(10,2) NOT NULL, currency varchar(3) NOT NULL,
        billing_cycle varchar(20) NOT NULL DEFAULT 'monthly', next_billing_date datetime NULL, expires_at datetime NULL,
        expiry_notified tinyint NOT NULL DEFAULT 0, created_at datetime NOT NULL DEFAULT CURRENT_TIMESTAMP,
        updated_at datetime NULL, KEY user_id (user_id), KEY status (status))");
    $wpdb->query("CREATE TABLE IF NOT EXISTS {$wpdb->prefix}slbp_transactions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY,
        user_id bigint unsigned NOT NULL, order_id varchar(100) NOT NULL DEFAULT '', transaction_id varchar(191) NOT NULL,
        payment_gateway varchar(50) NOT NULL DEFAULT '', amount decimal(10,2) NOT NULL, currency varchar(3) NOT NULL,
        status varchar(20) NOT NULL, course_id bigint unsigned NULL, metadata longtext NULL,
        created_at datetime NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at datetime NULL, UNIQUE KEY transaction_id (transaction_id))");
}
