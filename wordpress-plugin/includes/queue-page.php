<?php
/**
 * Tools > Background Tasks: what is queued, what became of it, and the buttons.
 *
 * @package SLBP
 */

/**
 * On admin_menu.
 */
function slbp_add_queue_page(): void {
	add_management_page( __( 'Background Tasks', 'slbp' ), __( 'Background Tasks', 'slbp' ), 'manage_options', 'slbp-queue', 'slbp_show_queue_page' );
}

/**
 * On admin_post_slbp_queue: a button was pressed.
 */
function slbp_press_queue_button(): void {
	check_admin_referer( 'slbp_queue' );
	if ( ! slbp_can_manage() ) {
		wp_die( esc_html__( 'You may not change background tasks.', 'slbp' ), 403 );
	}
	$done = slbp_change_task( (string) ( $_POST['button'] ?? '' ), (int) ( $_POST['task'] ?? 0 ) );
	wp_safe_redirect( add_query_arg( 'changed', $done ? 'yes' : 'no', wp_get_referer() ?: admin_url( 'tools.php?page=slbp-queue' ) ) );
	exit;
}

/**
 * What the button says; whether it could be done.
 */
function slbp_change_task( string $button, int $id ): bool {
	return match ( $button ) {
		'retry'  => (bool) slbp_background_processor()?->retry_task( $id ),
		'cancel' => (bool) slbp_background_processor()?->cancel_task( $id ),
		default  => false,
	};
}

/**
 * The page.
 */
function slbp_show_queue_page(): void {
	echo '<div class="wrap"><h1>', esc_html( get_admin_page_title() ), '</h1>';
	$processor = slbp_background_processor();
	if ( null === $processor ) {
		wp_admin_notice( esc_html__( 'Background tasks are off; the log says why.', 'slbp' ), array( 'type' => 'error' ) );
	} else {
		if ( 'no' === ( $_GET['changed'] ?? '' ) ) {
			wp_admin_notice( esc_html__( 'The task was in a state in which this cannot be done.', 'slbp' ), array( 'type' => 'warning' ) );
		}
		$filters = slbp_queue_page_filters();
		slbp_show_queue_filters( $processor->get_queue_stats(), $filters );
		slbp_show_tasks( $processor->get_tasks( $filters + array( 'limit' => 50 ) ), $filters );
	}
	echo '</div>';
}

/**
 * What the address of the page asks for.
 */
function slbp_queue_page_filters(): array {
	$status  = sanitize_key( $_GET['status'] ?? '' );
	$filters = array(
		'status'    => in_array( $status, slbp_queue_statuses(), true ) ? $status : '',
		'task_type' => preg_replace( '/[^\w.:\/-]/', '', (string) ( $_GET['task_type'] ?? '' ) ),
		'batch_id'  => preg_replace( '/[^\w.:\/-]/', '', (string) ( $_GET['batch_id'] ?? '' ) ),
		'before'    => absint( $_GET['before'] ?? 0 ),
	);
	return array_filter( $filters );
}

/**
 * The statuses that can be asked for, in the order in which they are offered.
 */
function slbp_queue_statuses(): array {
	return array( 'pending', 'scheduled', 'processing', 'held', 'failed', 'completed', 'cancelled' );
}

/**
 * The statuses with their numbers, and a field for the type.
 */
function slbp_show_queue_filters( array $stats, array $filters ): void {
	$links = array( '<a href="' . esc_url( slbp_queue_page_url() ) . '">' . esc_html__( 'All', 'slbp' ) . '</a>' );
	foreach ( slbp_queue_statuses() as $status ) {
		$current = ( $filters['status'] ?? '' ) === $status ? ' class="current"' : '';
		$links[] = sprintf( '<a href="%s"%s>%s <span class="count">(%d)</span></a>', esc_url( slbp_queue_page_url( array( 'status' => $status ) ) ), $current, esc_html( $status ), $stats[ $status ] );
	}
	echo '<ul class="subsubsub"><li>', implode( ' |</li> <li>', $links ), '</li></ul>'; // Each link is escaped above.
	printf(
		'<form method="get" class="search-box"><input type="hidden" name="page" value="slbp-queue"><input type="hidden" name="status" value="%s"><input type="search" name="task_type" value="%s" placeholder="%s"><button class="button">%s</button></form>',
		esc_attr( $filters['status'] ?? '' ),
		esc_attr( $filters['task_type'] ?? '' ),
		esc_attr__( 'Type', 'slbp' ),
		esc_html__( 'Filter', 'slbp' )
	);
}

