<?php
/**
 * Tools > Queries: what the site asks its database, what is wrong with it, and which indexes would help.
 *
 * @package SLBP
 */

/**
 * On admin_menu.
 */
function slbp_add_queries_page(): void {
	add_management_page( __( 'Queries', 'slbp' ), __( 'Queries', 'slbp' ), 'manage_options', 'slbp-queries', 'slbp_show_queries_page' );
}

/**
 * On admin_post_slbp_queries: a button was pressed.
 */
function slbp_press_queries_button(): void {
	check_admin_referer( 'slbp_queries' );
	if ( ! slbp_can_manage() ) {
		wp_die( esc_html__( 'You may not do this.', 'slbp' ), 403 );
	}
	if ( 'forget' === ( $_POST['button'] ?? '' ) ) {
		slbp_optimizer()?->clear_query_stats();
		delete_option( SLBP_KEPT_QUERIES );
		wp_safe_redirect( slbp_queries_page_url() );
		exit;
	}
	slbp_advise_on_indexes();
	wp_safe_redirect( slbp_queries_page_url( array( 'list' => 'indexes' ) ) );
	exit;
}

/**
 * The lists and what they are called.
 */
function slbp_query_lists(): array {
	return array(
		'all'        => __( 'All', 'slbp' ),
		'slow'       => __( 'Slow', 'slbp' ),
		'n_plus_one' => __( 'N+1', 'slbp' ),
		'duplicates' => __( 'Duplicates', 'slbp' ),
		'indexes'    => __( 'Index advice', 'slbp' ),
	);
}

/**
 * The columns that can be sorted by and what they are called.
 */
function slbp_query_orders(): array {
	return array(
		'count'        => __( 'Executions', 'slbp' ),
		'total_time'   => __( 'Total', 'slbp' ),
		'average_time' => __( 'Average', 'slbp' ),
		'p95_time'     => __( '95 of 100', 'slbp' ),
		'max_time'     => __( 'Longest', 'slbp' ),
		'last_seen'    => __( 'Last seen', 'slbp' ),
	);
}

/**
 * What the address of the page asks for.
 */
function slbp_queries_page_filters(): array {
	$list  = sanitize_key( $_GET['list'] ?? '' );
	$order = sanitize_key( $_GET['order'] ?? '' );
	return array_filter(
		array(
			'list'      => isset( slbp_query_lists()[ $list ] ) ? $list : '',
			'order'     => isset( slbp_query_orders()[ $order ] ) ? $order : '',
			'component' => sanitize_text_field( wp_unslash( (string) ( $_GET['component'] ?? '' ) ) ),
			'search'    => sanitize_text_field( wp_unslash( (string) ( $_GET['search'] ?? '' ) ) ),
		)
	);
}

/**
 * The page.
 */
function slbp_show_queries_page(): void {
	$filters = slbp_queries_page_filters();
	$list    = $filters['list'] ?? 'all';
	echo '<div class="wrap"><h1>', esc_html( get_admin_page_title() ), '</h1>';
	slbp_show_query_lists( $list );
	if ( 'indexes' === $list ) {
		slbp_show_index_advice();
	} else {
		slbp_show_query_filter( $filters );
		$options = array_diff_key( $filters, array( 'list' => 1 ) ) + array( 'limit' => 100 );
		slbp_show_queries( slbp_queries( $list, $options ), $list, $filters );
	}
	echo '</div>';
}

/**
 * The lists as links.
 */
function slbp_show_query_lists( string $current ): void {
	$links = array();
	foreach ( slbp_query_lists() as $list => $label ) {
		$links[] = sprintf( '<a href="%s"%s>%s</a>', esc_url( slbp_queries_page_url( array( 'list' => $list ) ) ), $list === $current ? ' class="current" aria-current="page"' : '', esc_html( $label ) );
	}
	echo '<ul class="subsubsub"><li>', implode( ' |</li> <li>', $links ), '</li></ul><br class="clear">'; // Each link is escaped above.
}

