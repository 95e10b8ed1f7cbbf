<?php
/**
 * PHP sessions of other plugins, kept by the extension: nothing here begins one.
 *
 * @package SLBP
 */

/**
 * Has sessions kept where the option slbp_session_handler says, and requests of the REST API and of admin-ajax run
 * beside each other: an open session that one of them waits for would hold up the loopback requests that Site Health makes.
 */
function slbp_init_sessions(): void {
	if ( '' === ini_get( 'slbp.session_mode' ) && slbp_is_background_request() ) {
		ini_set( 'slbp.session_mode', 'optimistic' ); // phpcs:ignore WordPress.PHP.IniSet -- Ours, and made to be set.
	}
	if ( '' === (string) get_option( 'slbp_session_handler', '' ) ) {
		return;
	}
	try {
		SLBP_Plugin::get_instance()->get_scalability_manager()->init_session_management();
	} catch ( SLBP_Exception $exception ) {
		error_log( 'SLBP: sessions are kept as php.ini says: ' . $exception->getMessage() );
	}
}

/**
 * Whether this is a request that a page makes beside others: REST_REQUEST is defined too late to be asked.
 */
function slbp_is_background_request(): bool {
	if ( wp_doing_ajax() || wp_doing_cron() || isset( $_GET['rest_route'] ) ) { // phpcs:ignore WordPress.Security.NonceVerification -- Nothing is done with it.
		return true;
	}
	$path = (string) wp_parse_url( $_SERVER['REQUEST_URI'] ?? '', PHP_URL_PATH ); // phpcs:ignore WordPress.Security -- Only looked at.
	return str_contains( $path, '/' . rest_get_url_prefix() . '/' );
}

/**
 * The handler of the sessions that this site uses: php.ini's, else the option's.
 *
 * @throws SLBP_Exception When its settings are wrong.
 */
function slbp_session_handler(): SLBP_Session_Handler {
	if ( 'slbp' === ini_get( 'session.save_handler' ) ) {
		return new SLBP_Session_Handler( array( 'save_path' => (string) ini_get( 'session.save_path' ) ) );
	}
	$chosen = (string) get_option( 'slbp_session_handler', '' );
	return new SLBP_Session_Handler( '' === $chosen ? array() : array( 'handler' => $chosen ) );
}