/**
 * The tasks as a table.
 */
function slbp_show_tasks( array $tasks, array $filters ): void {
	echo '<table class="widefat striped" id="slbp-tasks"><thead><tr>';
	foreach ( array( '#', __( 'Type', 'slbp' ), __( 'Status', 'slbp' ), __( 'Progress', 'slbp' ), __( 'Priority', 'slbp' ), __( 'Attempts', 'slbp' ), __( 'Scheduled', 'slbp' ), __( 'Data and error', 'slbp' ), '' ) as $heading ) {
		echo '<th>', esc_html( $heading ), '</th>';
	}
	echo '</tr></thead><tbody>';
	array_walk( $tasks, 'slbp_show_task' );
	echo '</tbody></table>';
	if ( array() === $tasks ) {
		echo '<p>', esc_html__( 'There are no such tasks.', 'slbp' ), '</p>';
	} else {
		printf( '<p><a href="%s">%s</a></p>', esc_url( slbp_queue_page_url( array( 'before' => end( $tasks )['id'] ) + $filters ) ), esc_html__( 'Older', 'slbp' ) );
	}
}

/**
 * One row.
 */
function slbp_show_task( array $task ): void {
	$progress = $task['progress'];
	$shown    = $progress['total'] > 0 ? sprintf( '%d / %d ', $progress['done'], $progress['total'] ) : '';
	$cells    = array(
		$task['id'],
		$task['task_type'],
		$task['status'] === $task['state'] ? $task['status'] : "{$task['status']} ({$task['state']})",
		$shown . $progress['message'] . ( null === $progress['eta'] ? '' : sprintf( ' (%d s)', $progress['eta'] ) ),
		$task['priority'],
		$task['retry_count'] . ( $task['crash_count'] > 0 ? " + {$task['crash_count']}" : '' ),
		$task['scheduled_at'],
	);
	printf( '<tr data-task="%d" data-status="%s">', $task['id'], esc_attr( $task['status'] ) );
	foreach ( $cells as $cell ) {
		echo '<td>', esc_html( (string) $cell ), '</td>';
	}
	printf( '<td>%s<details><summary>%s</summary><pre>%s</pre></details></td><td>', esc_html( (string) $task['error_message'] ), esc_html__( 'Data', 'slbp' ), esc_html( wp_json_encode( $task['task_data'], JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE ) ) );
	slbp_show_export_link( $task );
	slbp_show_task_button( $task );
	echo '</td></tr>';
}

/**
 * A link to the file of an export that is there.
 */
function slbp_show_export_link( array $task ): void {
	$url = 'data_export' === $task['task_type'] && 'completed' === $task['status'] ? slbp_export_url( $task['progress']['message'] ) : '';
	if ( '' !== $url ) {
		printf( '<a class="button" href="%s">%s</a>', esc_url( $url ), esc_html__( 'Download', 'slbp' ) );
	}
}

/**
 * What can be done with a task in its state.
 */
function slbp_show_task_button( array $task ): void {
	$can_end = array( 'pending', 'processing', 'held' );
	$can_run = array( 'failed', 'held', 'cancelled' );
	printf( '<form method="post" action="%s"><input type="hidden" name="action" value="slbp_queue"><input type="hidden" name="task" value="%d">', esc_url( admin_url( 'admin-post.php' ) ), $task['id'] );
	wp_nonce_field( 'slbp_queue' );
	if ( in_array( $task['status'], $can_run, true ) ) {
		printf( '<button class="button" name="button" value="retry">%s</button> ', esc_html__( 'Run again', 'slbp' ) );
	}
	if ( in_array( $task['status'], $can_end, true ) ) {
		printf( '<button class="button" name="button" value="cancel">%s</button>', esc_html__( 'Cancel', 'slbp' ) );
	}
	echo '</form>';
}

/**
 * The address of the page with these filters.
 */
function slbp_queue_page_url( array $filters = array() ): string {
	return add_query_arg( array_map( 'rawurlencode', array_map( 'strval', $filters ) ), admin_url( 'tools.php?page=slbp-queue' ) );
}