/**
 * Fields for a part of the site and for words.
 */
function slbp_show_query_filter( array $filters ): void {
	echo '<form method="get"><input type="hidden" name="page" value="slbp-queries">';
	foreach ( array( 'list', 'order' ) as $kept ) {
		printf( '<input type="hidden" name="%s" value="%s">', esc_attr( $kept ), esc_attr( $filters[ $kept ] ?? '' ) );
	}
	printf( '<input type="search" name="component" value="%s" placeholder="plugin:name" aria-label="%s"> ', esc_attr( $filters['component'] ?? '' ), esc_attr__( 'Part of the site', 'slbp' ) );
	printf( '<input type="search" name="search" value="%s" placeholder="wp_posts" aria-label="%s"> ', esc_attr( $filters['search'] ?? '' ), esc_attr__( 'Words in the query', 'slbp' ) );
	printf( '<button class="button">%s</button></form>', esc_html__( 'Filter', 'slbp' ) );
}

/**
 * The rows as a table; what was kept when there is nothing else.
 */
function slbp_show_queries( array $rows, string $list, array $filters ): void {
	if ( array() === $rows && 'all' === $list && array() === $filters ) {
		$kept = slbp_kept_queries();
		$rows = $kept['rows'];
		if ( array() !== $rows ) {
			/* translators: %s: a date. */
			echo '<p>', esc_html( sprintf( __( 'As of %s.', 'slbp' ), wp_date( 'Y-m-d H:i', $kept['at'] ) ) ), '</p>';
		}
	}
	echo '<table class="widefat striped" id="slbp-queries"><thead><tr><th scope="col">', esc_html__( 'Query', 'slbp' ), '</th>';
	$order = $filters['order'] ?? 'total_time';
	foreach ( slbp_query_orders() as $by => $label ) {
		printf( '<th scope="col"%s><a href="%s">%s</a></th>', $by === $order ? ' aria-sort="descending"' : '', esc_url( slbp_queries_page_url( array( 'order' => $by ) + $filters ) ), esc_html( $label ) );
	}
	echo '</tr></thead><tbody>';
	array_walk( $rows, 'slbp_show_query' );
	echo '</tbody></table>';
	if ( array() === $rows ) {
		echo '<p>', esc_html__( 'No such query has been seen.', 'slbp' ), '</p>';
	}
	slbp_show_queries_button( 'forget', __( 'Forget all', 'slbp' ) );
}

/**
 * One row.
 */
function slbp_show_query( array $row ): void {
	$badges = array_filter(
		array(
			$row['n_plus_one'] > 0 ? sprintf( 'N+1 × %d', $row['most_in_request'] ) : '',
			$row['slow'] > 0 ? __( 'slow', 'slbp' ) : '',
			/* translators: %d: number of executions. */
			$row['duplicates'] > 0 ? sprintf( __( '%d duplicates', 'slbp' ), $row['duplicates'] ) : '',
			/* translators: %d: number of executions. */
			$row['failed'] > 0 ? sprintf( __( '%d failed', 'slbp' ), $row['failed'] ) : '',
		)
	);
	printf( '<tr data-query="%s"><td><code>%s</code>', esc_attr( $row['id'] ), esc_html( $row['fingerprint'] ) );
	foreach ( $badges as $badge ) {
		printf( ' <strong class="slbp-badge">%s</strong>', esc_html( $badge ) );
	}
	printf( '<br><a href="%s">%s</a> %s', esc_url( slbp_queries_page_url( array( 'component' => $row['component'] ) ) ), esc_html( $row['component'] ), esc_html( $row['call_site'] ) );
	if ( '' !== $row['hint'] ) {
		printf( '<br><em>%s</em>', esc_html( $row['hint'] ) );
	}
	echo '</td><td>', esc_html( number_format_i18n( $row['count'] ) ), '</td>';
	foreach ( array( 'total_time', 'average_time', 'p95_time', 'max_time' ) as $time ) {
		echo '<td>', esc_html( slbp_duration( $row[ $time ] ) ), '</td>';
	}
	echo '<td>', esc_html( wp_date( 'Y-m-d H:i', $row['last_seen'] ) ), '</td></tr>';
}

