<?php
/**
 * The page Tools > Backups. It works without a script: while something is going on it loads itself
 * again every few seconds.
 *
 * @package SLBP
 */

/**
 * On admin_menu.
 */
function slbp_add_backup_page(): void {
	add_management_page( __( 'Backups', 'slbp' ), __( 'Backups', 'slbp' ), 'manage_options', 'slbp-backups', 'slbp_show_backup_page' );
}

/**
 * Where the page is.
 */
function slbp_backup_page_url(): string {
	return admin_url( 'tools.php?page=slbp-backups' );
}

/**
 * Shows the page.
 */
function slbp_show_backup_page(): void {
	$manager = slbp_backup_manager();
	echo '<div class="wrap"><h1>' . esc_html__( 'Backups', 'slbp' ) . '</h1>';
	slbp_show_backup_notice();
	try {
		if ( null === $manager ) {
			throw new SLBP_Config_Exception( __( 'Backups are off; the log says why.', 'slbp' ) );
		}
		$report = $manager->get_progress();
		slbp_show_backup_progress( $report );
		slbp_show_backup_forms();
		slbp_show_backup_list( $manager->list_backups() );
	} catch ( SLBP_Exception $exception ) {
		slbp_show_backup_message( false, $exception->getMessage() );
	}
	echo '</div>';
}

/**
 * What came of the last button, once.
 */
function slbp_show_backup_notice(): void {
	$notice = get_transient( slbp_backup_notice_name() );
	if ( is_array( $notice ) ) {
		delete_transient( slbp_backup_notice_name() );
		slbp_show_backup_message( (bool) $notice[0], (string) $notice[1] );
	}
}

/**
 * A sentence in green or red.
 */
function slbp_show_backup_message( bool $good, string $message ): void {
	printf( '<div class="notice notice-%s"><p>%s</p></div>', $good ? 'success' : 'error', esc_html( $message ) );
}

/**
 * What is going on now, or how the last restore or test ended.
 */
function slbp_show_backup_progress( ?array $report ): void {
	if ( null === $report ) {
		return;
	}
	if ( 'in_progress' === $report['status'] ) {
		echo '<meta http-equiv="refresh" content="3">';
		printf(
			'<p id="slbp-progress" role="status"><label>%s: %s <progress max="100" value="%d">%d %%</progress></label> %s</p>',
			esc_html( "{$report['work']} {$report['id']}" ),
			esc_html( $report['step'] ),
			(int) $report['percent'],
			(int) $report['percent'],
			esc_html( slbp_describe_backup_progress( $report ) )
		);
		return;
	}
	/* translators: 1: what was done, 2: id of the backup, 3: status, 4: reason. */
	printf( '<p id="slbp-progress" role="status">' . esc_html__( 'Last: %1$s %2$s, %3$s. %4$s', 'slbp' ) . '</p>', esc_html( $report['work'] ), esc_html( $report['id'] ), esc_html( $report['status'] ), esc_html( $report['message'] ) );
}

/**
 * How far work is, in words: percent, bytes, tables and folders, and the time left.
 */
function slbp_describe_backup_progress( array $report ): string {
	$parts = array( "{$report['percent']} %" );
	if ( $report['total_bytes'] > 0 ) {
		/* translators: 1: size done, 2: size in all. */
		$parts[] = sprintf( __( '%1$s of %2$s', 'slbp' ), size_format( $report['done_bytes'] ), size_format( $report['total_bytes'] ) );
	}
	if ( $report['total_parts'] > 0 ) {
		/* translators: 1: number done, 2: number in all. */
		$parts[] = sprintf( __( '%1$d of %2$d tables and folders', 'slbp' ), $report['done_parts'], $report['total_parts'] );
	}
	if ( null !== $report['eta_seconds'] ) {
		/* translators: %s: a time such as "2 mins". */
		$parts[] = sprintf( __( 'about %s left', 'slbp' ), human_time_diff( 0, $report['eta_seconds'] ) );
	}
	return implode( ', ', $parts );
}

/**
 * Making a backup and testing recovery.
 */
function slbp_show_backup_forms(): void {
	slbp_open_backup_form( 'create' );
	echo '<label>' . esc_html__( 'Type', 'slbp' ) . ' <select name="type">';
	foreach ( array( 'full', 'incremental', 'differential' ) as $type ) {
		printf( '<option>%s</option>', esc_html( $type ) );
	}
	echo '</select></label> ';
	slbp_show_component_boxes( array( 'database', 'files', 'config' ) );
	slbp_close_backup_form( __( 'Make a backup', 'slbp' ), 'primary' );

	slbp_open_backup_form( 'drill' );
	slbp_close_backup_form( __( 'Test disaster recovery', 'slbp' ) );

	slbp_open_backup_form( 'copy' );
	slbp_close_backup_form( __( 'Bring copies up to date', 'slbp' ) );
}

