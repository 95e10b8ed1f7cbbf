<?php
/**
 * The REST surface as one table: route, methods, who may, what answers.
 *
 * A write that is authenticated by cookie needs WordPress' REST nonce as well: without it WordPress
 * treats the request as anonymous, and `slbp_can_manage` says no.
 *
 * @package SLBP
 */

/**
 * Routes that a load balancer asks every few seconds, never limited: who may, and the method that answers.
 */
function slbp_probe_routes(): array {
	return array(
		'/health'          => array( '__return_true', 'health_check' ),
		'/ready'           => array( '__return_true', 'readiness_check' ),
		'/live'            => array( '__return_true', 'liveness_check' ),
		'/health/detailed' => array( 'slbp_may_see_health', 'detailed_health_check' ),
	);
}

/**
 * Routes that a method of the rate limiter answers.
 */
function slbp_rate_limit_routes(): array {
	return array(
		array( '/rate-limit/status', 'GET', 'is_user_logged_in', 'get_rate_limit_status' ),
		array( '/rate-limit/config', 'GET, POST, DELETE', 'slbp_can_manage', 'manage_rate_limit_config' ),
		array( '/rate-limit/whitelist', 'GET, POST, DELETE', 'slbp_can_manage', 'manage_whitelist' ),
		array( '/rate-limit/blacklist', 'GET, POST, DELETE', 'slbp_can_manage', 'manage_blacklist' ),
	);
}

/**
 * Registers them.
 */
function slbp_register_rest_routes(): void {
	foreach ( slbp_probe_routes() as $route => list( $permission, $method ) ) {
		slbp_register_rest_route( $route, 'GET', $permission, static fn( $request ) => slbp_answer_probe( $method, $request ) );
	}
	slbp_register_rest_route( '/health/site-health', 'GET', 'slbp_may_see_site_health', 'slbp_test_health' );
	slbp_register_rest_route( '/health/drain', 'GET, POST, DELETE', 'slbp_can_manage', 'slbp_answer_drain' );
	foreach ( slbp_rate_limit_routes() as list( $route, $methods, $permission, $method ) ) {
		slbp_register_rest_route( $route, $methods, $permission, static fn( $request ) => slbp_answer_from_limiter( $method, $request ) );
	}
}

/**
 * Registers one route in the plugin's namespace.
 */
function slbp_register_rest_route( string $route, string $methods, string $permission, callable $callback ): void {
	register_rest_route(
		SLBP_REST_NAMESPACE,
		$route,
		array(
			'methods'             => $methods,
			'permission_callback' => $permission,
			'callback'            => $callback,
		)
	);
}

/**
 * Hands the request to a method of the rate limiter; what the method calls a misuse is a 400 here.
 */
function slbp_answer_from_limiter( string $method, WP_REST_Request $request ): mixed {
	try {
		return slbp_rate_limiter()?->$method( $request ) ?? new WP_Error( 'slbp_limiter_off', __( 'The rate limiter is off; the log says why.', 'slbp' ), array( 'status' => 503 ) );
	} catch ( SLBP_InvalidArgumentException $exception ) {
		return new WP_Error( 'slbp_invalid', $exception->getMessage(), array( 'status' => 400 ) );
	}
}

/**
 * Whether the current user runs this site.
 */
function slbp_can_manage(): bool {
	return current_user_can( 'manage_options' );
}
