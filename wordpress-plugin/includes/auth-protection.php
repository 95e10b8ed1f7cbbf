<?php
/**
 * The doors through which passwords are guessed, and what is remembered of whoever tries.
 *
 * @package SLBP
 */

/**
 * On login_init: a login that is over the limit ends before WordPress looks at the password.
 */
function slbp_limit_login(): void {
	if ( 'POST' !== ( $_SERVER['REQUEST_METHOD'] ?? '' ) ) {
		return;
	}
	$refused = slbp_refused_check( 'login' );
	if ( null !== $refused ) {
		slbp_end_with_refusal( $refused );
	}
}

/**
 * On admin_init, which admin-ajax.php also runs: visitors are limited. Who is logged in is not,
 * because WordPress' own heartbeat alone would use up the general limit.
 */
function slbp_limit_ajax(): void {
	if ( wp_doing_ajax() && ! is_user_logged_in() ) {
		slbp_rate_limiter()?->check_ajax_rate_limit();
	}
}

/**
 * On wp_xmlrpc_server_class: counts each call, unless another plugin has brought its own server.
 */
function slbp_xmlrpc_server_class( string $server_class ): string {
	if ( 'wp_xmlrpc_server' !== $server_class || null === slbp_rate_limiter() ) {
		return $server_class;
	}
	require_once __DIR__ . '/class-slbp-xmlrpc-server.php';
	return 'SLBP_XMLRPC_Server';
}

/**
 * On authenticate, after the passwords: a barred address gets in by no door, not even with the right one.
 */
function slbp_refuse_barred_login( mixed $user ): mixed {
	return slbp_barred_error() ?? $user;
}

/**
 * On wp_authenticate_application_password_errors: the same for REST, which asks no `authenticate` filter.
 */
function slbp_refuse_barred_application_password( WP_Error $error ): void {
	$barred = slbp_barred_error();
	if ( null !== $barred ) {
		$error->add( $barred->get_error_code(), $barred->get_error_message(), $barred->get_error_data() );
	}
}

/**
 * Why the visitor's address may not log in; null when it may. Being over a limit is no reason.
 */
function slbp_barred_error(): ?WP_Error {
	$client = slbp_client_address();
	$check  = null === $client ? null : slbp_rate_limiter()->peek_rate_limit( $client, 'login' );
	if ( null === $check || ! in_array( $check['reason'], array( 'banned', 'blacklist' ), true ) ) {
		return null;
	}
	return new WP_Error( 'slbp_barred', slbp_refusal_message( $check ), array( 'status' => slbp_refusal_status( $check ) ) );
}

/**
 * On wp_login_failed. The name that was tried goes along: many names from one address weigh more.
 */
function slbp_record_failed_login( string $username ): void {
	$client = slbp_client_address();
	if ( null !== $client ) {
		slbp_rate_limiter()->record_failed_login( $client, $username );
	}
}

/**
 * On application_password_failed_authentication.
 */
function slbp_record_failed_application_password(): void {
	slbp_record_violation( 'failed_login' );
}

/**
 * On template_redirect: someone looks for pages that are not there. A missing image or stylesheet is
 * the site's fault, not its visitor's.
 */
function slbp_record_missing_page(): void {
	$path = (string) wp_parse_url( $_SERVER['REQUEST_URI'] ?? '', PHP_URL_PATH );
	if ( is_404() && ! is_user_logged_in() && ! preg_match( '/\.(avif|css|gif|ico|jpe?g|js|map|png|svg|webp|woff2?|txt|xml)$/i', $path ) ) {
		slbp_record_violation( 'not_found' );
	}
}
