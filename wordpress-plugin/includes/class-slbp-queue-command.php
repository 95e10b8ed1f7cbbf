<?php
/**
 * The command `wp slbp queue`.
 *
 * @package SLBP
 */

/**
 * Manages background tasks.
 */
class SLBP_Queue_Command {
	/**
	 * Shows the queue in numbers.
	 */
	public function stats(): void {
		foreach ( $this->queue()->get_queue_stats() as $name => $value ) {
			WP_CLI::line( "$name: $value" );
		}
	}

	/**
	 * Lists tasks, the newest first.
	 *
	 * ## OPTIONS
	 *
	 * [--status=<status>]
	 * : pending, scheduled, processing, held, failed, completed or cancelled; several with commas.
	 *
	 * [--task_type=<type>]
	 * : Only this type.
	 *
	 * [--queue=<queue>]
	 * : Only this queue.
	 *
	 * [--batch_id=<batch>]
	 * : Only this batch.
	 *
	 * [--before=<id>]
	 * : Only older tasks.
	 *
	 * [--limit=<number>]
	 * : 1 to 1000; 50 when not given.
	 */
	public function list( array $arguments, array $filters ): void {
		foreach ( $this->attempt( fn() => $this->queue()->get_tasks( $filters ) ) as $task ) {
			WP_CLI::line( implode( "\t", array( $task['id'], $task['task_type'], $task['status'], $task['retry_count'], $task['scheduled_at'], $task['error_message'] ) ) );
		}
	}

	/**
	 * Works through the queue until SIGTERM.
	 *
	 * ## OPTIONS
	 *
	 * [--queues=<queues>]
	 * : Only these, with commas.
	 *
	 * [--max_tasks=<number>]
	 * : Ends after so many tasks.
	 *
	 * [--max_time=<seconds>]
	 * : Ends after this time.
	 *
	 * [--memory_limit=<size>]
	 * : Ends when it uses so much, e.g. 128M.
	 *
	 * [--stop_when_empty]
	 * : Ends when there is nothing to do.
	 */
	public function work( array $arguments, array $options ): void {
		$count = $this->attempt( fn() => $this->queue()->work( $options ) );
		WP_CLI::success( "$count tasks were run." );
	}

	/**
	 * Runs a failed, held or cancelled task again, or all that failed.
	 *
	 * ## OPTIONS
	 *
	 * [<id>...]
	 * : The tasks.
	 *
	 * [--failed]
	 * : Every failed task.
	 *
	 * [--task_type=<type>]
	 * : With --failed: only of this type.
	 */
	public function retry( array $ids, array $options ): void {
		if ( isset( $options['failed'] ) ) {
			WP_CLI::success( $this->queue()->retry_failed( $options['task_type'] ?? null ) . ' tasks run again.' );
			return;
		}
		$this->change( $ids, 'retry_task', 'runs again', 'is not failed, held or cancelled' );
	}

	/**
	 * Cancels tasks.
	 *
	 * ## OPTIONS
	 *
	 * <id>...
	 * : The tasks.
	 */
	public function cancel( array $ids ): void {
		$this->change( $ids, 'cancel_task', 'is cancelled, or asked to stop', 'has ended' );
	}

	/**
	 * Lets no task of a type start.
	 *
	 * ## OPTIONS
	 *
	 * <type>
	 * : The type.
	 */
	public function pause( array $arguments ): void {
		$this->queue()->pause( $arguments[0] ) ? WP_CLI::success( "$arguments[0] is paused." ) : WP_CLI::error( 'The database does not answer.' );
	}

	/**
	 * Lets tasks of a type start again.
	 *
	 * ## OPTIONS
	 *
	 * <type>
	 * : The type.
	 */
	public function resume( array $arguments ): void {
		$this->queue()->resume( $arguments[0] ) ? WP_CLI::success( "$arguments[0] goes on." ) : WP_CLI::error( 'The database does not answer.' );
	}

	/**
	 * Deletes tasks that ended long ago.
	 *
	 * ## OPTIONS
	 *
	 * [--days=<days>]
	 * : How long they are kept; 7 when not given.
	 */
	public function prune( array $arguments, array $options ): void {
		$count = $this->attempt( fn() => $this->queue()->clear_old_tasks( $options['days'] ?? 7 ) );
		WP_CLI::success( "$count tasks were deleted." );
	}

	/**
	 * The site's queue.
	 */
	private function queue(): SLBP_Background_Processor {
		return slbp_background_processor() ?? WP_CLI::error( 'Background tasks are off; the log says why.' );
	}

	/**
	 * Ends with what was wrong with an option.
	 */
	private function attempt( callable $work ): mixed {
		try {
			return $work();
		} catch ( SLBP_InvalidArgumentException $exception ) {
			WP_CLI::error( $exception->getMessage() );
		}
	}

	/**
	 * Changes each task, and ends with an error when one was in no state for it.
	 */
	private function change( array $ids, string $method, string $done, string $refused ): void {
		$failures = array_filter( $ids, fn( $id ) => ! $this->queue()->$method( (int) $id ) );
		foreach ( array_diff( $ids, $failures ) as $id ) {
			WP_CLI::line( "Task $id $done." );
		}
		if ( array() !== $failures ) {
			WP_CLI::error( 'Task ' . implode( ', ', $failures ) . " $refused." );
		}
	}
}
