<?php
/**
 * Bundles of what is enqueued.
 *
 * WordPress has put the handles into the order of their dependencies; a bundle takes the place of some that follow one
 * another with nothing between them. Its tag is printed by the last one, so what is inline before the first
 * and after the last stays where it was.
 *
 * @package SLBP
 */

/**
 * On print_styles_array.
 *
 * @param string[] $handles In the order in which they will be printed.
 */
function slbp_bundle_styles( array $handles ): array {
	if ( slbp_optimizes( 'styles' ) ) {
		slbp_plan_bundles( 'css', wp_styles(), $handles );
	}
	return $handles;
}

/**
 * On print_scripts_array. One script that throws stops only itself, but a bundle is fetched whole: hence an option.
 *
 * @param string[] $handles In the order in which they will be printed, the footer's after the head's.
 */
function slbp_bundle_scripts( array $handles ): array {
	if ( slbp_optimizes( 'scripts' ) && slbp_asset_config()['combine_scripts'] ) {
		slbp_plan_bundles( 'js', wp_scripts(), $handles );
	}
	return $handles;
}

/**
 * Which handle prints what: a URL, '' for nothing. A handle that is missing prints its own.
 *
 * @param string                     $type 'css' or 'js'.
 * @param array<string, string>|null $more To be added.
 */
function slbp_bundle_plan( string $type, ?array $more = null ): array {
	static $plans = array(
		'css' => array(),
		'js'  => array(),
	);
	if ( null !== $more ) {
		$plans[ $type ] = array_merge( $plans[ $type ], $more );
	}
	return $plans[ $type ];
}

/**
 * Finds the runs that can become bundles, and builds them.
 */
function slbp_plan_bundles( string $type, WP_Dependencies $queue, array $handles ): void {
	$runs = array();
	foreach ( array_diff( $handles, $queue->done ) as $handle ) {
		$piece = slbp_bundle_piece( $type, $queue, $handle );
		$group = $queue->groups[ $handle ] ?? 0;
		$run   = $runs[ $group ] ?? null;
		if ( $run && ( ! $piece || $piece['key'] !== $run['key'] || $piece['begins'] ) ) {
			slbp_plan_bundle( $type, $run );
			$run = null;
		}
		if ( $piece ) {
			$run                     = $run ?? array(
				'key'  => $piece['key'],
				'urls' => array(),
			);
			$run['urls'][ $handle ] = $piece['url'];
		}
		if ( $run && $piece['ends'] ) {
			slbp_plan_bundle( $type, $run );
			$run = null;
		}
		$runs[ $group ] = $run;
	}
	foreach ( array_filter( $runs ) as $run ) {
		slbp_plan_bundle( $type, $run );
	}
}

/**
 * Notes what the handles of a run print from now on.
 */
function slbp_plan_bundle( string $type, array $run ): void {
	$handles = array_keys( $run['urls'] );
	$url     = slbp_optimized_url( $type, array_values( $run['urls'] ) );
	if ( '' !== $url ) {
		slbp_bundle_plan( $type, array_merge( array_fill_keys( $handles, '' ), array( end( $handles ) => $url ) ) );
	}
}

/**
 * What `$handle` can put into a bundle, or null.
 *
 * @return array{url: string, key: string, begins: bool, ends: bool}|null Pieces with the same key may share a bundle;
 *                                                                        one with something inline begins or ends it.
 */
function slbp_bundle_piece( string $type, WP_Dependencies $queue, string $handle ): ?array {
	$item = $queue->registered[ $handle ] ?? null;
	if ( ! $item || ! is_string( $item->src ) || '' === $item->src || slbp_is_asset_excluded( $handle ) ) {
		return null;
	}
	$said = static fn( string $name ): bool => ! empty( $item->extra[ $name ] );
	if ( $said( 'conditional' ) || $said( 'alt' ) || $said( 'title' ) || ( is_rtl() && $said( 'rtl' ) ) ) {
		return null;
	}
	if ( 'css' === $type ) {
		$url = $queue->_css_href( $item->src, false, $handle );
	} else {
		$url = preg_match( '~^(https?:)?//~', $item->src ) ? $item->src : $queue->base_url . $item->src;
		$url = (string) apply_filters( 'script_loader_src', $url, $handle );
	}
	$url = html_entity_decode( $url, ENT_QUOTES );
	if ( ! slbp_is_own_url( $url ) ) {
		return null;
	}
	return array(
		'url'    => $url,
		'key'    => 'css' === $type ? (string) ( $item->args ?? 'all' ) : ( $item->extra['strategy'] ?? '' ),
		'begins' => 'js' === $type && ( $said( 'before' ) || $said( 'data' ) || ! empty( $item->textdomain ) ),
		'ends'   => $said( 'after' ),
	);
}

/**
 * On style_loader_tag, last.
 */
function slbp_print_style( string $tag, string $handle, string $href ): string {
	$plan = slbp_bundle_plan( 'css' );
	if ( ! isset( $plan[ $handle ] ) ) {
		return $tag;
	}
	$is_pinned = str_contains( $tag, 'integrity=' );
	if ( '' === $plan[ $handle ] ) {
		return $is_pinned ? $tag : '';
	}
	$bundle = new WP_HTML_Tag_Processor( $tag );
	if ( ! $bundle->next_tag( 'LINK' ) ) {
		return $tag;
	}
	$bundle->set_attribute( 'href', $plan[ $handle ] );
	$bundle->remove_attribute( 'integrity' );
	// A sheet that somebody has pinned to its content follows the bundle; it says the same once more.
	return $bundle->get_updated_html() . ( $is_pinned ? $tag : '' );
}

/**
 * On script_loader_tag, last: the script is replaced where it stands, what is inline around it stays.
 */
function slbp_print_script( string $tag, string $handle, string $src ): string {
	if ( '' === $src || ! slbp_optimizes( 'scripts' ) || slbp_is_asset_excluded( $handle ) ) {
		return $tag;
	}
	$script = new WP_HTML_Tag_Processor( $tag );
	while ( $script->next_tag( 'SCRIPT' ) ) {
		$url = $script->get_attribute( 'src' );
		if ( is_string( $url ) ) {
			return slbp_replace_script( $tag, $handle, $url, $script );
		}
	}
	return $tag;
}

/**
 * The tag with another source, or without the script when a bundle has it.
 */
function slbp_replace_script( string $tag, string $handle, string $url, WP_HTML_Tag_Processor $script ): string {
	$is_script = in_array( $script->get_attribute( 'type' ), array( null, '', 'text/javascript', 'application/javascript' ), true );
	$is_pinned = null !== $script->get_attribute( 'integrity' );
	$planned   = slbp_bundle_plan( 'js' )[ $handle ] ?? null;
	if ( '' === $planned ) {
		// What stands around it is printed all the same.
		$script->remove_attribute( 'src' );
		return $script->get_updated_html();
	}
	if ( null === $planned && ( ! $is_script || $is_pinned || ! slbp_is_own_url( $url ) ) ) {
		return $tag;
	}
	$optimized = $planned ?? slbp_optimized_url( 'js', array( $url ) );
	if ( '' !== $optimized ) {
		$script->set_attribute( 'src', $optimized );
		$script->remove_attribute( 'integrity' );
		return $script->get_updated_html();
	}
	return $tag;
}
