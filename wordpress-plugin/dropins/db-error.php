<?php
/**
 * SLBP drop-in: what WordPress shows while its database does not answer.
 *
 * The probes still tell a load balancer the truth: this process lives (200), and must get no traffic
 * (503). Everything else is a 503 that search engines and caches understand as temporary.
 *
 * @package SLBP
 */

if ( ! defined( 'ABSPATH' ) ) {
	exit;
}

$slbp_route = $_GET['rest_route'] ?? parse_url( $_SERVER['REQUEST_URI'] ?? '/', PHP_URL_PATH );
$slbp_probe = preg_match( '#/skylearn-billing-pro/v1/(live|ready|health)/?$#', (string) $slbp_route, $slbp_found ) ? $slbp_found[1] : null;

header( 'Cache-Control: no-store' );
if ( 'live' !== $slbp_probe ) {
	http_response_code( 503 );
	header( 'Retry-After: 10' );
}
if ( null === $slbp_probe ) {
	header( 'Content-Type: text/html; charset=utf-8' );
	echo '<!doctype html><title>Temporarily unavailable</title><h1>Temporarily unavailable</h1><p>Please try again in a moment.</p>';
	return;
}

header( 'Content-Type: application/json' );
$slbp_answers = array(
	'live'   => array( 'status' => 'alive' ),
	'ready'  => array(
		'status' => 'not_ready',
		'checks' => array( 'database' => 'unhealthy' ),
	),
	'health' => array(
		'status' => 'unhealthy',
		'checks' => array( 'database' => 'unhealthy' ),
	),
);
echo json_encode( $slbp_answers[ $slbp_probe ] + array( 'timestamp' => gmdate( 'c' ) ) );
