<?php
/**
 * Alerts: when they are looked at, their REST routes, and what Site Health says about them.
 *
 * @package SLBP
 */

/**
 * On shutdown, the last thing of a request: once in slbp.alert_interval seconds one looks, when its visitor has the
 * answer. Where the answer cannot be sent first, cron looks.
 */
function slbp_look_at_alerts_when_due(): void {
	if ( ! function_exists( 'fastcgi_finish_request' ) || ! slbp_alerts_due() ) {
		return;
	}
	if ( PHP_SESSION_ACTIVE === session_status() ) {
		session_write_close();
	}
	fastcgi_finish_request();
	slbp_look_at_alerts();
}

/**
 * On slbp_check_alerts, and where an administrator or the command line asks for it.
 */
function slbp_look_at_alerts(): array {
	return slbp_monitoring_manager()?->check_alerts() ?? array();
}

/**
 * On init: also after an update, or when somebody has emptied the cron option.
 */
function slbp_schedule_alerts(): void {
	if ( ! wp_next_scheduled( 'slbp_check_alerts' ) ) {
		wp_schedule_event( time(), 'slbp_minute', 'slbp_check_alerts' );
	}
}

/**
 * On deactivation.
 */
function slbp_unschedule_alerts(): void {
	wp_clear_scheduled_hook( 'slbp_check_alerts' );
	slbp_forget_alerts();
}

/**
 * On rest_api_init.
 */
function slbp_register_alert_routes(): void {
	slbp_register_rest_route( '/alerts', 'GET', 'slbp_may_see_metrics', static fn( $request ) => slbp_answer_from_alerts( 'get_alerts', $request ) );
	slbp_register_rest_route( '/alerts/config', 'GET, POST, DELETE', 'slbp_can_manage', static fn( $request ) => slbp_answer_from_alerts( 'manage_alert_config', $request ) );
}

/**
 * Hands the request to a method of the component.
 */
function slbp_answer_from_alerts( string $method, WP_REST_Request $request ): mixed {
	return slbp_monitoring_manager()?->$method( $request ) ?? new WP_Error( 'slbp_alerts_off', __( 'Alerts are off; the log says why.', 'slbp' ), array( 'status' => 503 ) );
}

/**
 * What GET /alerts would say, as an array.
 */
function slbp_alerts_now( int $history = 0 ): array {
	$request = new WP_REST_Request( 'GET', '/' . SLBP_REST_NAMESPACE . '/alerts' );
	if ( $history > 0 ) {
		$request->set_param( 'history', $history );
	}
	return (array) slbp_monitoring_manager()?->get_alerts( $request )->get_data();
}

/**
 * On site_status_tests.
 */
function slbp_add_alerts_health_test( array $tests ): array {
	$tests['direct']['slbp_alerts'] = array(
		'label' => __( 'SLBP alerts', 'slbp' ),
		'test'  => 'slbp_test_alerts',
	);
	return $tests;
}

/**
 * The test: critical while something fires, and a recommendation where nobody would be told.
 */
function slbp_test_alerts(): array {
	$now     = slbp_alerts_now();
	$firing  = array_filter( $now['alerts'] ?? array(), static fn( $alert ) => 'firing' === $alert['state'] );
	$is_told = array_filter( $now['rules'] ?? array(), static fn( $rule ) => $rule['enabled'] && $rule['receivers'] );
	if ( $firing ) {
		list( $status, $label ) = array( 'critical', __( 'An alert is firing', 'slbp' ) );
	} elseif ( ! $is_told ) {
		list( $status, $label ) = array( 'recommended', __( 'Nobody is told when something is wrong', 'slbp' ) );
	} else {
		list( $status, $label ) = array( 'good', __( 'No alert is firing', 'slbp' ) );
	}
	$messages = $firing ? array_column( $firing, 'message' ) : array( __( 'Alerts tell you when memory runs short, the database cannot be reached, or whatever else you watch.', 'slbp' ) );
	return array(
		'test'        => 'slbp_alerts',
		'label'       => $label,
		'status'      => $status,
		'badge'       => array(
			'label' => __( 'Performance', 'slbp' ),
			'color' => 'blue',
		),
		'description' => '<p>' . esc_html( implode( ' ', $messages ) ) . '</p>',
		'actions'     => sprintf( '<p><a href="%s">%s</a></p>', esc_url( slbp_alerts_page_url() ), esc_html__( 'Alerts', 'slbp' ) ),
	);
}
