<?php
/**
 * Rate limits on REST requests that came over HTTP.
 *
 * Charged are the request itself and, for /batch/v1, each request inside it. Not charged are the
 * probes, who may see metrics and reads them, the requests WordPress makes to itself while it builds a page, and what `_embed` adds to
 * an answer that has been paid for.
 *
 * @package SLBP
 */

/**
 * On rest_pre_dispatch: answers instead of the route when the client is over its limit.
 */
function slbp_limit_rest_request( mixed $result, WP_REST_Server $server, WP_REST_Request $request ): mixed {
	if ( null !== $result || ! slbp_is_charged( $request ) ) {
		return $result;
	}
	return slbp_rate_limiter()?->check_rest_rate_limit( $result, $server, $request );
}

/**
 * On rest_post_dispatch: tells the client how much is left.
 */
function slbp_add_rest_headers( WP_HTTP_Response $response, WP_REST_Server $server, WP_REST_Request $request ): WP_HTTP_Response {
	$limiter = slbp_rate_limiter();
	if ( null === $limiter || ! slbp_is_charged( $request ) || isset( $response->get_headers()['RateLimit'] ) ) {
		return $response;
	}
	$check = $limiter->peek_rate_limit( $limiter->get_client_identifier( $request ), $request->get_route() );
	foreach ( $limiter->get_rate_limit_headers( $check ) as $name => $value ) {
		$response->header( $name, $value );
	}
	return $response;
}

/**
 * On rest_pre_serve_request: the answer is there; what `_embed` fetches into it from now on is free.
 */
function slbp_stop_charging( bool $served ): bool {
	remove_filter( 'rest_pre_dispatch', 'slbp_limit_rest_request', 5 );
	remove_filter( 'rest_post_dispatch', 'slbp_add_rest_headers' );
	return $served;
}

/**
 * On rest_exposed_cors_headers: a script on another origin may read them too.
 */
function slbp_expose_rate_limit_headers( array $headers ): array {
	return array_merge( $headers, array( 'RateLimit', 'RateLimit-Policy', 'Retry-After' ) );
}

/**
 * Whether this request counts against the client: this plugin's routes always, the others by option.
 */
function slbp_is_charged( WP_REST_Request $request ): bool {
	if ( ! wp_is_serving_rest_request() ) {
		return false;
	}
	$namespace = '/' . SLBP_REST_NAMESPACE;
	$route     = strtolower( $request->get_route() ); // WordPress finds a route's handler in any case.
	if ( str_starts_with( $route, "$namespace/" ) ) {
		return ! isset( slbp_probe_routes()[ substr( $route, strlen( $namespace ) ) ] ) && ! slbp_is_watching_backup( $request ) && ! slbp_is_scraping( $request );
	}
	return (bool) get_option( 'slbp_rate_limit_all_rest', false );
}
