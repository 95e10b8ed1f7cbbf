<?php
/**
 * How a refused request is told so.
 *
 * @package SLBP
 */

/**
 * The HTTP status of a refused check: a list or a ban is a no, a limit is a not yet.
 */
function slbp_refusal_status( array $check ): int {
	return 'blacklist' === $check['reason'] ? 403 : 429;
}

/**
 * A sentence for the person on the other side.
 */
function slbp_refusal_message( array $check ): string {
	if ( 403 === slbp_refusal_status( $check ) ) {
		return __( 'Access from your address is not allowed.', 'slbp' );
	}
	/* translators: %d: number of seconds */
	return sprintf( _n( 'Too many requests. Try again in %d second.', 'Too many requests. Try again in %d seconds.', $check['retry_after'], 'slbp' ), $check['retry_after'] );
}

/**
 * Sends status and headers of a refused check; the body is the caller's.
 */
function slbp_send_refusal_headers( array $check ): void {
	status_header( slbp_refusal_status( $check ) );
	nocache_headers();
	foreach ( slbp_rate_limiter()->get_rate_limit_headers( $check ) as $name => $value ) {
		header( "$name: $value" );
	}
}

/**
 * Ends a page request with the refusal as a page.
 */
function slbp_end_with_refusal( array $check ): void {
	slbp_send_refusal_headers( $check );
	wp_die(
		esc_html( slbp_refusal_message( $check ) ),
		esc_html( get_status_header_desc( slbp_refusal_status( $check ) ) ),
		array( 'response' => slbp_refusal_status( $check ) )
	);
}
