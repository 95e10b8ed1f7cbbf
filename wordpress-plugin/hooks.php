<?php
/**
 * Every hook of the plugin, and nothing else: what runs when is read here.
 *
 * @package SLBP
 */

register_activation_hook( SLBP_PLUGIN_FILE, 'slbp_install_dropins' );

// The object cache: its file, its page, what Site Health says, its command.
add_action( 'admin_init', 'slbp_update_object_cache' );
add_action( 'admin_menu', 'slbp_add_object_cache_page' );
add_action( 'admin_post_slbp_object_cache', 'slbp_press_object_cache_button' );
add_filter( 'site_status_tests', 'slbp_add_site_health_test' );
add_filter( 'debug_information', 'slbp_add_debug_information' );
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require __DIR__ . '/includes/class-slbp-cache-command.php';
	WP_CLI::add_command( 'slbp cache', 'SLBP_Cache_Command' );
}

// Background tasks: the tick, the routes, the page, the command.
register_deactivation_hook( SLBP_PLUGIN_FILE, 'slbp_unschedule_background_tasks' );
add_filter( 'cron_schedules', 'slbp_add_minute_schedule' );
add_action( 'init', 'slbp_schedule_background_tasks' );
add_action( 'slbp_process_background_tasks', 'slbp_run_background_tasks' );
add_action( 'rest_api_init', 'slbp_register_queue_routes' );
add_action( 'admin_menu', 'slbp_add_queue_page' );
add_action( 'admin_post_slbp_queue', 'slbp_press_queue_button' );
add_action( 'admin_post_slbp_export', 'slbp_send_export' );
add_action( 'admin_post_nopriv_slbp_export', 'slbp_send_export' );
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require __DIR__ . '/includes/class-slbp-queue-command.php';
	WP_CLI::add_command( 'slbp queue', 'SLBP_Queue_Command' );
}

// Health: the page, the button, what Site Health says, the commands. The probes are among the REST routes.
add_action( 'admin_menu', 'slbp_add_health_page' );
add_action( 'admin_post_slbp_drain', 'slbp_press_drain_button' );
add_filter( 'site_status_tests', 'slbp_add_health_test' );
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require __DIR__ . '/includes/class-slbp-health-command.php';
	require __DIR__ . '/includes/class-slbp-drain-command.php';
	WP_CLI::add_command( 'slbp health', 'SLBP_Health_Command' );
	WP_CLI::add_command( 'slbp drain', 'SLBP_Drain_Command' );
}

// Sessions: before any plugin can begin one; this file is read while plugins are loaded.
slbp_init_sessions();
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require __DIR__ . '/includes/class-slbp-sessions-command.php';
	WP_CLI::add_command( 'slbp sessions', 'SLBP_Sessions_Command' );
}

// Queries: kept once an hour, the page, what Site Health says, the commands.
register_deactivation_hook( SLBP_PLUGIN_FILE, 'slbp_unschedule_queries' );
add_action( 'init', 'slbp_schedule_queries' );
add_action( 'slbp_keep_queries', 'slbp_keep_queries' );
add_action( 'admin_menu', 'slbp_add_queries_page' );
add_action( 'admin_post_slbp_queries', 'slbp_press_queries_button' );
add_filter( 'site_status_tests', 'slbp_add_query_test' );
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require __DIR__ . '/includes/class-slbp-queries-command.php';
	require __DIR__ . '/includes/class-slbp-indexes-command.php';
	WP_CLI::add_command( 'slbp queries', 'SLBP_Queries_Command' );
	WP_CLI::add_command( 'slbp indexes', 'SLBP_Indexes_Command' );
}

// REST: routes, limits before the work, headers after it.
add_action( 'rest_api_init', 'slbp_register_rest_routes' );
add_filter( 'rest_pre_dispatch', 'slbp_limit_rest_request', 5, 3 );
add_filter( 'rest_post_dispatch', 'slbp_add_rest_headers', 10, 3 );
add_filter( 'rest_pre_serve_request', 'slbp_stop_charging' );
add_filter( 'rest_exposed_cors_headers', 'slbp_expose_rate_limit_headers' );

// Doors for guessing passwords: refused before WordPress looks at a credential.
add_action( 'login_init', 'slbp_limit_login', 1 );
add_action( 'admin_init', 'slbp_limit_ajax', 1 );
add_filter( 'wp_xmlrpc_server_class', 'slbp_xmlrpc_server_class', 20 );
// Whatever other door there is: a barred address is logged in by none.
add_filter( 'authenticate', 'slbp_refuse_barred_login', 100 );
add_action( 'wp_authenticate_application_password_errors', 'slbp_refuse_barred_application_password' );

