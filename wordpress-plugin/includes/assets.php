<?php
/**
 * Stylesheets, scripts and pages of the site, made lighter by the extension.
 *
 * Off until the option slbp_asset_config says otherwise. Pages of wp-admin, the login page and feeds are never touched.
 * What cannot be optimized is printed as WordPress would have.
 *
 * @package SLBP
 */

/**
 * The option with its defaults.
 */
function slbp_asset_config(): array {
	$config   = get_option( 'slbp_asset_config' );
	$defaults = array(
		'styles'          => false,
		'scripts'         => false,
		'combine_scripts' => false,
		'pages'           => false,
		'shorten_names'   => false,
		'exclude'         => array(),
	);
	return is_array( $config ) ? array_merge( $defaults, $config ) : $defaults;
}

/**
 * Whether `$what` (styles, scripts, pages) of this request is to be optimized.
 */
function slbp_optimizes( string $what ): bool {
	if ( is_admin() || is_login() || wp_doing_ajax() || wp_is_json_request() || ! is_utf8_charset() || is_customize_preview() ) {
		return false;
	}
	return slbp_asset_config()[ $what ] && null !== slbp_asset_optimizer();
}

/**
 * The optimizer, or null when its settings cannot be used: a typing error must not take the site down.
 */
function slbp_asset_optimizer(): ?SLBP_Performance_Optimizer {
	static $optimizer = false;
	if ( false === $optimizer ) {
		try {
			$optimizer = new SLBP_Performance_Optimizer( array( 'asset_shorten_names' => (bool) slbp_asset_config()['shorten_names'] ) );
		} catch ( SLBP_Exception $exception ) {
			error_log( 'SLBP: assets are not optimized: ' . $exception->getMessage() );
			$optimizer = null;
		}
	}
	return $optimizer;
}

/**
 * The URL that serves `$urls` in their order, or '' when they are better left alone.
 *
 * @param string   $type 'css' or 'js'.
 * @param string[] $urls Of files of this site.
 */
function slbp_optimized_url( string $type, array $urls ): string {
	try {
		$optimizer = slbp_asset_optimizer();
		return (string) ( 1 === count( $urls ) ? $optimizer->optimize_asset( $type, $urls[0] ) : $optimizer->optimize_assets( $type, $urls ) );
	} catch ( SLBP_Exception $exception ) {
		error_log( 'SLBP: assets are not optimized: ' . $exception->getMessage() );
		return '';
	}
}

/**
 * Whether `$handle` is on the list of those to be left alone.
 */
function slbp_is_asset_excluded( string $handle ): bool {
	/**
	 * Filters the handles of stylesheets and scripts that are printed as they are.
	 *
	 * @param string[] $handles From the option.
	 */
	$excluded = apply_filters( 'slbp_excluded_assets', (array) slbp_asset_config()['exclude'] );
	return in_array( $handle, $excluded, true );
}

/**
 * Whether `$url` is of this host, so that there may be a file behind it.
 */
function slbp_is_own_url( string $url ): bool {
	return wp_parse_url( $url, PHP_URL_HOST ) === wp_parse_url( site_url(), PHP_URL_HOST );
}

/**
 * On template_redirect, last: the page passes through the extension on its way out.
 */
function slbp_collect_page(): void {
	if ( slbp_optimizes( 'pages' ) && ! is_feed() && ! is_robots() && ! is_favicon() && ! is_trackback() ) {
		ob_start( 'slbp_finish_page' );
	}
}

/**
 * The page as it goes out.
 */
function slbp_finish_page( string $html ): string {
	foreach ( headers_list() as $header ) {
		if ( 0 === stripos( $header, 'Content-Type:' ) && false === stripos( $header, 'text/html' ) ) {
			return $html;
		}
	}
	try {
		return slbp_asset_optimizer()->optimize_html( $html );
	} catch ( Throwable $error ) {
		return $html;
	}
}
