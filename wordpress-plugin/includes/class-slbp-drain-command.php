<?php
/**
 * The command `wp slbp drain`.
 *
 * @package SLBP
 */

/**
 * Takes this node out of the load balancer's hands, and gives it back.
 *
 * A command line reaches php-fpm's memory only where both have slbp.shm_path. Without it the file of
 * slbp.drain_file is made and removed, which both must name.
 */
class SLBP_Drain_Command {
	/**
	 * Lets no new visitors come: /ready says 503.
	 */
	public function on(): void {
		$this->set( true );
		WP_CLI::success( 'This node is being drained.' );
	}

	/**
	 * Lets visitors come again.
	 */
	public function off(): void {
		$this->set( false );
		WP_CLI::success( 'This node takes visitors.' );
	}

	/**
	 * Says whether this node is being drained.
	 */
	public function status(): void {
		WP_CLI::line( $this->manager()->is_draining() ? 'draining' : 'accepting' );
	}

	/**
	 * By the memory that php-fpm shares, or by the file.
	 */
	private function set( bool $draining ): void {
		$file = (string) ini_get( 'slbp.drain_file' );
		if ( 'file' === slbp_info()['mode'] ) {
			$this->manager()->set_draining( $draining );
		} elseif ( '' === $file ) {
			WP_CLI::error( 'This command line does not reach php-fpm: set slbp.shm_path or slbp.drain_file in the php.ini of both.' );
		}
		if ( '' !== $file && $draining !== file_exists( $file ) && ! ( $draining ? touch( $file ) : unlink( $file ) ) ) {
			WP_CLI::error( "$file cannot be written." );
		}
	}

	/**
	 * The site's manager.
	 */
	private function manager(): SLBP_Scalability_Manager {
		return slbp_scalability_manager() ?? WP_CLI::error( 'Health checks are off; the log says why.' );
	}
}
