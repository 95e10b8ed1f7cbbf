<?php
/**
 * The site's queries: reading them, keeping them over a restart of PHP, and what Site Health says of them.
 *
 * @package SLBP
 */

/**
 * The rows that were kept, and when: shared memory forgets them when PHP is restarted.
 */
const SLBP_KEPT_QUERIES = 'slbp_kept_queries';

/**
 * The advice that was last asked for, and when: it takes seconds, so no page works it out by itself.
 */
const SLBP_INDEX_ADVICE = 'slbp_index_advice';

/**
 * The site's optimizer, or null when its settings cannot be used.
 */
function slbp_optimizer(): ?SLBP_Performance_Optimizer {
	static $optimizer = false;
	if ( false === $optimizer ) {
		try {
			$optimizer = SLBP_Plugin::get_instance()->get_performance_optimizer();
		} catch ( SLBP_Exception $exception ) {
			error_log( 'SLBP: the optimizer is off: ' . $exception->getMessage() );
			$optimizer = null;
		}
	}
	return $optimizer;
}

/**
 * The rows of a list ('all', 'slow', 'n_plus_one', 'duplicates').
 */
function slbp_queries( string $list, array $options ): array {
	$optimizer = slbp_optimizer();
	if ( null === $optimizer ) {
		return array();
	}
	return match ( $list ) {
		'slow'       => $optimizer->get_slow_queries( $options ),
		'n_plus_one' => $optimizer->get_n_plus_one_queries( $options ),
		'duplicates' => $optimizer->get_duplicate_queries( $options ),
		default      => $optimizer->get_queries( $options ),
	};
}

/**
 * On init: the rows are kept once an hour.
 */
function slbp_schedule_queries(): void {
	if ( ! wp_next_scheduled( 'slbp_keep_queries' ) ) {
		wp_schedule_event( time() + HOUR_IN_SECONDS, 'hourly', 'slbp_keep_queries' );
	}
}

/**
 * On deactivation.
 */
function slbp_unschedule_queries(): void {
	wp_clear_scheduled_hook( 'slbp_keep_queries' );
}

/**
 * On slbp_keep_queries. A command line that has a memory of its own has nothing to keep.
 */
function slbp_keep_queries(): void {
	$rows = slbp_queries( 'all', array( 'limit' => 200 ) );
	if ( count( $rows ) > count( slbp_kept_queries()['rows'] ) / 2 ) {
		update_option( SLBP_KEPT_QUERIES, array( 'at' => time(), 'rows' => $rows ), false );
	}
}

/**
 * What was kept.
 *
 * @return array{at: int, rows: array}
 */
function slbp_kept_queries(): array {
	$kept = get_option( SLBP_KEPT_QUERIES );
	return is_array( $kept ) && isset( $kept['at'], $kept['rows'] ) && is_array( $kept['rows'] ) ? $kept : array( 'at' => 0, 'rows' => array() );
}

/**
 * Works out which indexes are missing, and keeps that.
 */
function slbp_advise_on_indexes(): array {
	$advice = slbp_optimizer()?->recommend_indexes( array( 'limit' => 20 ) ) ?? array();
	update_option( SLBP_INDEX_ADVICE, array( 'at' => time(), 'rows' => $advice ), false );
	return $advice;
}

/**
 * On site_status_tests.
 */
function slbp_add_query_test( array $tests ): array {
	$tests['direct']['slbp_queries'] = array(
		'label' => __( 'SLBP queries', 'slbp' ),
		'test'  => 'slbp_test_queries',
	);
	return $tests;
}

/**
 * The test: good when no query is slow and none is asked once per row.
 */
function slbp_test_queries(): array {
	$slow    = count( slbp_queries( 'slow', array() ) );
	$looping = count( slbp_queries( 'n_plus_one', array() ) );
	$is_good = 0 === $slow + $looping;
	/* translators: 1: number of queries, 2: number of queries. */
	$found = sprintf( __( '%1$d queries are slow, %2$d are asked once per row of another answer (N+1).', 'slbp' ), $slow, $looping );
	return array(
		'test'        => 'slbp_queries',
		'label'       => $is_good ? __( 'No query keeps pages waiting', 'slbp' ) : __( 'Some queries keep pages waiting', 'slbp' ),
		'status'      => $is_good ? 'good' : 'recommended',
		'badge'       => array(
			'label' => __( 'Performance', 'slbp' ),
			'color' => 'blue',
		),
		'description' => '<p>' . esc_html( $found ) . '</p>',
		'actions'     => sprintf( '<p><a href="%s">%s</a></p>', esc_url( slbp_queries_page_url() ), esc_html__( 'Queries', 'slbp' ) ),
	);
}
