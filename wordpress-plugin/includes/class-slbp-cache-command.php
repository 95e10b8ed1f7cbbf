<?php
/**
 * The command `wp slbp cache`.
 *
 * @package SLBP
 */

/**
 * Manages the object cache.
 */
class SLBP_Cache_Command {
	/**
	 * Says whether the object cache is on, and what stands behind it.
	 */
	public function status(): void {
		WP_CLI::line( slbp_describe_object_cache() );
		WP_CLI::line( 'Drop-in: ' . slbp_dropin_state( SLBP_OBJECT_CACHE ) );
		WP_CLI::line( 'Backend: ' . ( slbp_object_cache_stats()['backend'] ?? 'none' ) );
		WP_CLI::line( 'Shared with php-fpm: ' . ( slbp_object_cache_reaches_all() ? 'yes' : 'no (set slbp.shm_path, or use Redis or Memcached)' ) );
	}

	/**
	 * Switches the object cache on.
	 */
	public function enable(): void {
		$this->finish( slbp_enable_object_cache(), 'The object cache is on.' );
	}

	/**
	 * Switches the object cache off.
	 */
	public function disable(): void {
		$this->finish( slbp_disable_object_cache(), 'The object cache is off.' );
	}

	/**
	 * Empties the object cache of this site.
	 */
	public function flush(): void {
		slbp_flush_object_cache() ? WP_CLI::success( 'The object cache is empty.' ) : WP_CLI::error( 'The object cache could not be emptied.' );
	}

	/**
	 * Empties one group of the object cache.
	 *
	 * ## OPTIONS
	 *
	 * <group>
	 * : The group, e.g. posts.
	 *
	 * @subcommand flush-group
	 */
	public function flush_group( array $arguments ): void {
		wp_cache_flush_group( $arguments[0] ) ? WP_CLI::success( "Group $arguments[0] is empty." ) : WP_CLI::error( "Group $arguments[0] could not be emptied." );
	}

	/**
	 * Shows the counts of every layer.
	 */
	public function stats(): void {
		foreach ( slbp_flat_object_cache_stats() as $name => $value ) {
			WP_CLI::line( "$name: $value" );
		}
	}

	/**
	 * Ends with the message, or with what stood in the way.
	 */
	private function finish( string $failure, string $message ): void {
		'' === $failure ? WP_CLI::success( $message ) : WP_CLI::error( slbp_dropin_failure( $failure, SLBP_OBJECT_CACHE ) );
	}
}
