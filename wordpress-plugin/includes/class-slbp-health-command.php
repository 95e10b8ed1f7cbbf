<?php
/**
 * The command `wp slbp health`.
 *
 * @package SLBP
 */

/**
 * Shows how the node and the site are.
 */
class SLBP_Health_Command {
	/**
	 * Runs every check; ends with an error when the site is unhealthy.
	 *
	 * ## OPTIONS
	 *
	 * [--format=<format>]
	 * : table or json; table when not given.
	 */
	public function report( array $arguments, array $options ): void {
		$report = slbp_health_report() ?? WP_CLI::error( 'Health checks are off; the log says why.' );
		if ( 'json' === ( $options['format'] ?? '' ) ) {
			WP_CLI::line( wp_json_encode( $report ) );
		} else {
			foreach ( $report['checks'] as $name => $check ) {
				WP_CLI::line( rtrim( implode( "\t", array( $name, $check['status'], slbp_measured( $check ), $check['message'] ) ) ) );
			}
		}
		if ( 'unhealthy' === $report['status'] ) {
			WP_CLI::error( 'The site is unhealthy.' );
		}
	}

	/**
	 * Says what this node is called.
	 */
	public function instance(): void {
		WP_CLI::line( $this->manager()->get_instance_id() );
	}

	/**
	 * Writes the configuration of a load balancer.
	 *
	 * ## OPTIONS
	 *
	 * <server>
	 * : nginx or haproxy.
	 *
	 * <upstream>...
	 * : The nodes, host:port.
	 *
	 * @subcommand load-balancer
	 */
	public function load_balancer( array $arguments ): void {
		try {
			WP_CLI::line( $this->manager()->render_load_balancer_config( $arguments[0], array_slice( $arguments, 1 ) ) );
		} catch ( SLBP_InvalidArgumentException $exception ) {
			WP_CLI::error( $exception->getMessage() );
		}
	}

	/**
	 * The site's manager.
	 */
	private function manager(): SLBP_Scalability_Manager {
		return slbp_scalability_manager() ?? WP_CLI::error( 'Health checks are off; the log says why.' );
	}
}
