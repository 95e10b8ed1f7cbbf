<?php
/**
 * Downloads of finished exports: a link with an end and a signature, good for whoever has it.
 *
 * @package SLBP
 */

/**
 * The address of an export; '' when there is none of this name.
 */
function slbp_export_url( string $name, int $lifetime = DAY_IN_SECONDS ): string {
	$link = slbp_background_processor()?->get_export_link( $name, $lifetime );
	return null === $link ? '' : add_query_arg( array( 'action' => 'slbp_export' ) + $link, admin_url( 'admin-post.php' ) );
}

/**
 * On admin_post_slbp_export, logged in or not: the signature is the permission.
 */
function slbp_send_export(): void {
	$path = slbp_background_processor()?->open_export( (string) ( $_GET['name'] ?? '' ), (int) ( $_GET['expires'] ?? 0 ), (string) ( $_GET['signature'] ?? '' ) );
	if ( null === $path ) {
		wp_die( esc_html__( 'This link is not valid, or no longer.', 'slbp' ), 403 );
	}
	nocache_headers();
	header( 'Content-Type: application/octet-stream' );
	header( 'Content-Disposition: attachment; filename="' . basename( $path ) . '"' );
	header( 'Content-Length: ' . filesize( $path ) );
	readfile( $path );
	exit;
}
