<?php
/**
 * The native components, reached through SLBP_Plugin.
 *
 * @package SLBP
 */

/**
 * The site's rate limiter, or null when its settings cannot be used: a typing error in an option
 * must not take the site down, so it is logged and nothing is limited until it is mended.
 */
function slbp_rate_limiter(): ?SLBP_Rate_Limiter {
	static $limiter = false;
	if ( false === $limiter ) {
		try {
			$limiter = SLBP_Plugin::get_instance()->get_rate_limiter();
		} catch ( SLBP_Exception $exception ) {
			error_log( 'SLBP: the rate limiter is off: ' . $exception->getMessage() );
			$limiter = null;
		}
	}
	return $limiter;
}
