<?php
/**
 * Tools > Object Cache: one sentence, the counts, and the buttons.
 *
 * @package SLBP
 */

/**
 * On admin_menu.
 */
function slbp_add_object_cache_page(): void {
	if ( slbp_can_switch_object_cache() ) {
		add_management_page( __( 'Object Cache', 'slbp' ), __( 'Object Cache', 'slbp' ), 'manage_options', 'slbp-object-cache', 'slbp_show_object_cache_page' );
	}
}

/**
 * On admin_post_slbp_object_cache: a button was pressed.
 */
function slbp_press_object_cache_button(): void {
	check_admin_referer( 'slbp_object_cache' );
	if ( ! slbp_can_switch_object_cache() ) {
		wp_die( esc_html__( 'You may not change the object cache.', 'slbp' ), 403 );
	}
	$failure = '';
	switch ( $_POST['button'] ?? '' ) {
		case 'enable':
			$failure = slbp_enable_object_cache();
			break;
		case 'disable':
			$failure = slbp_disable_object_cache();
			break;
		case 'flush':
			slbp_flush_object_cache();
			break;
	}
	wp_safe_redirect( add_query_arg( array( 'page' => 'slbp-object-cache', 'failure' => $failure ), admin_url( 'tools.php' ) ) );
	exit;
}

/**
 * The page.
 */
function slbp_show_object_cache_page(): void {
	$failure = $_GET['failure'] ?? '';
	echo '<div class="wrap"><h1>', esc_html( get_admin_page_title() ), '</h1>';
	if ( in_array( $failure, array( 'foreign', 'unwritable' ), true ) ) {
		wp_admin_notice( esc_html( slbp_dropin_failure( $failure, SLBP_OBJECT_CACHE ) ), array( 'type' => 'error' ) );
	}
	echo '<p>', esc_html( slbp_describe_object_cache() ), '</p>';
	slbp_show_object_cache_buttons();
	slbp_show_object_cache_stats();
	echo '</div>';
}

/**
 * What can be done in the state it is in.
 */
function slbp_show_object_cache_buttons(): void {
	$state = slbp_dropin_state( SLBP_OBJECT_CACHE );
	if ( 'foreign' === $state ) {
		return;
	}
	printf( '<form method="post" action="%s"><input type="hidden" name="action" value="slbp_object_cache">', esc_url( admin_url( 'admin-post.php' ) ) );
	wp_nonce_field( 'slbp_object_cache' );
	$buttons = 'absent' === $state
		? array( 'enable' => __( 'Switch on', 'slbp' ) )
		: array(
			'flush'   => __( 'Empty', 'slbp' ),
			'disable' => __( 'Switch off', 'slbp' ),
		);
	foreach ( $buttons as $value => $label ) {
		printf( '<button class="button" name="button" value="%s">%s</button> ', esc_attr( $value ), esc_html( $label ) );
	}
	echo '</form>';
}

/**
 * The counts as a table.
 */
function slbp_show_object_cache_stats(): void {
	echo '<h2>', esc_html__( 'Counts', 'slbp' ), '</h2><table class="widefat striped" style="max-width: 40em"><tbody>';
	foreach ( slbp_flat_object_cache_stats() as $name => $value ) {
		printf( '<tr><td>%s</td><td>%s</td></tr>', esc_html( $name ), esc_html( $value ) );
	}
	echo '</tbody></table>';
}

/**
 * The counts of every layer in one list: "l1.hits" => "12".
 */
function slbp_flat_object_cache_stats( ?array $stats = null, string $prefix = '' ): array {
	$flat = array();
	foreach ( $stats ?? slbp_object_cache_stats() as $name => $value ) {
		if ( is_array( $value ) ) {
			$flat += slbp_flat_object_cache_stats( $value, "$prefix$name." );
		} else {
			$flat[ $prefix . $name ] = is_bool( $value ) ? ( $value ? 'yes' : 'no' ) : (string) $value;
		}
	}
	return $flat;
}
