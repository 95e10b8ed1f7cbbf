<?php
/**
 * Tools > Alerts: how things stand, who is told, what has been. It works without a script.
 *
 * @package SLBP
 */

/**
 * On admin_menu.
 */
function slbp_add_alerts_page(): void {
	add_management_page( __( 'Alerts', 'slbp' ), __( 'Alerts', 'slbp' ), 'manage_options', 'slbp-alerts', 'slbp_show_alerts_page' );
}

/**
 * Where the page is.
 */
function slbp_alerts_page_url(): string {
	return admin_url( 'tools.php?page=slbp-alerts' );
}

/**
 * On admin_post_slbp_alerts: a button was pressed.
 */
function slbp_press_alerts_button(): void {
	check_admin_referer( 'slbp_alerts' );
	if ( ! slbp_can_manage() ) {
		wp_die( esc_html__( 'You may not change alerts.', 'slbp' ), 403 );
	}
	try {
		$said = slbp_do_with_alerts( sanitize_key( $_POST['button'] ?? '' ) );
	} catch ( SLBP_Exception $exception ) {
		$said = array( false, $exception->getMessage() );
	}
	set_transient( 'slbp_alerts_said_' . get_current_user_id(), $said, MINUTE_IN_SECONDS );
	wp_safe_redirect( slbp_alerts_page_url() );
	exit;
}

/**
 * What the button says: whether it could be done, and a sentence about it.
 */
function slbp_do_with_alerts( string $button ): array {
	return match ( $button ) {
		'silence' => slbp_silence_as_asked(),
		'test'    => slbp_test_as_asked(),
		'look'    => array( (bool) slbp_look_at_alerts(), __( 'Every rule was looked at.', 'slbp' ) ),
		default   => array( false, __( 'There is no such button.', 'slbp' ) ),
	};
}

/**
 * The form's silence.
 */
function slbp_silence_as_asked(): array {
	$done = (bool) slbp_monitoring_manager()?->silence_alert( slbp_alerts_field( 'alert' ), absint( $_POST['seconds'] ?? 0 ), slbp_alerts_field( 'comment' ) );
	return array( $done, $done ? __( 'Saved.', 'slbp' ) : __( 'The silence could not be kept.', 'slbp' ) );
}

/**
 * The form's test message.
 */
function slbp_test_as_asked(): array {
	$answer = (array) slbp_monitoring_manager()?->test_notification( slbp_alerts_field( 'channel' ), slbp_alerts_field( 'target' ) );
	return array( (bool) ( $answer['success'] ?? false ), (string) ( $answer['message'] ?? '' ) );
}

/**
 * A field of the form.
 */
function slbp_alerts_field( string $name ): string {
	return sanitize_text_field( wp_unslash( (string) ( $_POST[ $name ] ?? '' ) ) );
}

/**
 * The page.
 */
function slbp_show_alerts_page(): void {
	echo '<div class="wrap"><h1>' . esc_html( get_admin_page_title() ) . '</h1>';
	slbp_show_what_alerts_said();
	if ( null === slbp_monitoring_manager() ) {
		wp_admin_notice( esc_html__( 'Alerts are off; the log says why.', 'slbp' ), array( 'type' => 'error' ) );
	} else {
		$now = slbp_alerts_now( 20 );
		slbp_show_alert_state( $now );
		slbp_show_alert_rules( $now['rules'], $now['silences'] );
		slbp_show_alert_history( $now['history'] );
		slbp_show_notification_test();
	}
	echo '</div>';
}

/**
 * What came of the last button, once.
 */
function slbp_show_what_alerts_said(): void {
	$name = 'slbp_alerts_said_' . get_current_user_id();
	$said = get_transient( $name );
	if ( is_array( $said ) ) {
		delete_transient( $name );
		wp_admin_notice( esc_html( $said[1] ), array( 'type' => $said[0] ? 'success' : 'error' ) );
	}
}

/**
 * What fires, in words first.
 */
function slbp_show_alert_state( array $now ): void {
	$firing = array_filter( $now['alerts'], static fn( $alert ) => 'firing' === $alert['state'] );
	/* translators: %d: number of alerts. */
	$sentence = $firing ? sprintf( _n( '%d alert is firing.', '%d alerts are firing.', count( $firing ), 'slbp' ), count( $firing ) ) : __( 'No alert is firing.', 'slbp' );
	echo '<h2 id="slbp-alert-state" role="status">' . esc_html( $sentence ) . '</h2>';
	$rows = array();
	foreach ( $now['alerts'] as $alert ) {
		$labels = implode( ', ', array_map( static fn( $name, $value ) => "$name=$value", array_keys( $alert['labels'] ), $alert['labels'] ) );
		$rows[] = array( $alert['alert_name'], $alert['state'], $alert['severity'], $alert['message'], $labels, slbp_alert_time( $alert['since'] ) );
	}
	$columns = array( __( 'Alert', 'slbp' ), __( 'State', 'slbp' ), __( 'Severity', 'slbp' ), __( 'Message', 'slbp' ), __( 'Labels', 'slbp' ), __( 'Since', 'slbp' ) );
	slbp_show_alert_table( __( 'Alerts that are pending, firing or just resolved', 'slbp' ), $columns, $rows );
	slbp_open_alerts_form( 'look' );
	submit_button( __( 'Look now', 'slbp' ), 'secondary', '', false );
	echo '</form>';
}

/**
 * Every rule, who is told, and the way to silence it.
 */
