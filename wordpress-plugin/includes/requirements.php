<?php
/**
 * The version gate. Parses on PHP 7 and uses nothing of the extension.
 *
 * @package SLBP
 */

define( 'SLBP_MINIMUM_PHP', '8.1' );
define( 'SLBP_MINIMUM_EXTENSION', '0.1.0' );

/**
 * What keeps the plugin from loading.
 *
 * @return string A sentence for an administrator, or '' when everything is there.
 */
function slbp_missing_requirement() {
	if ( version_compare( PHP_VERSION, SLBP_MINIMUM_PHP, '<' ) ) {
		return sprintf( 'SLBP needs PHP %s or newer; this site runs %s.', SLBP_MINIMUM_PHP, PHP_VERSION );
	}
	if ( ! extension_loaded( 'slbp' ) ) {
		return 'SLBP is not active: the PHP extension slbp is not loaded. Add the line extension=slbp.so to php.ini and restart php-fpm.';
	}
	if ( version_compare( phpversion( 'slbp' ), SLBP_MINIMUM_EXTENSION, '<' ) ) {
		return sprintf( 'SLBP needs the extension slbp %s or newer; version %s is loaded.', SLBP_MINIMUM_EXTENSION, phpversion( 'slbp' ) );
	}
	if ( '' === slbp_container_file() ) {
		return 'This copy of SLBP is incomplete: install slbp-plugin.zip, which `make package` builds.';
	}
	return '';
}

/**
 * Where SLBP_Plugin comes from: a packed plugin carries it in lib/, in a checkout it stands beside the plugin.
 *
 * @return string The file to require, or '' when it is in neither place.
 */
function slbp_container_file() {
	foreach ( array( __DIR__ . '/../lib/autoload.php', __DIR__ . '/../../php/src/autoload.php' ) as $file ) {
		if ( is_file( $file ) ) {
			return $file;
		}
	}
	return '';
}

/**
 * Tells administrators why the plugin does nothing.
 */
function slbp_show_missing_requirement() {
	if ( current_user_can( 'activate_plugins' ) ) {
		printf( '<div class="notice notice-error"><p>%s</p></div>', esc_html( slbp_missing_requirement() ) );
	}
}
