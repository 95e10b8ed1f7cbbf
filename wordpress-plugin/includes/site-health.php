<?php
/**
 * What Tools > Site Health says about the object cache.
 *
 * @package SLBP
 */

/**
 * On site_status_tests.
 */
function slbp_add_site_health_test( array $tests ): array {
	$tests['direct']['slbp_object_cache'] = array(
		'label' => __( 'SLBP object cache', 'slbp' ),
		'test'  => 'slbp_test_object_cache',
	);
	return $tests;
}

/**
 * The test: good when the cache is in use and every process of the site sees the same one.
 */
function slbp_test_object_cache(): array {
	$advice = slbp_object_cache_advice();
	return array(
		'test'        => 'slbp_object_cache',
		'label'       => '' === $advice ? __( 'The object cache is on', 'slbp' ) : __( 'The object cache could do more', 'slbp' ),
		'status'      => '' === $advice ? 'good' : 'recommended',
		'badge'       => array(
			'label' => __( 'Performance', 'slbp' ),
			'color' => 'blue',
		),
		'description' => '<p>' . esc_html( slbp_describe_object_cache() . " $advice" ) . '</p>',
		'actions'     => sprintf( '<p><a href="%s">%s</a></p>', esc_url( admin_url( 'tools.php?page=slbp-object-cache' ) ), esc_html__( 'Object Cache', 'slbp' ) ),
	);
}

/**
 * What to do for a better cache; '' when nothing.
 */
function slbp_object_cache_advice(): string {
	if ( ! slbp_uses_object_cache() ) {
		return __( 'With it, what one request has read from the database is there for all.', 'slbp' );
	}
	if ( ! slbp_object_cache_reaches_all() ) {
		return __( 'WP-CLI and system cron have a memory of their own, so each of their runs empties the cache. Set slbp.shm_path in php.ini, and they share it.', 'slbp' );
	}
	return '';
}

/**
 * On debug_information.
 */
function slbp_add_debug_information( array $information ): array {
	$fields = array();
	foreach ( array( 'state' => slbp_describe_object_cache() ) + slbp_flat_object_cache_stats() as $name => $value ) {
		$fields[ $name ] = array(
			'label' => $name,
			'value' => $value,
		);
	}
	$information['slbp-object-cache'] = array(
		'label'  => __( 'SLBP object cache', 'slbp' ),
		'fields' => $fields,
	);
	return $information;
}
