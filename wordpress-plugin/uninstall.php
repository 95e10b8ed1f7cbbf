<?php
/**
 * Removes what only this plugin uses, its drop-ins first. The limits and lists may belong to the billing plugin as well,
 * so they go only when wp-config.php says so: define( 'SLBP_REMOVE_DATA', true ).
 *
 * @package SLBP
 */

if ( ! defined( 'WP_UNINSTALL_PLUGIN' ) ) {
	exit;
}

require_once __DIR__ . '/includes/dropins.php';
slbp_remove_dropins();

$slbp_options = array( 'slbp_rate_limit_all_rest', 'slbp_draining', 'slbp_rate_limit_lists_revision', 'slbp_asset_config', 'slbp_kept_queries', 'slbp_index_advice' );
if ( defined( 'SLBP_REMOVE_DATA' ) && SLBP_REMOVE_DATA ) {
	array_push( $slbp_options, 'slbp_rate_limits', 'slbp_rate_limit_whitelist', 'slbp_rate_limit_blacklist', 'slbp_auto_ban_config', 'slbp_trusted_proxies', 'slbp_backup_config', 'slbp_session_handler', 'slbp_alert_config' );
}
array_map( 'delete_option', $slbp_options );
if ( defined( 'SLBP_REMOVE_DATA' ) && SLBP_REMOVE_DATA ) {
	global $wpdb;
	$wpdb->query( "DROP TABLE IF EXISTS {$wpdb->prefix}slbp_alerts" );
}