/**
 * A time in seconds as a person reads it.
 */
function slbp_duration( float $seconds ): string {
	return $seconds >= 1 ? sprintf( '%.2f s', $seconds ) : sprintf( '%.2f ms', $seconds * 1000 );
}

/**
 * The advice that was last asked for, and the button that asks anew.
 */
function slbp_show_index_advice(): void {
	echo '<p>', esc_html__( 'Each index is tried on a sample of the rows in a temporary table; your tables are only read. Nothing is changed until you run a statement yourself.', 'slbp' ), '</p>';
	slbp_show_queries_button( 'advise', __( 'Look for missing indexes', 'slbp' ) );
	$kept = get_option( SLBP_INDEX_ADVICE );
	if ( ! is_array( $kept ) ) {
		return;
	}
	/* translators: %s: a date. */
	echo '<p>', esc_html( sprintf( __( 'As of %s.', 'slbp' ), wp_date( 'Y-m-d H:i', $kept['at'] ) ) ), '</p>';
	array_walk( $kept['rows'], 'slbp_show_index' );
	if ( array() === $kept['rows'] ) {
		echo '<p>', esc_html__( 'No query that was seen lacks an index.', 'slbp' ), '</p>';
	}
}

/**
 * One index, with its evidence and the statements to copy.
 */
function slbp_show_index( array $index ): void {
	printf( '<div class="card" data-index="%s"><h2>%s (%s)</h2><p>%s</p>', esc_attr( $index['name'] ), esc_html( $index['table'] ), esc_html( implode( ', ', $index['columns'] ) ), esc_html( $index['reason'] ) );
	$evidence = $index['evidence'];
	if ( null !== $evidence ) {
		echo '<table class="widefat"><thead><tr><td></td><th scope="col">', esc_html__( 'before', 'slbp' ), '</th><th scope="col">', esc_html__( 'after', 'slbp' ), '</th></tr></thead><tbody>';
		foreach ( array( 'rows_read' => __( 'Rows read', 'slbp' ), 'cost' => __( 'Cost by the optimizer', 'slbp' ), 'key' => __( 'Index used', 'slbp' ) ) as $field => $label ) {
			printf( '<tr><th scope="row">%s</th><td>%s</td><td>%s</td></tr>', esc_html( $label ), esc_html( (string) $evidence[ "{$field}_before" ] ), esc_html( (string) $evidence[ "{$field}_after" ] ) );
		}
		echo '</tbody></table>';
	}
	/* translators: 1: a size, 2: what every insert costs. */
	echo '<p>', esc_html( sprintf( __( 'About %1$s; %2$s.', 'slbp' ), size_format( $index['estimated_size'] ), $index['write_cost'] ) ), '</p>';
	printf( '<p><label>%s<textarea readonly rows="2" class="large-text code">%s</textarea></label></p>', esc_html__( 'Create', 'slbp' ), esc_textarea( $index['ddl'] ) );
	printf( '<p><label>%s<textarea readonly rows="2" class="large-text code">%s</textarea></label></p></div>', esc_html__( 'Undo', 'slbp' ), esc_textarea( $index['rollback_ddl'] ) );
}

/**
 * A button of the page.
 */
function slbp_show_queries_button( string $button, string $label ): void {
	printf( '<form method="post" action="%s"><input type="hidden" name="action" value="slbp_queries">', esc_url( admin_url( 'admin-post.php' ) ) );
	wp_nonce_field( 'slbp_queries' );
	printf( '<p><button class="button" name="button" value="%s">%s</button></p></form>', esc_attr( $button ), esc_html( $label ) );
}

/**
 * The address of the page with these filters.
 */
function slbp_queries_page_url( array $filters = array() ): string {
	return add_query_arg( array_map( 'rawurlencode', array_map( 'strval', $filters ) ), admin_url( 'tools.php?page=slbp-queries' ) );
}
