<?php
/**
 * WordPress' drop-ins: files that it loads from wp-content before any plugin.
 *
 * One that is already there and is not ours stays: the site's owner or another plugin put it there.
 * Loaded on any PHP and without the extension, so that deactivation and removal clean up everywhere.
 *
 * @package SLBP
 */

/**
 * On activation. The object cache is not among them: it is switched on by itself, see object-cache.php.
 */
function slbp_install_dropins(): void {
	$failure = slbp_write_dropin( 'db-error.php' );
	if ( 'unwritable' === $failure ) {
		error_log( 'SLBP: ' . slbp_dropin_failure( $failure, 'db-error.php' ) );
	}
}

/**
 * On deactivation and removal.
 */
function slbp_remove_dropins(): void {
	foreach ( array( 'db-error.php', 'object-cache.php' ) as $name ) {
		slbp_remove_dropin( $name );
	}
}

/**
 * Puts our drop-in of that name in place, at once and whole: a request sees the old file or the new one.
 *
 * @return string What stood in the way: 'foreign', 'unwritable', or '' for nothing.
 */
function slbp_write_dropin( string $name ): string {
	if ( 'foreign' === slbp_dropin_state( $name ) ) {
		return 'foreign';
	}
	$target = slbp_dropin_target( $name );
	$new    = "$target." . bin2hex( random_bytes( 6 ) );
	$done   = @copy( slbp_dropin_source( $name ), $new ) && chmod( $new, 0644 & ~umask() ) && @rename( $new, $target );
	if ( ! $done ) {
		@unlink( $new );
		return 'unwritable';
	}
	slbp_forget_compiled( $target );
	return '';
}

/**
 * Removes the drop-in of that name if it is ours.
 *
 * @return string As slbp_write_dropin().
 */
function slbp_remove_dropin( string $name ): string {
	$state = slbp_dropin_state( $name );
	if ( 'absent' === $state || 'foreign' === $state ) {
		return 'absent' === $state ? '' : 'foreign';
	}
	$target = slbp_dropin_target( $name );
	if ( ! @unlink( $target ) ) {
		return 'unwritable';
	}
	slbp_forget_compiled( $target );
	return '';
}

/**
 * What stands in wp-content under that name: 'absent', 'foreign', 'outdated' (ours, another version) or 'current'.
 */
function slbp_dropin_state( string $name ): string {
	$target = slbp_dropin_target( $name );
	clearstatcache( true, $target );
	if ( ! file_exists( $target ) ) {
		return 'absent';
	}
	if ( ! slbp_owns_dropin( $target ) ) {
		return 'foreign';
	}
	return md5_file( $target ) === md5_file( slbp_dropin_source( $name ) ) ? 'current' : 'outdated';
}

/**
 * Whether this plugin wrote the file.
 */
function slbp_owns_dropin( string $file ): bool {
	return false !== strpos( (string) @file_get_contents( $file, false, null, 0, 400 ), 'SLBP drop-in' );
}

/**
 * A sentence for what slbp_write_dropin() or slbp_remove_dropin() returned.
 */
function slbp_dropin_failure( string $failure, string $name ): string {
	$target = slbp_dropin_target( $name );
	if ( 'foreign' === $failure ) {
		/* translators: %s: path of a file */
		return sprintf( __( '%s belongs to another plugin or to the site, and is left alone. Switch that one off first.', 'slbp' ), $target );
	}
	/* translators: 1: path of a file, 2: path of a folder */
	return sprintf( __( '%1$s cannot be written: give the web server the right to write in %2$s, or copy or delete the file by hand.', 'slbp' ), $target, dirname( $target ) );
}

/**
 * Our copy.
 */
function slbp_dropin_source( string $name ): string {
	return dirname( __DIR__ ) . "/dropins/$name";
}

/**
 * Where WordPress looks for it.
 */
function slbp_dropin_target( string $name ): string {
	return WP_CONTENT_DIR . "/$name";
}

/**
 * Makes the next request read the file again.
 */
function slbp_forget_compiled( string $file ): void {
	clearstatcache( true, $file );
	if ( function_exists( 'opcache_invalidate' ) ) {
		@opcache_invalidate( $file, true );
	}
}
