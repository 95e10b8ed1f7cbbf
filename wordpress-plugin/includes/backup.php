<?php
/**
 * Backups: the component, its REST routes and its schedule.
 *
 * @package SLBP
 */

/**
 * The site's backups, or null when their settings cannot be used; the log says why.
 */
function slbp_backup_manager(): ?SLBP_Backup_Manager {
	static $manager = false;
	if ( false === $manager ) {
		try {
			$manager = SLBP_Plugin::get_instance()->get_backup_manager();
		} catch ( SLBP_Exception $exception ) {
			error_log( 'SLBP: backups are off: ' . $exception->getMessage() );
			$manager = null;
		}
	}
	return $manager;
}

/**
 * Routes that a method of the backup manager answers.
 */
function slbp_backup_routes(): array {
	$id = '(?P<id>[a-z0-9_-]+)';
	return array(
		array( '/backup/create', 'POST', 'create_backup_endpoint' ),
		array( '/backup/list', 'GET', 'list_backups_endpoint' ),
		array( "/backup/restore/$id", 'POST', 'restore_backup_endpoint' ),
		array( "/backup/delete/$id", 'DELETE', 'delete_backup_endpoint' ),
		array( "/backup/verify/$id", 'POST', 'verify_backup_endpoint' ),
		array( "/backup/fetch/$id", 'POST', 'fetch_backup_endpoint' ),
		array( '/backup/copy', 'POST', 'copy_backups_endpoint' ),
		array( "/backup/$id/progress", 'GET', 'get_progress_endpoint' ),
		array( '/backup/config', 'GET, POST', 'manage_backup_config' ),
		array( '/backup/dr-test', 'POST', 'disaster_recovery_test' ),
	);
}

/**
 * On rest_api_init: registers the table.
 */
function slbp_register_backup_routes(): void {
	foreach ( slbp_backup_routes() as list( $route, $methods, $method ) ) {
		slbp_register_rest_route( $route, $methods, 'slbp_may_ask_for_backups', static fn( $request ) => slbp_answer_from_backups( $method, $request ) );
	}
}

/**
 * Administrators, and who has the token of wp-config.php (SLBP_BACKUP_TOKEN).
 */
function slbp_may_ask_for_backups( WP_REST_Request $request ): bool {
	return slbp_can_manage() || (bool) slbp_backup_manager()?->check_backup_permissions( $request );
}

/**
 * Whether someone who may is looking how far a backup is: that is asked every second and not charged.
 */
function slbp_is_watching_backup( WP_REST_Request $request ): bool {
	return str_ends_with( $request->get_route(), '/progress' ) && slbp_may_ask_for_backups( $request );
}

/**
 * Hands the request to a method of the backup manager; settings that cannot be used are a 503.
 */
function slbp_answer_from_backups( string $method, WP_REST_Request $request ): mixed {
	try {
		return slbp_backup_manager()?->$method( $request ) ?? new WP_Error( 'slbp_backups_off', __( 'Backups are off; the log says why.', 'slbp' ), array( 'status' => 503 ) );
	} catch ( SLBP_Exception $exception ) {
		return new WP_Error( 'slbp_backups_off', $exception->getMessage(), array( 'status' => 503 ) );
	}
}

/**
 * On init: asks every hour whether a backup is due, so that one that was missed is made at the next.
 */
function slbp_schedule_backups(): void {
	foreach ( slbp_backup_events() as $hook => $recurrence ) {
		if ( ! wp_next_scheduled( $hook ) ) {
			wp_schedule_event( time() + HOUR_IN_SECONDS, $recurrence, $hook );
		}
	}
}

/**
 * On deactivation.
 */
function slbp_unschedule_backups(): void {
	array_map( 'wp_clear_scheduled_hook', array_keys( slbp_backup_events() ) );
}

/**
 * The cron hooks and how often they come.
 */
function slbp_backup_events(): array {
	return array(
		'slbp_daily_backup'        => 'hourly',
		'slbp_cleanup_old_backups' => 'daily',
	);
}

/**
 * On slbp_daily_backup: makes what is due.
 */
function slbp_make_due_backup(): void {
	slbp_run_backup_task( static fn( $manager ) => $manager->create_daily_backup() );
}

/**
 * On slbp_cleanup_old_backups.
 */
function slbp_clean_up_backups(): void {
	slbp_run_backup_task( static fn( $manager ) => $manager->cleanup_old_backups() );
}

/**
 * Nobody sees what cron prints, so what goes wrong is logged; the manager itself mails.
 */
function slbp_run_backup_task( callable $task ): void {
	try {
		$manager = slbp_backup_manager();
		$result  = null === $manager ? array( 'success' => true ) : $task( $manager );
		$trouble = $result['success'] ? '' : $result['message'];
	} catch ( SLBP_Exception $exception ) {
		$trouble = $exception->getMessage();
	}
	if ( '' !== $trouble ) {
		error_log( "SLBP: backups: $trouble" );
	}
}

/**
 * On init: a `.maintenance` that lets requests through was left by a restore that died. A look at the
 * backups takes it back, or finishes it.
 */
function slbp_end_interrupted_restore(): void {
	if ( is_file( ABSPATH . '.maintenance' ) ) {
		slbp_backup_manager()?->get_progress();
	}
}