/**
 * Every backup with its buttons.
 */
function slbp_show_backup_list( array $backups ): void {
	$titles = array( __( 'Backup', 'slbp' ), __( 'Made', 'slbp' ), __( 'Type', 'slbp' ), __( 'Parts', 'slbp' ), __( 'Size', 'slbp' ), __( 'Status', 'slbp' ), __( 'Where', 'slbp' ), __( 'Actions', 'slbp' ) );
	echo '<table class="widefat striped"><caption class="screen-reader-text">' . esc_html__( 'Backups, newest first', 'slbp' ) . '</caption>';
	echo '<thead><tr><th scope="col">' . implode( '</th><th scope="col">', array_map( 'esc_html', $titles ) ) . '</th></tr></thead><tbody>';
	foreach ( $backups as $backup ) {
		$cells = array(
			$backup['id'],
			wp_date( 'Y-m-d H:i', $backup['created_at'] ),
			trim( "{$backup['type']} {$backup['purpose']}" ),
			implode( ', ', $backup['components'] ),
			(string) size_format( $backup['size'] ),
			trim( "{$backup['status']} {$backup['error']}" ),
			slbp_describe_backup_places( $backup ),
		);
		echo '<tr><td>' . implode( '</td><td>', array_map( 'esc_html', $cells ) ) . '</td><td>';
		if ( in_array( $backup['status'], array( 'completed', 'partial' ), true ) ) {
			slbp_show_backup_buttons( $backup );
		}
		echo '</td></tr>';
	}
	echo '</tbody></table>';
}

/**
 * Where a backup is, and where it is still to be copied to.
 */
function slbp_describe_backup_places( array $backup ): string {
	/* translators: %s: name of a store. */
	$awaiting = array_map( static fn( $name ) => sprintf( __( '%s: not yet', 'slbp' ), $name ), $backup['awaiting'] );
	return implode( ', ', array( ...$backup['locations'], ...$awaiting ) );
}

/**
 * What can be done with one backup. One of which there are only copies has to be brought here first.
 */
function slbp_show_backup_buttons( array $backup ): void {
	if ( ! in_array( 'local', $backup['locations'], true ) ) {
		slbp_open_backup_form( 'fetch', $backup['id'] );
		slbp_close_backup_form( __( 'Bring here', 'slbp' ) );
		slbp_open_backup_form( 'delete', $backup['id'] );
		slbp_close_backup_form( __( 'Delete', 'slbp' ) );
		return;
	}
	printf( '<a class="button" href="%s">%s</a> ', esc_url( slbp_backup_download_url( $backup['id'] ) ), esc_html__( 'Download', 'slbp' ) );
	slbp_open_backup_form( 'verify', $backup['id'] );
	slbp_close_backup_form( __( 'Verify', 'slbp' ) );
	slbp_open_backup_form( 'delete', $backup['id'] );
	slbp_close_backup_form( __( 'Delete', 'slbp' ) );
	echo '<details><summary>' . esc_html__( 'Restore', 'slbp' ) . '</summary>';
	slbp_open_backup_form( 'restore', $backup['id'] );
	slbp_show_component_boxes( $backup['components'] );
	/* translators: %s: id of the backup. */
	printf( '<label>%s <input name="confirmation" autocomplete="off" required></label> ', esc_html( sprintf( __( 'Type %s to confirm:', 'slbp' ), $backup['id'] ) ) );
	slbp_close_backup_form( __( 'Restore', 'slbp' ) );
	echo '</details>';
}

/**
 * A box for each component, ticked.
 */
function slbp_show_component_boxes( array $components ): void {
	foreach ( $components as $component ) {
		printf( '<label><input type="checkbox" name="components[]" value="%1$s" checked> %1$s</label> ', esc_attr( $component ) );
	}
}

/**
 * The beginning of a form that asks for `$what`.
 */
function slbp_open_backup_form( string $what, string $id = '' ): void {
	printf( '<form method="post" action="%s" style="display:inline">', esc_url( admin_url( 'admin-post.php' ) ) );
	printf( '<input type="hidden" name="action" value="slbp_backup"><input type="hidden" name="what" value="%s"><input type="hidden" name="id" value="%s">', esc_attr( $what ), esc_attr( $id ) );
	wp_nonce_field( "slbp_backup_$what", '_wpnonce', false );
}

/**
 * Its button and end.
 */
function slbp_close_backup_form( string $label, string $kind = 'secondary' ): void {
	printf( '<button class="button button-%s">%s</button></form> ', esc_attr( $kind ), esc_html( $label ) );
}
