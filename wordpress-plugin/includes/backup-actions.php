<?php
/**
 * What the buttons of the backup page do. Each needs the capability and its own nonce, does one thing
 * and leads back to the page, which shows what came of it.
 *
 * @package SLBP
 */

/**
 * What can be asked for, and who does it.
 */
function slbp_backup_actions(): array {
	return array(
		'create'  => 'slbp_create_backup_from_page',
		'verify'  => 'slbp_verify_backup_from_page',
		'restore' => 'slbp_restore_backup_from_page',
		'delete'  => 'slbp_delete_backup_from_page',
		'drill'   => 'slbp_drill_from_page',
		'copy'    => 'slbp_copy_backups_from_page',
		'fetch'   => 'slbp_fetch_backup_from_page',
	);
}

/**
 * On admin_post_slbp_backup.
 */
function slbp_handle_backup_action(): void {
	$action = sanitize_key( $_POST['what'] ?? '' );
	$work   = slbp_backup_actions()[ $action ] ?? null;
	if ( null === $work || ! slbp_can_manage() || null === slbp_backup_manager() ) {
		wp_die( esc_html__( 'You may not do this.', 'slbp' ), '', array( 'response' => 403 ) );
	}
	check_admin_referer( "slbp_backup_$action" );
	set_time_limit( 0 );
	ignore_user_abort( true );
	try {
		$result = $work( slbp_backup_manager(), sanitize_text_field( wp_unslash( $_POST['id'] ?? '' ) ) );
	} catch ( SLBP_Exception $exception ) {
		$result = array( 'success' => false, 'message' => $exception->getMessage() );
	}
	set_transient( slbp_backup_notice_name(), array( $result['success'], $result['message'] ), MINUTE_IN_SECONDS );
	wp_safe_redirect( slbp_backup_page_url() );
	exit;
}

/**
 * Where the result waits for the page.
 */
function slbp_backup_notice_name(): string {
	return 'slbp_backup_notice_' . get_current_user_id();
}

/**
 * Makes a backup in a process of its own.
 */
function slbp_create_backup_from_page( SLBP_Backup_Manager $manager ): array {
	$components = array_map( 'sanitize_key', (array) ( $_POST['components'] ?? array() ) );
	return $manager->create_backup( sanitize_key( $_POST['type'] ?? '' ), $components, array( 'async' => true ) );
}

/**
 * Reads a backup back in a process of its own.
 */
function slbp_verify_backup_from_page( SLBP_Backup_Manager $manager, string $id ): array {
	return $manager->verify_backup( $id, array( 'async' => true ) );
}

/**
 * Restores a backup whose id was typed in.
 */
function slbp_restore_backup_from_page( SLBP_Backup_Manager $manager, string $id ): array {
	if ( ! hash_equals( $id, sanitize_text_field( wp_unslash( $_POST['confirmation'] ?? '' ) ) ) ) {
		return array( 'success' => false, 'message' => __( 'Nothing was restored: type the id of the backup to confirm.', 'slbp' ) );
	}
	$components = array_map( 'sanitize_key', (array) ( $_POST['components'] ?? array() ) );
	return $manager->restore_backup( $id, $components, array( 'async' => true ) );
}

/**
 * Deletes a backup that nothing builds on.
 */
function slbp_delete_backup_from_page( SLBP_Backup_Manager $manager, string $id ): array {
	return $manager->delete_backup( $id );
}

/**
 * Copies to the stores of copies what they lack.
 */
function slbp_copy_backups_from_page( SLBP_Backup_Manager $manager ): array {
	return $manager->copy_backups( array( 'async' => true ) );
}

/**
 * Downloads a backup of which there are only copies.
 */
function slbp_fetch_backup_from_page( SLBP_Backup_Manager $manager, string $id ): array {
	return $manager->fetch_backup( $id, array( 'async' => true ) );
}

/**
 * Tests disaster recovery in a process of its own.
 */
function slbp_drill_from_page( SLBP_Backup_Manager $manager ): array {
	$begun = $manager->test_disaster_recovery( array( 'async' => true ) );
	if ( 'in_progress' !== ( $begun['status'] ?? '' ) ) {
		return array( 'success' => false, 'message' => implode( ' ', $begun['details']['errors'] ) );
	}
	/* translators: %s: id of the backup. */
	return array( 'success' => true, 'message' => sprintf( __( 'Recovery is being tested with backup %s.', 'slbp' ), $begun['backup_id'] ) );
}

/**
 * A link that downloads a backup: for this user, for an hour.
 */
function slbp_backup_download_url( string $id ): string {
	$expires = time() + HOUR_IN_SECONDS;
	$query   = array(
		'action'    => 'slbp_download_backup',
		'id'        => $id,
		'expires'   => $expires,
		'signature' => slbp_sign_backup_download( $id, $expires ),
	);
	return add_query_arg( $query, admin_url( 'admin-post.php' ) );
}

/**
 * What only this site can have written for this user.
 */
function slbp_sign_backup_download( string $id, int $expires ): string {
	return hash_hmac( 'sha256', implode( '|', array( 'slbp_download', $id, $expires, get_current_user_id() ) ), wp_salt( 'nonce' ) );
}

/**
 * On admin_post_slbp_download_backup.
 */
function slbp_download_backup(): void {
	$id      = sanitize_text_field( wp_unslash( $_GET['id'] ?? '' ) );
	$expires = absint( $_GET['expires'] ?? 0 );
	$signed  = hash_equals( slbp_sign_backup_download( $id, $expires ), sanitize_key( $_GET['signature'] ?? '' ) );
	if ( ! slbp_can_manage() || ! $signed || $expires < time() ) {
		wp_die( esc_html__( 'This link is not valid, or not any more.', 'slbp' ), '', array( 'response' => 403 ) );
	}
	if ( ! slbp_backup_manager()?->get_backup_info( $id ) ) {
		wp_die( esc_html__( 'There is no such backup.', 'slbp' ), '', array( 'response' => 404 ) );
	}
	set_time_limit( 0 );
	ignore_user_abort( true );
	while ( ob_get_level() > 0 ) {
		ob_end_clean();
	}
	nocache_headers();
	header( 'Content-Type: application/x-tar' );
	header( "Content-Disposition: attachment; filename=\"$id.tar\"" );
	header( 'X-Accel-Buffering: no' );
	slbp_backup_manager()->export_backup( $id, 'php://output' );
	exit;
}
