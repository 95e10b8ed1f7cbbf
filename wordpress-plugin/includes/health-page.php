<?php
/**
 * Tools > Health: every check with what it found, and the button that drains this node.
 *
 * @package SLBP
 */

/**
 * On admin_menu.
 */
function slbp_add_health_page(): void {
	add_management_page( __( 'Health', 'slbp' ), __( 'Health', 'slbp' ), 'manage_options', 'slbp-health', 'slbp_show_health_page' );
}

/**
 * On admin_post_slbp_drain: a button was pressed.
 */
function slbp_press_drain_button(): void {
	check_admin_referer( 'slbp_drain' );
	if ( ! slbp_can_manage() ) {
		wp_die( esc_html__( 'You may not drain this node.', 'slbp' ), 403 );
	}
	try {
		slbp_scalability_manager()?->set_draining( 'drain' === ( $_POST['button'] ?? '' ) );
	} catch ( SLBP_Exception $exception ) {
		wp_die( esc_html( $exception->getMessage() ), 500 );
	}
	wp_safe_redirect( admin_url( 'tools.php?page=slbp-health' ) );
	exit;
}

/**
 * The page.
 */
function slbp_show_health_page(): void {
	echo '<div class="wrap"><h1>', esc_html( get_admin_page_title() ), '</h1>';
	$report = slbp_health_report();
	if ( null === $report ) {
		wp_admin_notice( esc_html__( 'Health checks are off; the log says why.', 'slbp' ), array( 'type' => 'error' ) );
	} else {
		slbp_show_health_summary( $report );
		slbp_show_drain_button( slbp_scalability_manager()->is_draining() );
		slbp_show_checks( $report['checks'] );
	}
	echo '</div>';
}

/**
 * What the detailed check says; null when health checks are off.
 */
function slbp_health_report(): ?array {
	try {
		$answer = slbp_scalability_manager()?->detailed_health_check();
	} catch ( SLBP_Exception $exception ) {
		error_log( 'SLBP: ' . $exception->getMessage() );
		return null;
	}
	return $answer instanceof WP_REST_Response ? $answer->get_data() : null;
}

/**
 * One sentence about the whole.
 */
function slbp_show_health_summary( array $report ): void {
	$types = array(
		'healthy'   => 'success',
		'degraded'  => 'warning',
		'unhealthy' => 'error',
	);
	/* translators: 1: name of a server, 2: healthy, degraded or unhealthy */
	$text = sprintf( __( 'Node %1$s: %2$s.', 'slbp' ), $report['instance_id'], slbp_health_word( $report['status'] ) );
	wp_admin_notice( esc_html( $text ), array( 'type' => $types[ $report['status'] ] ) );
}

/**
 * Drains the node that has answered this page, or ends that.
 */
function slbp_show_drain_button( bool $draining ): void {
	printf( '<form method="post" action="%s"><input type="hidden" name="action" value="slbp_drain">', esc_url( admin_url( 'admin-post.php' ) ) );
	wp_nonce_field( 'slbp_drain' );
	echo '<p>', esc_html( $draining ? __( 'This node is being drained: load balancers send it no new visitors.', 'slbp' ) : __( 'This node takes visitors.', 'slbp' ) ), ' ';
	printf(
		'<button class="button" name="button" value="%s">%s</button></p></form>',
		$draining ? 'accept' : 'drain',
		esc_html( $draining ? __( 'Take visitors again', 'slbp' ) : __( 'Drain this node', 'slbp' ) )
	);
}

/**
 * The checks as a table.
 */
function slbp_show_checks( array $checks ): void {
	$columns = array( __( 'Check', 'slbp' ), __( 'State', 'slbp' ), __( 'Measured', 'slbp' ), __( 'Finding', 'slbp' ), __( 'Checked', 'slbp' ) );
	echo '<table class="widefat striped"><caption class="screen-reader-text">', esc_html__( 'Health checks', 'slbp' ), '</caption><thead><tr>';
	foreach ( $columns as $column ) {
		echo '<th scope="col">', esc_html( $column ), '</th>';
	}
	echo '</tr></thead><tbody>';
	foreach ( $checks as $name => $check ) {
		slbp_show_check( (string) $name, $check );
	}
	echo '</tbody></table>';
}

/**
 * One row.
 */
function slbp_show_check( string $name, array $check ): void {
	/* translators: %s: a time span, e.g. 5 seconds */
	$age = sprintf( __( '%s ago', 'slbp' ), human_time_diff( time() - (int) $check['age'] ) );
	printf( '<tr><th scope="row">%s%s</th>', esc_html( $name ), $check['critical'] ? ' <em>(' . esc_html__( 'critical', 'slbp' ) . ')</em>' : '' );
	foreach ( array( slbp_health_word( $check['status'] ), slbp_measured( $check ), $check['message'], $age ) as $cell ) {
		echo '<td>', esc_html( $cell ), '</td>';
	}
	echo '</tr>';
}

/**
 * The number behind a check, for people.
 */
function slbp_measured( array $check ): string {
	if ( null === $check['value'] ) {
		return '';
	}
	$value = (float) $check['value'];
	return match ( $check['unit'] ) {
		'percent' => number_format_i18n( $value, 1 ) . ' %',
		'bytes'   => (string) size_format( $value ),
		's'       => $value < 1 ? number_format_i18n( $value * 1000, 1 ) . ' ms' : number_format_i18n( $value, $value < 10 ? 1 : 0 ) . ' s',
		default   => number_format_i18n( $value ),
	};
}

/**
 * A state in the reader's language.
 */
function slbp_health_word( string $state ): string {
	return match ( $state ) {
		'healthy'  => __( 'healthy', 'slbp' ),
		'degraded' => __( 'degraded', 'slbp' ),
		default    => __( 'unhealthy', 'slbp' ),
	};
}
