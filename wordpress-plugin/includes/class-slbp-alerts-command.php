<?php
/**
 * The commands `wp slbp alerts` and `wp slbp monitor`.
 *
 * @package SLBP
 */

/**
 * Shows, tests and silences alerts. It sees those of php-fpm when slbp.state_dir names a folder that both use.
 */
class SLBP_Alerts_Command {
	/**
	 * Lists the rules with their states.
	 */
	public function list(): void {
		foreach ( slbp_alerts_now()['rules'] ?? array() as $rule ) {
			WP_CLI::line( implode( "\t", array( $rule['alert_name'], $rule['enabled'] ? $rule['state'] : 'off', $rule['severity'], "{$rule['metric']} {$rule['condition']} {$rule['threshold']}" ) ) );
		}
	}

	/**
	 * Shows the newest events.
	 *
	 * ## OPTIONS
	 *
	 * [--limit=<number>]
	 * : 1 to 500; 20 when not given.
	 */
	public function history( array $arguments, array $options ): void {
		foreach ( slbp_alerts_now( (int) ( $options['limit'] ?? 20 ) )['history'] ?? array() as $event ) {
			WP_CLI::line( implode( "\t", array( gmdate( 'c', (int) $event['timestamp'] ), $event['alert_name'], $event['state'], $event['message'] ) ) );
		}
	}

	/**
	 * Silences an alert.
	 *
	 * ## OPTIONS
	 *
	 * <alert>
	 * : Its name, or * for every alert.
	 *
	 * <seconds>
	 * : For how long; 0 takes the silence back.
	 *
	 * [--comment=<text>]
	 * : Why.
	 */
	public function silence( array $arguments, array $options ): void {
		list( $alert, $seconds ) = $arguments;
		$done = $this->attempt( static fn() => slbp_monitoring_manager()?->silence_alert( $alert, $seconds, (string) ( $options['comment'] ?? '' ) ) );
		$done ? WP_CLI::success( 'Saved.' ) : WP_CLI::error( 'The silence could not be kept.' );
	}

	/**
	 * Sends a test message.
	 *
	 * ## OPTIONS
	 *
	 * <channel>
	 * : email, webhook, slack or alertmanager.
	 *
	 * <target>
	 * : An e-mail address, or an https:// address.
	 */
	public function test( array $arguments ): void {
		$answer = $this->attempt( static fn() => slbp_monitoring_manager()?->test_notification( ...$arguments ) );
		empty( $answer['success'] ) ? WP_CLI::error( (string) ( $answer['message'] ?? 'Alerts are off.' ) ) : WP_CLI::success( $answer['message'] );
	}

	/**
	 * Looks at every rule and tells whoever is due. For system cron: `wp slbp monitor tick`.
	 */
	public function tick(): void {
		foreach ( slbp_look_at_alerts()['states'] ?? array() as $alert => $state ) {
			WP_CLI::line( "$alert\t$state" );
		}
	}

	/**
	 * Misuse is a line on the terminal, not a stack trace.
	 */
	private function attempt( callable $work ): mixed {
		try {
			return $work();
		} catch ( SLBP_Exception | TypeError $exception ) {
			WP_CLI::error( $exception->getMessage() );
		}
	}
}
