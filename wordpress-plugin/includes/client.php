<?php
/**
 * Who is asking, and what is remembered about them.
 *
 * @package SLBP
 */

/**
 * The client id of the visitor's address; null on the command line. Credentials are charged to the
 * address whoever is logged in, or an account of one's own would be a licence to guess others'.
 */
function slbp_client_address(): ?string {
	$id = (string) slbp_rate_limiter()?->get_address_identifier();
	return '' === $id ? null : $id;
}

/**
 * Spends one unit of the visitor's address on `$endpoint`.
 *
 * @return array|null The check when it was refused, null when the visitor may go on.
 */
function slbp_refused_check( string $endpoint ): ?array {
	$client = slbp_client_address();
	if ( null === $client ) {
		return null;
	}
	$check = slbp_rate_limiter()->check_rate_limit( $client, $endpoint );
	if ( $check['allowed'] ) {
		return null;
	}
	slbp_rate_limiter()->record_violation( $client, 'denied' );
	return $check;
}

/**
 * Remembers that the visitor's address did something wrong.
 */
function slbp_record_violation( string $kind ): void {
	$client = slbp_client_address();
	if ( null !== $client ) {
		slbp_rate_limiter()->record_violation( $client, $kind );
	}
}

/**
 * On update_option of a list: every php-fpm master that serves this site reads the lists again, because
 * the option that says which state of them is current has changed.
 */
function slbp_announce_list_change(): void {
	update_option( 'slbp_rate_limit_lists_revision', bin2hex( random_bytes( 8 ) ) );
}
