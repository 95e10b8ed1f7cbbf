<?php
/**
 * The probes a load balancer asks: none tells a version, a path or a host.
 *
 * While the database is away WordPress ends before any plugin loads; dropins/db-error.php then
 * answers the same three routes.
 *
 * @package SLBP
 */

/**
 * GET /live: this process answers. Depends on nothing.
 */
function slbp_live(): WP_REST_Response {
	return slbp_probe_response( true, 'alive' );
}

/**
 * GET /ready: send traffic here. No while the database does not answer or the node is being drained.
 */
function slbp_ready(): WP_REST_Response {
	$checks = array(
		'database' => slbp_database_answers(),
		'draining' => (bool) get_option( 'slbp_draining', false ),
	);
	$ready  = $checks['database'] && ! $checks['draining'];
	return slbp_probe_response( $ready, $ready ? 'ready' : 'not_ready', array( 'checks' => $checks ) );
}

/**
 * GET /health: the site works for a visitor.
 */
function slbp_health(): WP_REST_Response {
	$healthy = slbp_database_answers();
	return slbp_probe_response( $healthy, $healthy ? 'healthy' : 'unhealthy' );
}

/**
 * 200 or 503, never cached.
 */
function slbp_probe_response( bool $good, string $status, array $more = array() ): WP_REST_Response {
	$body     = array( 'status' => $status ) + $more + array( 'timestamp' => gmdate( 'c' ) );
	$response = new WP_REST_Response( $body, $good ? 200 : 503 );
	$response->header( 'Cache-Control', 'no-store' );
	return $response;
}

/**
 * Whether the database answers a query now.
 */
function slbp_database_answers(): bool {
	global $wpdb;
	$shown    = $wpdb->suppress_errors( true );
	$answered = '1' === $wpdb->get_var( 'SELECT 1' );
	$wpdb->suppress_errors( $shown );
	return $answered;
}
