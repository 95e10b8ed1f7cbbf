<?php
/**
 * Metrics: the component, its REST routes, the tick that asks the database, and what is counted.
 *
 * @package SLBP
 */

/**
 * The site's metrics, or null when their settings cannot be used; the log says why.
 */
function slbp_monitoring_manager(): ?SLBP_Monitoring_Manager {
	static $manager = false;
	if ( false === $manager ) {
		try {
			$manager = SLBP_Plugin::get_instance()->get_monitoring_manager();
		} catch ( SLBP_Exception $exception ) {
			error_log( 'SLBP: monitoring is off: ' . $exception->getMessage() );
			$manager = null;
		}
	}
	return $manager;
}

/**
 * Routes that a method of the monitoring manager answers.
 */
function slbp_monitoring_routes(): array {
	return array(
		array( '/metrics', 'GET', 'slbp_require_monitoring', 'get_prometheus_metrics' ),
		array( '/metrics/dashboard', 'GET', 'slbp_require_monitoring', 'get_dashboard_metrics' ),
	);
}

/**
 * On rest_api_init: registers the table.
 */
function slbp_register_monitoring_routes(): void {
	foreach ( slbp_monitoring_routes() as list( $route, $methods, $permission, $method ) ) {
		slbp_register_rest_route( $route, $methods, $permission, static fn( $request ) => slbp_answer_from_monitoring( $method, $request ) );
	}
}

/**
 * Addresses of slbp_monitoring_ips, who has the token of php.ini, and administrators.
 */
function slbp_may_see_metrics( WP_REST_Request $request ): bool {
	return (bool) slbp_monitoring_manager()?->check_monitoring_permissions( $request );
}

/**
 * The same for a route: whoever may not is told so, logged in or not.
 */
function slbp_require_monitoring( WP_REST_Request $request ): bool|WP_Error {
	return slbp_may_see_metrics( $request ) ? true : new WP_Error( 'rest_forbidden', __( 'You may not see the metrics of this site.', 'slbp' ), array( 'status' => 403 ) );
}

/**
 * Whether someone who may is reading metrics: that is done every few seconds and not charged.
 */
function slbp_is_scraping( WP_REST_Request $request ): bool {
	return str_starts_with( strtolower( $request->get_route() ), '/' . SLBP_REST_NAMESPACE . '/metrics' ) && slbp_may_see_metrics( $request );
}

/**
 * Hands the request to a method of the monitoring manager.
 */
function slbp_answer_from_monitoring( string $method, WP_REST_Request $request ): mixed {
	try {
		return slbp_monitoring_manager()?->$method( $request ) ?? new WP_Error( 'slbp_monitoring_off', __( 'Monitoring is off; the log says why.', 'slbp' ), array( 'status' => 503 ) );
	} catch ( SLBP_InvalidArgumentException $exception ) {
		return new WP_Error( 'slbp_invalid', $exception->getMessage(), array( 'status' => 400 ) );
	}
}

/**
 * On rest_pre_serve_request: metrics leave as the text they are; WordPress would make JSON of them.
 */
function slbp_serve_metrics( bool $served, WP_HTTP_Response $result, WP_REST_Request $request ): bool {
	$is_text = '/' . SLBP_REST_NAMESPACE . '/metrics' === untrailingslashit( $request->get_route() ) && is_string( $result->get_data() );
	if ( $served || ! $is_text ) {
		return $served;
	}
	if ( 'HEAD' !== $request->get_method() ) {
		echo $result->get_data(); // Escaped as its own format demands; it is no HTML.
	}
	return true;
}

/**
 * On init: also after an update, or when somebody has emptied the cron option.
 */
function slbp_schedule_monitoring(): void {
	if ( ! wp_next_scheduled( 'slbp_collect_metrics' ) ) {
		wp_schedule_event( time(), 'slbp_minute', 'slbp_collect_metrics' );
	}
}

/**
 * On deactivation.
 */
function slbp_unschedule_monitoring(): void {
	wp_clear_scheduled_hook( 'slbp_collect_metrics' );
}

/**
 * On slbp_collect_metrics: asks what only the database knows.
 */
function slbp_collect_metrics(): void {
	slbp_monitoring_manager()?->collect_metrics();
}

/**
 * When an option with addresses has changed: what answers before WordPress learns them from a new object.
 */
function slbp_announce_monitoring_addresses(): void {
	try {
		new SLBP_Monitoring_Manager();
	} catch ( SLBP_Exception $exception ) {
		error_log( 'SLBP: monitoring is off: ' . $exception->getMessage() );
	}
}

/**
 * On wp_login_failed.
 */
function slbp_count_failed_login(): void {
	slbp_monitoring_manager()?->record_security_event( 'failed_login' );
}

/**
 * On application_password_failed_authentication.
 */
function slbp_count_failed_application_password(): void {
	slbp_monitoring_manager()?->record_security_event( 'failed_application_password' );
}
