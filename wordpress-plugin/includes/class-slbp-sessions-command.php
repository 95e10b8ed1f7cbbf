<?php
/**
 * The command `wp slbp sessions`.
 *
 * @package SLBP
 */

/**
 * Looks after PHP sessions. In shared memory only those of this user are seen, and only with slbp.shm_path.
 */
class SLBP_Sessions_Command {
	/**
	 * Says how many sessions there are.
	 */
	public function count(): void {
		$count = $this->handler()->count();
		WP_CLI::line( null === $count ? 'This store cannot tell.' : (string) $count );
	}

	/**
	 * Removes expired sessions from shared memory or the database; Redis and Memcached do so themselves.
	 */
	public function gc(): void {
		$removed = $this->handler()->gc( (int) ini_get( 'session.gc_maxlifetime' ) );
		false === $removed ? WP_CLI::error( 'The store does not answer.' ) : WP_CLI::success( "$removed sessions were removed." );
	}

	/**
	 * Ends a session.
	 *
	 * ## OPTIONS
	 *
	 * <id>
	 * : The session's id, as it stands in the visitor's cookie.
	 */
	public function destroy( array $arguments ): void {
		$handler = $this->handler();
		if ( ! $handler->validateId( $arguments[0] ) ) {
			WP_CLI::error( 'There is no such session.' );
		}
		$handler->destroy( $arguments[0] ) ? WP_CLI::success( 'The session is ended.' ) : WP_CLI::error( 'The store does not answer.' );
	}

	/**
	 * The site's sessions, or the end with what is wrong with their settings.
	 */
	private function handler(): SLBP_Session_Handler {
		try {
			return slbp_session_handler();
		} catch ( SLBP_Exception $exception ) {
			WP_CLI::error( $exception->getMessage() );
		}
	}
}
