<?php
/**
 * WP-CLI: `wp slbp metrics`.
 *
 * @package SLBP
 */

/**
 * Shows what the site measures. Values of php-fpm's workers are seen only with `slbp.shm_path`.
 */
class SLBP_Metrics_Command {

	/**
	 * Prints the exposition as Prometheus would get it.
	 *
	 * ## OPTIONS
	 *
	 * [--format=<format>]
	 * : text, openmetrics or json.
	 * ---
	 * default: text
	 * ---
	 */
	public function show( array $args, array $options ): void {
		$manager = $this->manager();
		switch ( $options['format'] ?? 'text' ) {
			case 'json':
				WP_CLI::line( wp_json_encode( $manager->collect_metrics(), JSON_PRETTY_PRINT ) );
				break;
			case 'openmetrics':
				WP_CLI::line( rtrim( $manager->render_metrics( 'application/openmetrics-text' ) ) );
				break;
			default:
				WP_CLI::line( rtrim( $manager->render_metrics() ) );
		}
	}

	/**
	 * Asks the database and the disk what only they know, as cron does each minute.
	 */
	public function collect(): void {
		$this->manager()->collect_metrics();
		WP_CLI::success( 'Collected.' );
	}

	/**
	 * The site's metrics; ends the command where there are none.
	 */
	private function manager(): SLBP_Monitoring_Manager {
		return slbp_monitoring_manager() ?? WP_CLI::error( 'Monitoring is off; the log says why.' );
	}
}