function slbp_show_alert_rules( array $rules, array $silences ): void {
	echo '<h2>' . esc_html__( 'Rules', 'slbp' ) . '</h2>';
	$rows = array();
	foreach ( $rules as $rule ) {
		$told   = array_map( static fn( $receiver ) => "{$receiver['channel']}: {$receiver['target']}", $rule['receivers'] );
		$rows[] = array( $rule['alert_name'], $rule['enabled'] ? $rule['state'] : __( 'off', 'slbp' ), $rule['severity'], "{$rule['metric']} {$rule['condition']} {$rule['threshold']}", implode( '; ', $told ) );
	}
	slbp_show_alert_table( __( 'Rules', 'slbp' ), array( __( 'Alert', 'slbp' ), __( 'State', 'slbp' ), __( 'Severity', 'slbp' ), __( 'Condition', 'slbp' ), __( 'Who is told', 'slbp' ) ), $rows );
	foreach ( $silences as $silence ) {
		/* translators: 1: alert, 2: time, 3: user, 4: comment. */
		echo '<p>' . esc_html( sprintf( __( '%1$s is silenced until %2$s by %3$s. %4$s', 'slbp' ), $silence['alert'], slbp_alert_time( $silence['expires'] ), $silence['author'], $silence['comment'] ) ) . '</p>';
	}
	slbp_open_alerts_form( 'silence' );
	echo '<p><label>' . esc_html__( 'Alert', 'slbp' ) . ' <select name="alert"><option value="*">' . esc_html__( 'every alert', 'slbp' ) . '</option>';
	foreach ( $rules as $rule ) {
		printf( '<option value="%1$s">%1$s</option>', esc_attr( $rule['alert_name'] ) );
	}
	echo '</select></label> <label>' . esc_html__( 'for', 'slbp' ) . ' <select name="seconds">';
	foreach ( array( HOUR_IN_SECONDS, 4 * HOUR_IN_SECONDS, DAY_IN_SECONDS ) as $seconds ) {
		printf( '<option value="%d">%s</option>', (int) $seconds, esc_html( human_time_diff( 0, $seconds ) ) );
	}
	echo '<option value="0">' . esc_html__( 'no longer', 'slbp' ) . '</option></select></label> ';
	echo '<label>' . esc_html__( 'Comment', 'slbp' ) . ' <input name="comment" maxlength="300"></label> ';
	submit_button( __( 'Silence', 'slbp' ), 'secondary', '', false );
	echo '</p></form>';
}

/**
 * What has been.
 */
function slbp_show_alert_history( array $events ): void {
	echo '<h2>' . esc_html__( 'History', 'slbp' ) . '</h2>';
	$rows = array_map( static fn( $event ) => array( slbp_alert_time( $event['timestamp'] ), $event['alert_name'], $event['state'], $event['severity'], $event['message'], $event['instance_id'] ), $events );
	slbp_show_alert_table( __( 'The newest events', 'slbp' ), array( __( 'When', 'slbp' ), __( 'Alert', 'slbp' ), __( 'State', 'slbp' ), __( 'Severity', 'slbp' ), __( 'Message', 'slbp' ), __( 'Host', 'slbp' ) ), $rows );
}

/**
 * A form that sends a test message.
 */
function slbp_show_notification_test(): void {
	echo '<h2>' . esc_html__( 'Test a notification', 'slbp' ) . '</h2>';
	slbp_open_alerts_form( 'test' );
	echo '<p><label>' . esc_html__( 'Channel', 'slbp' ) . ' <select name="channel">';
	foreach ( array( 'email', 'webhook', 'slack', 'alertmanager' ) as $channel ) {
		printf( '<option>%s</option>', esc_html( $channel ) );
	}
	echo '</select></label> <label>' . esc_html__( 'Address', 'slbp' ) . ' <input name="target" class="regular-text" required></label> ';
	submit_button( __( 'Send a test', 'slbp' ), 'secondary', '', false );
	echo '</p></form>';
}

/**
 * The beginning of a form whose button is `$button`.
 */
function slbp_open_alerts_form( string $button ): void {
	printf( '<form method="post" action="%s"><input type="hidden" name="action" value="slbp_alerts"><input type="hidden" name="button" value="%s">', esc_url( admin_url( 'admin-post.php' ) ), esc_attr( $button ) );
	wp_nonce_field( 'slbp_alerts' );
}

/**
 * A table of texts.
 */
function slbp_show_alert_table( string $caption, array $columns, array $rows ): void {
	echo '<table class="widefat striped"><caption class="screen-reader-text">' . esc_html( $caption ) . '</caption><thead><tr>';
	foreach ( $columns as $column ) {
		echo '<th scope="col">' . esc_html( $column ) . '</th>';
	}
	echo '</tr></thead><tbody>';
	foreach ( $rows as $row ) {
		echo '<tr><td>' . implode( '</td><td>', array_map( 'esc_html', $row ) ) . '</td></tr>';
	}
	if ( ! $rows ) {
		printf( '<tr><td colspan="%d">%s</td></tr>', count( $columns ), esc_html__( 'None.', 'slbp' ) );
	}
	echo '</tbody></table>';
}

/**
 * A moment in the site's own zone and format.
 */
function slbp_alert_time( ?int $timestamp ): string {
	return null === $timestamp ? '' : (string) wp_date( get_option( 'date_format' ) . ' ' . get_option( 'time_format' ), $timestamp );
}
