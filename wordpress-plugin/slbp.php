<?php
/**
 * Plugin Name:       SLBP
 * Description:       Wires the native slbp extension to WordPress: an object cache, background tasks, backups, rate limits on REST, login, XML-RPC and admin-ajax, and health probes.
 * Version:           0.1.0
 * Requires at least: 6.5
 * Requires PHP:      8.1
 * License:           GPL-2.0-or-later
 * License URI:       https://www.gnu.org/licenses/gpl-2.0.html
 * Text Domain:       slbp
 *
 * This file only decides whether the plugin may load. Without the extension, or with one that is too
 * old, it shows a notice to administrators and the site goes on as if the plugin were not there.
 * It must parse on PHP 7, so that the notice can be shown at all.
 *
 * @package SLBP
 */

if ( ! defined( 'ABSPATH' ) ) {
	exit;
}

define( 'SLBP_PLUGIN_FILE', __FILE__ );

require __DIR__ . '/includes/requirements.php';
require __DIR__ . '/includes/dropins.php';

register_deactivation_hook( SLBP_PLUGIN_FILE, 'slbp_remove_dropins' );

if ( '' !== slbp_missing_requirement() ) {
	add_action( 'admin_notices', 'slbp_show_missing_requirement' );
	return;
}

define( 'SLBP_REST_NAMESPACE', 'skylearn-billing-pro/v1' );

require slbp_container_file();
require __DIR__ . '/includes/components.php';
require __DIR__ . '/includes/client.php';
require __DIR__ . '/includes/refusal.php';
require __DIR__ . '/includes/health.php';
require __DIR__ . '/includes/health-page.php';
require __DIR__ . '/includes/health-site-health.php';
require __DIR__ . '/includes/rest-routes.php';
require __DIR__ . '/includes/rest-limits.php';
require __DIR__ . '/includes/auth-protection.php';
require __DIR__ . '/includes/sessions.php';
require __DIR__ . '/includes/object-cache.php';
require __DIR__ . '/includes/object-cache-page.php';
require __DIR__ . '/includes/site-health.php';
require __DIR__ . '/includes/backup.php';
require __DIR__ . '/includes/backup-actions.php';
require __DIR__ . '/includes/backup-page.php';
require __DIR__ . '/includes/background-tasks.php';
require __DIR__ . '/includes/exports.php';
require __DIR__ . '/includes/queue-routes.php';
require __DIR__ . '/includes/queue-page.php';
require __DIR__ . '/includes/queries.php';
require __DIR__ . '/includes/queries-page.php';
require __DIR__ . '/includes/monitoring.php';
require __DIR__ . '/includes/monitoring-page.php';
require __DIR__ . '/includes/alerts.php';
require __DIR__ . '/includes/alerts-page.php';
require __DIR__ . '/includes/assets.php';
require __DIR__ . '/includes/asset-bundles.php';
require __DIR__ . '/hooks.php';
