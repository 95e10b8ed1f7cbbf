<?php
/**
 * WordPress' XML-RPC server with every call counted.
 *
 * @package SLBP
 */

/**
 * Counts the calls inside a system.multicall one by one: that method exists to make many in one
 * request, and password guessing is what it is used for.
 */
class SLBP_XMLRPC_Server extends wp_xmlrpc_server {
	/**
	 * Whether the calls come from inside a multicall, whose own answer stays a 200.
	 *
	 * @var bool
	 */
	private $in_multicall = false;

	/**
	 * Makes one call, or refuses it.
	 *
	 * @param string $methodname The method.
	 * @param array  $args       Its arguments.
	 * @return mixed What the method returns, or an IXR_Error.
	 */
	public function call( $methodname, $args ) {
		if ( 'system.multicall' === $methodname ) {
			$this->in_multicall = true;
			return parent::call( $methodname, $args );
		}
		// After one wrong password WordPress refuses the rest unseen and tells nobody, so this does.
		if ( $this->auth_failed ) {
			slbp_record_violation( 'xmlrpc' );
		}
		$refused = slbp_refused_check( 'xmlrpc' );
		return null === $refused ? parent::call( $methodname, $args ) : $this->refuse( $refused );
	}

	/**
	 * The fault of a refused call.
	 *
	 * @param array $check The refused check.
	 */
	private function refuse( array $check ): IXR_Error {
		if ( ! $this->in_multicall ) {
			slbp_send_refusal_headers( $check );
		}
		return new IXR_Error( slbp_refusal_status( $check ), slbp_refusal_message( $check ) );
	}
}
