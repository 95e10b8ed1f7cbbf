<?php
/**
 * What Tools > Site Health says about the node and what it leans on.
 *
 * @package SLBP
 */

/**
 * On site_status_tests: the checks may ask other servers, so the page does not wait for them.
 */
function slbp_add_health_test( array $tests ): array {
	$tests['async']['slbp_health'] = array(
		'label'             => __( 'SLBP health checks', 'slbp' ),
		'test'              => rest_url( SLBP_REST_NAMESPACE . '/health/site-health' ),
		'has_rest'          => true,
		'async_direct_test' => 'slbp_test_health',
	);
	return $tests;
}

/**
 * The test, also as the answer of /health/site-health: its status is that of the worst check.
 */
function slbp_test_health(): array {
	$report   = slbp_health_report();
	$statuses = array(
		'healthy'   => 'good',
		'degraded'  => 'recommended',
		'unhealthy' => 'critical',
	);
	$findings = array();
	foreach ( $report['checks'] ?? array() as $name => $check ) {
		if ( 'healthy' !== $check['status'] ) {
			$findings[] = sprintf( '<li><strong>%s</strong>: %s</li>', esc_html( $name ), esc_html( $check['message'] ) );
		}
	}
	return array(
		'test'        => 'slbp_health',
		'label'       => array() === $findings && null !== $report ? __( 'Everything this site leans on is well', 'slbp' ) : __( 'Something this site leans on needs a look', 'slbp' ),
		'status'      => $statuses[ $report['status'] ?? 'degraded' ],
		'badge'       => array(
			'label' => __( 'Performance', 'slbp' ),
			'color' => 'blue',
		),
		'description' => '<p>' . esc_html__( 'SLBP asks the database, the cache, the disk and what else the site needs.', 'slbp' ) . '</p>' . ( $findings ? '<ul>' . implode( '', $findings ) . '</ul>' : '' ),
		'actions'     => sprintf( '<p><a href="%s">%s</a></p>', esc_url( admin_url( 'tools.php?page=slbp-health' ) ), esc_html__( 'Health', 'slbp' ) ),
	);
}

/**
 * Whether the user may see Site Health.
 */
function slbp_may_see_site_health(): bool {
	return current_user_can( 'view_site_health_checks' );
}
