<?php
/**
 * The command `wp slbp indexes`.
 *
 * @package SLBP
 */

/**
 * Says which indexes the database lacks.
 */
class SLBP_Indexes_Command {
	/**
	 * Looks for missing indexes; nothing is changed.
	 *
	 * ## OPTIONS
	 *
	 * [--table=<table>]
	 * : Look at one table: missing, redundant and unused indexes and fragmentation, as JSON.
	 *
	 * [--columns=<columns>]
	 * : With --table: columns that rows are found by, separated by commas.
	 *
	 * [--format=<format>]
	 * : table, json, csv or yaml.
	 */
	public function __invoke( array $arguments, array $options ): void {
		if ( isset( $options['table'] ) ) {
			$columns = array_filter( explode( ',', $options['columns'] ?? '' ) );
			$advice  = slbp_optimizer()?->optimize_database_queries( $options['table'], array_fill_keys( $columns, '' ) ) ?? array( 'error' => 'The optimizer is off; the log says why.' );
			isset( $advice['error'] ) ? WP_CLI::error( $advice['error'] ) : WP_CLI::line( wp_json_encode( $advice, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES ) );
			return;
		}
		$fields = array( 'table', 'columns', 'verified', 'reason', 'ddl', 'rollback_ddl' );
		$rows   = array_map( fn( array $row ) => array( 'columns' => implode( ', ', $row['columns'] ) ) + $row, slbp_advise_on_indexes() );
		WP_CLI\Utils\format_items( $options['format'] ?? 'table', $rows, $fields );
	}
}
