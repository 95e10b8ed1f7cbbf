<?php
/**
 * Tools > Monitoring: what the site does now and what it did, from memory alone; no query, no script.
 *
 * Each chart is a picture with its figures in words and as a table, so that nothing depends on seeing it.
 *
 * @package SLBP
 */

/**
 * On admin_menu.
 */
function slbp_add_monitoring_page(): void {
	add_management_page( __( 'Monitoring', 'slbp' ), __( 'Monitoring', 'slbp' ), 'manage_options', 'slbp-monitoring', 'slbp_show_monitoring_page' );
}

/**
 * The page.
 */
function slbp_show_monitoring_page(): void {
	echo '<div class="wrap"><h1>', esc_html( get_admin_page_title() ), '</h1>';
	$manager = slbp_monitoring_manager();
	if ( null === $manager ) {
		wp_admin_notice( esc_html__( 'Monitoring is off; the log says why.', 'slbp' ), array( 'type' => 'error' ) );
	} else {
		$request = new WP_REST_Request( 'GET' );
		$request->set_param( 'timeframe', slbp_monitoring_timeframe() );
		$data = $manager->get_dashboard_metrics( $request )->get_data();
		slbp_show_timeframes( $data['timeframe'] );
		slbp_show_charts( $data );
		slbp_show_current_metrics( $data['metrics'] );
	}
	echo '</div>';
}

/**
 * The timeframe that the page's address asks for.
 */
function slbp_monitoring_timeframe(): string {
	$wanted = sanitize_key( $_GET['timeframe'] ?? '' );
	return isset( slbp_timeframes()[ $wanted ] ) ? $wanted : '1h';
}

/**
 * What can be asked for.
 */
function slbp_timeframes(): array {
	return array(
		'1h'  => __( 'Last hour', 'slbp' ),
		'6h'  => __( 'Last 6 hours', 'slbp' ),
		'24h' => __( 'Last day', 'slbp' ),
		'7d'  => __( 'Last week', 'slbp' ),
	);
}

/**
 * Links to the timeframes.
 */
function slbp_show_timeframes( string $current ): void {
	echo '<nav class="nav-tab-wrapper" aria-label="', esc_attr__( 'Timeframe', 'slbp' ), '">';
	foreach ( slbp_timeframes() as $timeframe => $label ) {
		printf(
			'<a href="%s" class="nav-tab%s"%s>%s</a>',
			esc_url( add_query_arg( 'timeframe', $timeframe, admin_url( 'tools.php?page=slbp-monitoring' ) ) ),
			$timeframe === $current ? ' nav-tab-active' : '',
			$timeframe === $current ? ' aria-current="page"' : '',
			esc_html( $label )
		);
	}
	echo '</nav>';
}

/**
 * The charts: key of a point, title, unit, decimals.
 */
function slbp_charts(): array {
	return array(
		array( 'requests', __( 'Requests', 'slbp' ), '', 0 ),
		array( 'response_time', __( 'Response time', 'slbp' ), 'ms', 1 ),
		array( 'errors', __( 'Errors (status 500 and above)', 'slbp' ), '', 0 ),
		array( 'memory_peak', __( 'Memory of a request', 'slbp' ), 'MB', 1 ),
		array( 'cache_hit_ratio', __( 'Cache hits, whole host', 'slbp' ), '%', 1 ),
	);
}

/**
 * All charts, or a sentence where there is nothing to draw.
 */
function slbp_show_charts( array $data ): void {
	if ( array() === $data['points'] ) {
		echo '<p>', esc_html__( 'Nothing has been measured in this time yet.', 'slbp' ), '</p>';
		return;
	}
	foreach ( slbp_charts() as list( $key, $title, $unit, $decimals ) ) {
		$scale  = 'memory_peak' === $key ? 1 / MB_IN_BYTES : 1;
		$values = array();
		foreach ( $data['points'] as $point ) {
			if ( null !== $point[ $key ] ) {
				$values[ $point['time'] ] = $point[ $key ] * $scale;
			}
		}
		if ( array() !== $values ) {
			slbp_show_chart( $key, $title, $unit, $decimals, $values, $data );
		}
	}
}

/**
 * One chart: a picture, its figures in words, and the table behind it.
 */
function slbp_show_chart( string $key, string $title, string $unit, int $decimals, array $values, array $data ): void {
	$shown   = static fn( float $value ): string => trim( number_format_i18n( $value, $decimals ) . ' ' . $unit );
	$summary = sprintf(
		/* translators: 1: latest value, 2: lowest, 3: highest */
		__( 'Latest %1$s, lowest %2$s, highest %3$s.', 'slbp' ),
		$shown( end( $values ) ),
		$shown( min( $values ) ),
		$shown( max( $values ) )
	);
	printf( '<figure class="card" id="slbp-chart-%s"><figcaption><strong>%s</strong> %s</figcaption>', esc_attr( $key ), esc_html( $title ), esc_html( $summary ) );
	printf( '<svg role="img" aria-label="%s" viewBox="0 0 600 100" width="100%%" height="100" preserveAspectRatio="none">', esc_attr( "$title. $summary" ) );
	printf( '<polyline points="%s" fill="none" stroke="currentColor" stroke-width="2" vector-effect="non-scaling-stroke"/></svg>', esc_attr( slbp_chart_line( $values, $data['from'], $data['timestamp'] ) ) );
	printf( '<details><summary>%s</summary><table class="widefat striped"><caption class="screen-reader-text">%s</caption><thead><tr><th scope="col">%s</th><th scope="col">%s</th></tr></thead><tbody>', esc_html__( 'View as table', 'slbp' ), esc_html( $title ), esc_html__( 'From', 'slbp' ), esc_html( $title ) );
	foreach ( $values as $time => $value ) {
		printf( '<tr><th scope="row">%s</th><td>%s</td></tr>', esc_html( wp_date( 'Y-m-d H:i', $time ) ), esc_html( $shown( $value ) ) );
	}
	echo '</tbody></table></details></figure>';
}

/**
 * The points of the line, in a picture of 600 by 100. A value that stands alone becomes a short stroke.
 */
function slbp_chart_line( array $values, int $from, int $until ): string {
	$most   = max( max( $values ), 1e-9 );
	$points = array();
	foreach ( $values as $time => $value ) {
		$x        = 600 * max( 0, $time - $from ) / max( 1, $until - $from );
		$points[] = sprintf( '%.1F,%.1F', $x, 98 - 96 * $value / $most );
	}
	if ( 1 === count( $points ) ) {
		$points[] = sprintf( '600,%.1F', 98 - 96 * end( $values ) / $most );
	}
	return implode( ' ', $points );
}

/**
 * Every current value, by category.
 */
function slbp_show_current_metrics( array $categories ): void {
	foreach ( $categories as $category => $metrics ) {
		printf( '<h2>%s</h2><table class="widefat striped" data-category="%s"><thead><tr><th scope="col">%s</th><th scope="col">%s</th></tr></thead><tbody>', esc_html( ucfirst( $category ) ), esc_attr( $category ), esc_html__( 'Metric', 'slbp' ), esc_html__( 'Now', 'slbp' ) );
		foreach ( $metrics as $name => $value ) {
			printf( '<tr><th scope="row"><code>%s</code></th><td>%s</td></tr>', esc_html( $name ), esc_html( number_format_i18n( $value, floor( $value ) === (float) $value ? 0 : 2 ) ) );
		}
		echo '</tbody></table>';
	}
}
