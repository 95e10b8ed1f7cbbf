<?php
/**
 * The command `wp slbp queries`.
 *
 * @package SLBP
 */

/**
 * Shows what the site asks its database.
 */
class SLBP_Queries_Command {
	/**
	 * Lists queries. A command line sees what php-fpm saw when slbp.shm_path is set, else what was last kept.
	 *
	 * ## OPTIONS
	 *
	 * [--list=<list>]
	 * : all, slow, n_plus_one or duplicates.
	 *
	 * [--component=<component>]
	 * : Only of this part of the site, e.g. plugin:woocommerce.
	 *
	 * [--order=<order>]
	 * : total_time, average_time, p95_time, max_time, count or last_seen.
	 *
	 * [--limit=<limit>]
	 * : At most so many.
	 *
	 * [--format=<format>]
	 * : table, json, csv or yaml.
	 */
	public function __invoke( array $arguments, array $options ): void {
		$list  = $options['list'] ?? 'all';
		$asked = array_intersect_key( $options, array_flip( array( 'component', 'order', 'limit' ) ) );
		try {
			$rows = slbp_queries( $list, $asked + array( 'scope' => 'site' ) );
		} catch ( SLBP_InvalidArgumentException $exception ) {
			WP_CLI::error( $exception->getMessage() );
			return;
		}
		if ( ! slbp_object_cache_reaches_all() && 'all' === $list && array() === $asked ) {
			$rows = array_merge( slbp_kept_queries()['rows'], $rows );
		}
		$fields = array( 'count', 'total_time', 'p95_time', 'n_plus_one', 'slow', 'duplicates', 'component', 'call_site', 'fingerprint', 'hint' );
		WP_CLI\Utils\format_items( $options['format'] ?? 'table', $rows, $fields );
	}
}
