<?php
/**
 * The object cache: switched on and off, kept up to date, and what there is to say about it.
 *
 * Its one setting is whether our object-cache.php stands in wp-content.
 *
 * @package SLBP
 */

define( 'SLBP_OBJECT_CACHE', 'object-cache.php' );

/**
 * Switches it on. What an earlier time has left behind is forgotten.
 *
 * @return string As slbp_write_dropin().
 */
function slbp_enable_object_cache(): string {
	$failure = slbp_write_dropin( SLBP_OBJECT_CACHE );
	if ( '' === $failure ) {
		slbp_flush_object_cache();
	}
	return $failure;
}

/**
 * Switches it off.
 *
 * @return string As slbp_remove_dropin().
 */
function slbp_disable_object_cache(): string {
	$failure = slbp_remove_dropin( SLBP_OBJECT_CACHE );
	if ( '' === $failure ) {
		slbp_flush_object_cache();
	}
	return $failure;
}

/**
 * Empties it, whether this request uses it or not.
 */
function slbp_flush_object_cache(): bool {
	try {
		return slbp_uses_object_cache() ? wp_cache_flush() : ( new SLBP_Object_Cache() )->flush();
	} catch ( Throwable $error ) {
		return false;
	}
}

/**
 * On admin_init: an update of the plugin brings its drop-in along.
 */
function slbp_update_object_cache(): void {
	if ( 'outdated' === slbp_dropin_state( SLBP_OBJECT_CACHE ) ) {
		slbp_enable_object_cache();
	}
}

/**
 * Whether this request runs on it.
 */
function slbp_uses_object_cache(): bool {
	return function_exists( 'slbp_native_object_cache' ) && null !== slbp_native_object_cache();
}

/**
 * Counts of every layer; empty where the cache cannot be opened.
 */
function slbp_object_cache_stats(): array {
	try {
		return ( slbp_uses_object_cache() ? slbp_native_object_cache() : new SLBP_Object_Cache() )->stats();
	} catch ( Throwable $error ) {
		return array();
	}
}

/**
 * Whether this process and php-fpm see the same cache: by a server, or by a segment that is a file.
 */
function slbp_object_cache_reaches_all(): bool {
	return 'shm' !== ( slbp_object_cache_stats()['backend'] ?? 'shm' ) || '' !== (string) ini_get( 'slbp.shm_path' );
}

/**
 * One sentence about it.
 */
function slbp_describe_object_cache(): string {
	switch ( slbp_dropin_state( SLBP_OBJECT_CACHE ) ) {
		case 'absent':
			return __( 'The object cache is off.', 'slbp' );
		case 'foreign':
			return slbp_dropin_failure( 'foreign', SLBP_OBJECT_CACHE );
		case 'outdated':
			return __( 'The object cache is on, with a file of another version of the plugin.', 'slbp' );
	}
	return slbp_uses_object_cache()
		? __( 'The object cache is on.', 'slbp' )
		: __( 'The object cache is installed and cannot be used; a notice or the log says why.', 'slbp' );
}

/**
 * Who may switch it: the file serves every site of a network.
 */
function slbp_can_switch_object_cache(): bool {
	return current_user_can( is_multisite() ? 'manage_network_options' : 'manage_options' );
}
