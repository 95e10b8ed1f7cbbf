<?php
/**
 * Health: the manager with the checks of the site's plugins, and the answers of its routes.
 *
 * Under php-fpm the extension answers the probes before WordPress starts; these routes answer what it
 * leaves to WordPress, and everything where it does not.
 *
 * @package SLBP
 */

/**
 * The site's manager with the checks of its plugins, which they register on
 * `slbp_register_health_checks`; null when its settings cannot be used.
 */
function slbp_scalability_manager(): ?SLBP_Scalability_Manager {
	static $manager = false;
	if ( false === $manager ) {
		try {
			$manager = SLBP_Plugin::get_instance()->get_scalability_manager();
			do_action( 'slbp_register_health_checks', $manager );
		} catch ( SLBP_Exception $exception ) {
			error_log( 'SLBP: health checks are off: ' . $exception->getMessage() );
			$manager = null;
		}
	}
	return $manager;
}

/**
 * Answers a probe. Settings that cannot be used are no reason to take the node out of service.
 */
function slbp_answer_probe( string $method, WP_REST_Request $request ): mixed {
	try {
		$answer = slbp_scalability_manager()?->$method( $request );
	} catch ( SLBP_Exception $exception ) {
		error_log( 'SLBP: ' . $exception->getMessage() );
		$answer = null;
	}
	if ( null !== $answer ) {
		return $answer;
	}
	$unknown = new WP_REST_Response( array( 'status' => 'degraded' ) );
	$unknown->header( 'Cache-Control', 'no-store' );
	return $unknown;
}

/**
 * Whether the visitor may see details: by address, token or capability.
 */
function slbp_may_see_health( WP_REST_Request $request ): bool {
	return (bool) slbp_scalability_manager()?->check_health_permissions( $request );
}

/**
 * GET, POST and DELETE /health/drain: whether the node that answers is being drained; drains it; ends that.
 */
function slbp_answer_drain( WP_REST_Request $request ): mixed {
	$manager = slbp_scalability_manager();
	if ( null === $manager ) {
		return new WP_Error( 'slbp_health_off', __( 'Health checks are off; the log says why.', 'slbp' ), array( 'status' => 503 ) );
	}
	if ( 'GET' !== $request->get_method() ) {
		$manager->set_draining( 'POST' === $request->get_method() );
	}
	return array(
		'draining'    => $manager->is_draining(),
		'instance_id' => $manager->get_instance_id(),
	);
}
