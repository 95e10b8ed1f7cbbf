<?php
/**
 * REST: the queue and its tasks, for whoever runs the site.
 *
 * @package SLBP
 */

/**
 * The table of routes: route, methods, what answers.
 */
function slbp_queue_routes(): array {
	return array(
		array( '/queue/stats', 'GET', 'slbp_answer_queue_stats' ),
		array( '/queue/tasks', 'GET', 'slbp_answer_tasks' ),
		array( '/queue/tasks/(?P<id>\d+)', 'GET', 'slbp_answer_task' ),
		array( '/queue/tasks/(?P<id>\d+)/retry', 'POST', 'slbp_answer_task_retry' ),
		array( '/queue/tasks/(?P<id>\d+)/cancel', 'POST', 'slbp_answer_task_cancel' ),
	);
}

/**
 * On rest_api_init.
 */
function slbp_register_queue_routes(): void {
	foreach ( slbp_queue_routes() as list( $route, $methods, $callback ) ) {
		slbp_register_rest_route( $route, $methods, 'slbp_can_manage', static fn( $request ) => slbp_answer_from_queue( $callback, $request ) );
	}
}

/**
 * What the queue calls a misuse is a 400 here.
 */
function slbp_answer_from_queue( callable $callback, WP_REST_Request $request ): mixed {
	$processor = slbp_background_processor();
	if ( null === $processor ) {
		return new WP_Error( 'slbp_queue_off', __( 'Background tasks are off; the log says why.', 'slbp' ), array( 'status' => 503 ) );
	}
	try {
		return $callback( $processor, $request );
	} catch ( SLBP_InvalidArgumentException $exception ) {
		return new WP_Error( 'slbp_invalid', $exception->getMessage(), array( 'status' => 400 ) );
	}
}

/**
 * GET /queue/stats.
 */
function slbp_answer_queue_stats( SLBP_Background_Processor $processor ): array {
	return $processor->get_queue_stats();
}

/**
 * GET /queue/tasks?status=&task_type=&queue=&batch_id=&before=&limit=.
 */
function slbp_answer_tasks( SLBP_Background_Processor $processor, WP_REST_Request $request ): array {
	$filters = array_intersect_key( $request->get_query_params(), array_flip( array( 'status', 'task_type', 'queue', 'batch_id', 'before', 'limit' ) ) );
	$tasks   = array_map( 'slbp_task_for_rest', $processor->get_tasks( $filters ) );
	return array(
		'tasks' => $tasks,
		'next'  => $tasks ? end( $tasks )['id'] : null,
	);
}

/**
 * GET /queue/tasks/{id}.
 */
function slbp_answer_task( SLBP_Background_Processor $processor, WP_REST_Request $request ): mixed {
	$task = $processor->get_task( (int) $request['id'] );
	return null === $task ? slbp_no_such_task() : slbp_task_for_rest( $task );
}

/**
 * POST /queue/tasks/{id}/retry.
 */
function slbp_answer_task_retry( SLBP_Background_Processor $processor, WP_REST_Request $request ): mixed {
	return slbp_answer_change( $processor, $request, 'retry_task', __( 'Only a failed, held or cancelled task can be run again.', 'slbp' ) );
}

/**
 * POST /queue/tasks/{id}/cancel.
 */
function slbp_answer_task_cancel( SLBP_Background_Processor $processor, WP_REST_Request $request ): mixed {
	return slbp_answer_change( $processor, $request, 'cancel_task', __( 'This task has ended.', 'slbp' ) );
}

/**
 * Does what was asked; a state in which it cannot be done is a 409.
 */
function slbp_answer_change( SLBP_Background_Processor $processor, WP_REST_Request $request, string $method, string $refusal ): mixed {
	$id = (int) $request['id'];
	if ( null === $processor->get_task( $id ) ) {
		return slbp_no_such_task();
	}
	if ( ! $processor->$method( $id ) ) {
		return new WP_Error( 'slbp_conflict', $refusal, array( 'status' => 409 ) );
	}
	return array(
		'success' => true,
		'task'    => slbp_task_for_rest( $processor->get_task( $id ) ),
	);
}

/**
 * 404.
 */
function slbp_no_such_task(): WP_Error {
	return new WP_Error( 'slbp_no_task', __( 'There is no such task.', 'slbp' ), array( 'status' => 404 ) );
}

/**
 * A task with its dates in ISO 8601.
 */
function slbp_task_for_rest( array $task ): array {
	foreach ( array( 'scheduled_at', 'started_at', 'completed_at', 'created_at' ) as $name ) {
		$task[ $name ] = null === $task[ $name ] ? null : ( new DateTimeImmutable( $task[ $name ], wp_timezone() ) )->format( 'c' );
	}
	$task['run_at'] = gmdate( 'c', (int) $task['run_at'] );
	return $task;
}