// The lists are in force everywhere once their options change, whoever changed them.
foreach ( array( 'add', 'update', 'delete' ) as $slbp_change ) {
	add_action( "{$slbp_change}_option_slbp_rate_limit_whitelist", 'slbp_announce_list_change' );
	add_action( "{$slbp_change}_option_slbp_rate_limit_blacklist", 'slbp_announce_list_change' );
}

// What a visitor does wrong is remembered, and enough of it bans the address.
add_action( 'wp_login_failed', 'slbp_record_failed_login' );
add_action( 'application_password_failed_authentication', 'slbp_record_failed_application_password' );
add_action( 'template_redirect', 'slbp_record_missing_page' );

// Backups: routes, schedule, the page under Tools, WP-CLI.
add_action( 'rest_api_init', 'slbp_register_backup_routes' );
add_action( 'init', 'slbp_end_interrupted_restore', 1 );
add_action( 'init', 'slbp_schedule_backups' );
add_action( 'slbp_daily_backup', 'slbp_make_due_backup' );
add_action( 'slbp_cleanup_old_backups', 'slbp_clean_up_backups' );
register_deactivation_hook( SLBP_PLUGIN_FILE, 'slbp_unschedule_backups' );
add_action( 'admin_menu', 'slbp_add_backup_page' );
add_action( 'admin_post_slbp_backup', 'slbp_handle_backup_action' );
add_action( 'admin_post_slbp_download_backup', 'slbp_download_backup' );
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require_once __DIR__ . '/includes/class-slbp-backup-command.php';
	WP_CLI::add_command( 'slbp backup', 'SLBP_Backup_Command' );
}

// Alerts: looked at when a response is out and by cron; routes, page, Site Health, commands.
add_action( 'shutdown', 'slbp_look_at_alerts_when_due', PHP_INT_MAX );
add_action( 'init', 'slbp_schedule_alerts' );
add_action( 'slbp_check_alerts', 'slbp_look_at_alerts' );
register_deactivation_hook( SLBP_PLUGIN_FILE, 'slbp_unschedule_alerts' );
add_action( 'rest_api_init', 'slbp_register_alert_routes' );
add_action( 'admin_menu', 'slbp_add_alerts_page' );
add_action( 'admin_post_slbp_alerts', 'slbp_press_alerts_button' );
add_filter( 'site_status_tests', 'slbp_add_alerts_health_test' );
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require_once __DIR__ . '/includes/class-slbp-alerts-command.php';
	WP_CLI::add_command( 'slbp alerts', 'SLBP_Alerts_Command' );
	WP_CLI::add_command( 'slbp monitor', 'SLBP_Alerts_Command' );
}

// Assets: what is enqueued, and the page on its way out.
add_filter( 'print_styles_array', 'slbp_bundle_styles' );
add_filter( 'print_scripts_array', 'slbp_bundle_scripts' );
add_filter( 'style_loader_tag', 'slbp_print_style', 9999, 3 );
add_filter( 'script_loader_tag', 'slbp_print_script', 9999, 3 );
add_action( 'template_redirect', 'slbp_collect_page', 9999 );

// Metrics: routes, the text that must stay text, the tick, the page, security events, WP-CLI.
add_action( 'rest_api_init', 'slbp_register_monitoring_routes' );
add_filter( 'rest_pre_serve_request', 'slbp_serve_metrics', 10, 3 );
add_action( 'init', 'slbp_schedule_monitoring' );
add_action( 'admin_menu', 'slbp_add_monitoring_page' );
add_action( 'slbp_collect_metrics', 'slbp_collect_metrics' );
foreach ( array( 'add', 'update', 'delete' ) as $slbp_change ) {
	add_action( "{$slbp_change}_option_slbp_monitoring_ips", 'slbp_announce_monitoring_addresses' );
	add_action( "{$slbp_change}_option_slbp_trusted_proxies", 'slbp_announce_monitoring_addresses' );
}
register_deactivation_hook( SLBP_PLUGIN_FILE, 'slbp_unschedule_monitoring' );
add_action( 'wp_login_failed', 'slbp_count_failed_login' );
add_action( 'application_password_failed_authentication', 'slbp_count_failed_application_password' );
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	require_once __DIR__ . '/includes/class-slbp-metrics-command.php';
	WP_CLI::add_command( 'slbp metrics', 'SLBP_Metrics_Command' );
}
