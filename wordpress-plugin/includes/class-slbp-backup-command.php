<?php
/**
 * `wp slbp backup`: loaded only by WP-CLI. Run it as the user that php-fpm runs as, or the files that
 * it makes and restores belong to somebody else.
 *
 * @package SLBP
 */

/**
 * Makes, checks and restores backups of the site.
 */
class SLBP_Backup_Command {

	/**
	 * Makes a backup.
	 *
	 * ## OPTIONS
	 *
	 * [--type=<type>]
	 * : full, incremental or differential.
	 * ---
	 * default: full
	 * ---
	 *
	 * [--components=<list>]
	 * : Separated by commas.
	 * ---
	 * default: database,files,config
	 * ---
	 */
	public function create( array $arguments, array $options ): void {
		$components = explode( ',', $options['components'] ?? 'database,files,config' );
		$begun      = $this->attempt( static fn( $manager ) => $manager->create_backup( $options['type'] ?? 'full', $components, array( 'async' => true ) ) );
		$this->follow( $begun['backup_id'] );
		WP_CLI::success( "Backup {$begun['backup_id']} was made." );
	}

	/**
	 * Lists the backups, newest first.
	 *
	 * ## OPTIONS
	 *
	 * [--format=<format>]
	 * : table, json, csv, yaml, ids or count.
	 * ---
	 * default: table
	 * ---
	 *
	 * @subcommand list
	 */
	public function list_backups( array $arguments, array $options ): void {
		$rows = array_map(
			static fn( array $backup ) => array_merge(
				$backup,
				array(
					'components' => implode( ',', $backup['components'] ),
					'locations'  => implode( ',', $backup['locations'] ),
				)
			),
			slbp_backup_manager()?->list_backups() ?? array()
		);
		WP_CLI\Utils\format_items( $options['format'] ?? 'table', $rows, array( 'id', 'type', 'purpose', 'components', 'status', 'size', 'base_id', 'locations' ) );
	}

	/**
	 * Reads a backup and all it builds on back.
	 *
	 * ## OPTIONS
	 *
	 * <id>
	 * : The backup.
	 */
	public function verify( array $arguments ): void {
		$check = $this->attempt( static fn( $manager ) => $manager->verify_backup( $arguments[0] ) );
		WP_CLI::success( $check['message'] );
	}

	/**
	 * Copies to the stores of the setting `remote` what they lack, and looks at what is there.
	 */
	public function copy(): void {
		$this->attempt( static fn( $manager ) => $manager->copy_backups( array( 'async' => true ) ) );
		$report = $this->follow( 'copies' );
		foreach ( $report['result']['warnings'] ?? array() as $warning ) {
			WP_CLI::warning( $warning );
		}
		WP_CLI::success( 'Every store was asked; wp slbp backup list shows what is where.' );
	}

	/**
	 * Brings a backup, with all it builds on, here from where copies are.
	 *
	 * ## OPTIONS
	 *
	 * <id>
	 * : The backup.
	 */
	public function fetch( array $arguments ): void {
		list( $id ) = $arguments;
		$this->bring_here( $id );
		WP_CLI::success( "Backup $id is here, with all it builds on." );
	}

	/**
	 * Restores a backup in place.
	 *
	 * ## OPTIONS
	 *
	 * <id>
	 * : The backup.
	 *
	 * [--components=<list>]
	 * : Separated by commas.
	 * ---
	 * default: database,files,config
	 * ---
	 *
	 * [--new-url=<url>]
	 * : The address that takes the place of the one that the backup was taken under.
	 *
	 * [--table-prefix=<prefix>]
	 * : What the names of the tables shall begin with.
	 *
	 * [--dry-run]
	 * : Only tell what would change.
	 *
	 * [--yes]
	 * : Do not ask.
	 */
	public function restore( array $arguments, array $options ): void {
		list( $id ) = $arguments;
		$this->bring_here( $id );
		$components = explode( ',', $options['components'] ?? 'database,files,config' );
		$moved      = array_filter(
			array(
				'new_url'      => $options['new-url'] ?? '',
				'table_prefix' => $options['table-prefix'] ?? '',
			)
		);
		$plan       = $this->attempt( static fn( $manager ) => $manager->restore_backup( $id, $components, $moved + array( 'dry_run' => true ) ) );
		WP_CLI::log( wp_json_encode( $plan['restore_results'], JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES ) );
		if ( isset( $options['dry-run'] ) ) {
			return;
		}
		WP_CLI::confirm( "Replace the site by backup $id?", $options );
		$this->attempt( static fn( $manager ) => $manager->restore_backup( $id, $components, $moved + array( 'async' => true ) ) );
		$report = $this->follow( $id );
		WP_CLI::success( "Backup $id was restored. What it replaced is backup {$report['result']['safety']}." );
	}

	/**
	 * Deletes a backup that nothing builds on.
	 *
	 * ## OPTIONS
	 *
	 * <id>
	 * : The backup.
	 */
	public function delete( array $arguments ): void {
		WP_CLI::success( $this->attempt( static fn( $manager ) => $manager->delete_backup( $arguments[0] ) )['message'] );
	}

	/**
	 * Makes a backup, restores it beside the site, compares, and removes everything.
	 *
	 * @subcommand dr-test
	 */
	public function dr_test(): void {
		$test = $this->attempt(
			static function ( $manager ) {
				$test = $manager->test_disaster_recovery();
				return array( 'success' => $test['overall_success'], 'message' => implode( ' ', $test['details']['errors'] ) ) + $test;
			}
		);
		WP_CLI::success( sprintf( 'Recovered in %.1f s; the newest backup before was %s s old.', $test['rto_seconds'], $test['rpo_seconds'] ?? '?' ) );
	}

	/**
	 * Makes the backup that is due, if one is; for the system's cron.
	 */
	public function schedule(): void {
		$made = $this->attempt( static fn( $manager ) => $manager->create_daily_backup() );
		WP_CLI::success( $made['message'] );
	}

	/**
	 * The result of a method; ends with its reason when it failed.
	 */
	private function attempt( callable $method ): array {
		$manager = slbp_backup_manager();
		try {
			$result = null === $manager ? array( 'success' => false, 'message' => 'Backups are off; the log says why.' ) : $method( $manager );
		} catch ( SLBP_Exception $exception ) {
			$result = array( 'success' => false, 'message' => $exception->getMessage() );
		}
		if ( ! $result['success'] ) {
			WP_CLI::error( $result['message'] );
		}
		return $result;
	}

	/**
	 * Downloads a backup of which there are only copies.
	 */
	private function bring_here( string $id ): void {
		$begun = $this->attempt( static fn( $manager ) => $manager->fetch_backup( $id, array( 'async' => true ) ) );
		if ( 'in_progress' === $begun['status'] ) {
			$this->follow( $id );
		}
	}

	/**
	 * Shows the progress of work until it ends; ends with its reason when it failed.
	 */
	private function follow( string $id ): array {
		$bar  = WP_CLI\Utils\make_progress_bar( $id, 100 );
		$done = 0;
		do {
			usleep( 200000 );
			$report = slbp_backup_manager()->get_progress( $id );
			$bar->tick( $report['percent'] - $done );
			$done = $report['percent'];
		} while ( 'in_progress' === $report['status'] );
		$bar->finish();
		if ( 'completed' !== $report['status'] ) {
			WP_CLI::error( $report['message'] );
		}
		return $report;
	}
}
