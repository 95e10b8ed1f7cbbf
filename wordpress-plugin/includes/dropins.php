<?php
/**
 * WordPress' drop-ins: files that it loads from wp-content before any plugin.
 *
 * One that is already there and is not ours stays: the site's owner or another plugin put it there.
 *
 * @package SLBP
 */

/**
 * On activation.
 */
function slbp_install_dropins(): void {
	foreach ( glob( dirname( SLBP_PLUGIN_FILE ) . '/dropins/*.php' ) as $source ) {
		$target = WP_CONTENT_DIR . '/' . basename( $source );
		if ( ( ! file_exists( $target ) || slbp_owns_dropin( $target ) ) && ! copy( $source, $target ) ) {
			error_log( "SLBP: could not write $target" );
		}
	}
}

/**
 * On deactivation.
 */
function slbp_remove_dropins(): void {
	foreach ( glob( dirname( SLBP_PLUGIN_FILE ) . '/dropins/*.php' ) as $source ) {
		$target = WP_CONTENT_DIR . '/' . basename( $source );
		if ( file_exists( $target ) && slbp_owns_dropin( $target ) ) {
			unlink( $target );
		}
	}
}

/**
 * Whether this plugin wrote the file.
 */
function slbp_owns_dropin( string $file ): bool {
	return str_contains( (string) file_get_contents( $file, false, null, 0, 400 ), 'SLBP drop-in' );
}
