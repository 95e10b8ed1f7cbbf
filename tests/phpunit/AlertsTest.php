<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

/**
 * The alerts of SLBP_Monitoring_Manager as a PHP programmer uses them, without WordPress. Each test is a site of its
 * own, because it names its rules like no other.
 */
final class AlertsTest extends TestCase
{
    private const RULE = ['metric' => 'alerts_test_depth', 'condition' => 'greater_than', 'threshold' => 10, 'severity' => 'warning'];

    private static function watching(array $rules): SLBP_Monitoring_Manager
    {
        $monitoring = new SLBP_Monitoring_Manager(['alerts' => $rules]);
        $monitoring->register_metric('alerts_test_depth', 'gauge', 'Depth.');

        return $monitoring;
    }

    public function testTheSpecificationsConfigurationIsTakenAsItStands(): void
    {
        $alert_config = array(
            'high_memory_usage' => array(
                'enabled' => true,
                'metric' => 'system.memory_usage',
                'condition' => 'greater_than',
                'threshold' => 536870912, // 512MB
                'severity' => 'warning',
                'email_recipients' => array('admin@example.com'),
                'webhook_url' => 'https://hooks.slack.com/...',
            ),
        );
        $states = (new SLBP_Monitoring_Manager($alert_config))->check_alerts()['states'];
        self::assertSame(['high_memory_usage' => 'inactive'], $states);
    }

    public function testAnAlertFiresAndIsResolved(): void
    {
        $monitoring = self::watching(['fires_and_ends' => self::RULE + ['message' => '%s of %d, 100% deep']]);
        $monitoring->set_gauge('alerts_test_depth', 12.5);
        $report = $monitoring->check_alerts();
        self::assertSame(['fires_and_ends' => 'firing'], $report['states']);
        [$transition] = $report['transitions'];
        $expected = ['alert_name' => 'fires_and_ends', 'state' => 'firing', 'value' => 12.5, 'severity' => 'warning'];
        self::assertSame($expected, array_intersect_key($transition, $expected));
        self::assertEqualsWithDelta(time(), $transition['since'], 60);

        $body = $monitoring->get_alerts()['body'];
        self::assertSame(['firing', 1], [$body['status'], $body['total']]);
        self::assertSame('12.5 of 10, 100% deep', $body['alerts'][0]['message']);

        self::assertSame([], $monitoring->check_alerts()['transitions']);
        $monitoring->set_gauge('alerts_test_depth', 1);
        self::assertSame(['resolved'], array_column($monitoring->check_alerts()['transitions'], 'state'));
        self::assertSame('ok', $monitoring->get_alerts()['body']['status']);
    }

    /** @return array<string, array{array<string, mixed>, string}> */
    public static function mistakes(): array
    {
        return [
            'threshold' => [['threshold' => 'much'] + self::RULE, 'threshold: expected a number'],
            'condition' => [['condition' => 'more'] + self::RULE, "condition: expected 'greater_than'"],
            'unknown key' => [['treshold' => 1] + self::RULE, "did you mean 'threshold'"],
            'private' => [['webhook_url' => 'http://169.254.169.254/x'] + self::RULE, 'webhook_url: expected a public address'],
            'address' => [['email_recipients' => ['nobody']] + self::RULE, 'email_recipients: expected e-mail addresses'],
        ];
    }

    /** @dataProvider mistakes */
    public function testAMistakeNamesItsRuleAndItsField(array $rule, string $expected): void
    {
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessage($expected);
        new SLBP_Monitoring_Manager(['alerts' => ['broken' => $rule]]);
    }

    public function testASilenceNeedsAnAlert(): void
    {
        $monitoring = self::watching(['to_be_silenced' => self::RULE]);
        self::assertTrue($monitoring->silence_alert('to_be_silenced', 60, 'patching'));
        self::assertSame('patching', $monitoring->get_alerts()['body']['silences'][0]['comment']);
        self::assertTrue($monitoring->silence_alert('to_be_silenced', 0));
        self::assertSame([], $monitoring->get_alerts()['body']['silences']);
        $this->expectExceptionMessage("did you mean 'to_be_silenced'");
        $monitoring->silence_alert('to_be_silencd', 60);
    }

    public function testATestNotificationGoesNowhereItMayNot(): void
    {
        $monitoring = self::watching([]);
        $refused = [['webhook', 'http://127.0.0.1/'], ['fax', '1'], ['email', 'nobody'], ['slack', 'file:///etc/passwd']];
        foreach ($refused as [$channel, $target]) {
            try {
                $monitoring->test_notification($channel, $target);
                self::fail("$channel $target");
            } catch (SLBP_InvalidArgumentException $exception) {
                self::assertStringContainsString('expected', $exception->getMessage());
            }
        }
        // A name that leads inside is found out when it is looked up.
        $answer = $monitoring->test_notification('webhook', 'http://localtest.invalid/');
        self::assertFalse($answer['success']);
        self::assertStringNotContainsString('/hook', $answer['message']);
    }

    public function testRulesAreManagedWithoutWordPressToo(): void
    {
        $monitoring = new SLBP_Monitoring_Manager();
        $ask = static fn (string $method, array $body = []) => new class ($method, $body) {
            public function __construct(private string $method, private array $body)
            {
            }

            public function get_method(): string
            {
                return $this->method;
            }

            public function get_json_params(): array
            {
                return $this->body;
            }

            public function get_param(string $name): mixed
            {
                return null;
            }
        };
        self::assertArrayHasKey('database_connection_failure', $monitoring->manage_alert_config($ask('GET'))['body']['alerts']);
        $rule = self::RULE + ['webhook_url' => 'https://example.com/secret'];
        $answer = $monitoring->manage_alert_config($ask('POST', ['alerts' => ['mine' => $rule]]));
        self::assertSame(200, $answer['status'], json_encode($answer));
        self::assertSame('https://example.com/…', $answer['body']['alerts']['mine']['webhook_url']);
        self::assertSame(['mine' => 'inactive'], $monitoring->check_alerts()['states']);
        $refused = $monitoring->manage_alert_config($ask('POST', ['alerts' => ['mine' => ['threshold' => 'x'] + $rule]]));
        self::assertSame(400, $refused['status']);
        self::assertStringContainsString("alert 'mine'", $refused['body']['message']);
        self::assertArrayHasKey('high_memory_usage', $monitoring->manage_alert_config($ask('DELETE'))['body']['alerts']);
    }
}
