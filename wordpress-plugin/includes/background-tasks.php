<?php
/**
 * The queue of background tasks: the processor, and the tick for sites without a worker of their own.
 *
 * @package SLBP
 */

/**
 * The site's processor with the handlers of its plugins, which they register on
 * `slbp_register_task_handlers`; null when its settings cannot be used.
 */
function slbp_background_processor(): ?SLBP_Background_Processor {
	static $processor = false;
	if ( false === $processor ) {
		try {
			$processor = SLBP_Plugin::get_instance()->get_background_processor();
			do_action( 'slbp_register_task_handlers', $processor );
		} catch ( SLBP_Exception $exception ) {
			error_log( 'SLBP: background tasks are off: ' . $exception->getMessage() );
			$processor = null;
		}
	}
	return $processor;
}

/**
 * On cron_schedules: WordPress itself knows nothing shorter than an hour.
 */
function slbp_add_minute_schedule( array $schedules ): array {
	return $schedules + array(
		'slbp_minute' => array(
			'interval' => MINUTE_IN_SECONDS,
			'display'  => __( 'Every minute', 'slbp' ),
		),
	);
}

/**
 * On init: also after an update, or when somebody has emptied the cron option.
 */
function slbp_schedule_background_tasks(): void {
	if ( ! wp_next_scheduled( 'slbp_process_background_tasks' ) ) {
		wp_schedule_event( time(), 'slbp_minute', 'slbp_process_background_tasks' );
	}
}

/**
 * On deactivation.
 */
function slbp_unschedule_background_tasks(): void {
	wp_clear_scheduled_hook( 'slbp_process_background_tasks' );
}

/**
 * On slbp_process_background_tasks: what there is to do, for as long as a request may take.
 */
function slbp_run_background_tasks(): void {
	slbp_background_processor()?->work(
		array(
			'stop_when_empty' => true,
			'max_time'        => apply_filters( 'slbp_background_max_execution_time', 30 ),
			'batch_size'      => apply_filters( 'slbp_background_batch_size', 10 ),
		)
	);
}
