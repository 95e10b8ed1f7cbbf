<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

/**
 * SLBP_Monitoring_Manager as a PHP programmer uses it, without WordPress.
 */
final class MonitoringManagerTest extends TestCase
{
    private SLBP_Monitoring_Manager $monitoring;

    protected function setUp(): void
    {
        $this->monitoring = new SLBP_Monitoring_Manager();
    }

    /** What `$code` prints with these server variables, which the command line takes from its environment. */
    private static function printed(string $code, array $server, array $ini = []): string
    {
        $command = [PHP_BINARY, '-d', 'extension=' . getenv('SLBP_EXTENSION'), '-d', 'variables_order=EGPCS'];
        foreach ($ini as $name => $value) {
            array_push($command, '-d', "$name=$value");
        }
        array_push($command, '-r', $code);
        $process = proc_open($command, [1 => ['pipe', 'w']], $pipes, null, $server + getenv());
        $printed = stream_get_contents($pipes[1]);
        proc_close($process);

        return $printed;
    }

    public function testACounterAGaugeAndAHistogramAreShown(): void
    {
        $this->monitoring->register_metric('shop_orders_total', 'counter', 'Orders.', ['plan', 'paid']);
        $this->monitoring->increment('shop_orders_total', 2, ['paid' => true, 'plan' => 7]);
        $this->monitoring->increment('shop_orders_total', '1.5', ['plan' => '7', 'paid' => 'true']);
        $this->monitoring->register_metric('shop_depth', 'gauge', 'Depth.');
        $this->monitoring->set_gauge('shop_depth', -4);
        $this->monitoring->increment('shop_depth');
        $this->monitoring->register_metric('shop_work_seconds', 'histogram', 'Work.', [], [0.5, '1']);
        $this->monitoring->observe('shop_work_seconds', 0.75);

        $text = $this->monitoring->render_metrics();

        foreach (
            [
                "# HELP shop_orders_total Orders.\n# TYPE shop_orders_total counter\nshop_orders_total{plan=\"7\",paid=\"true\"} 3.5\n",
                "shop_depth -3\n",
                "shop_work_seconds_bucket{le=\"0.5\"} 0\nshop_work_seconds_bucket{le=\"1.0\"} 1\nshop_work_seconds_bucket{le=\"+Inf\"} 1\n",
                "shop_work_seconds_sum 0.75\nshop_work_seconds_count 1\n",
            ] as $expected
        ) {
            self::assertStringContainsString($expected, $text);
        }
    }

    public function testAnotherObjectSeesTheSameValues(): void
    {
        $this->monitoring->register_metric('seen_total', 'counter', 'Seen.');
        $this->monitoring->increment('seen_total');
        (new SLBP_Monitoring_Manager())->increment('seen_total', 4);
        self::assertSame(5.0, $this->monitoring->collect_metrics()['custom']['seen_total']);
    }

    public function testTheSpecificationsNamesAreFoundByCategory(): void
    {
        $metrics = $this->monitoring->collect_metrics();
        self::assertGreaterThan(1 << 20, $metrics['system']['memory_usage']);
        self::assertContainsOnly('float', array_merge(...array_values($metrics)));
    }

    public function testSecurityEventsAreCountedByKind(): void
    {
        $this->monitoring->record_security_event('Failed-API request', ['ip' => '192.0.2.1']);
        self::assertStringContainsString('slbp_security_events_total{kind="failed_api_request"} 1', $this->monitoring->render_metrics());
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessage('$kind');
        $this->monitoring->record_security_event(str_repeat('x', 41));
    }

    public function testTheFormatIsNegotiated(): void
    {
        self::assertStringNotContainsString('# EOF', $this->monitoring->render_metrics('text/plain, */*'));
        self::assertStringEndsWith("# EOF\n", $this->monitoring->render_metrics('application/openmetrics-text; version=1.0.0'));
        $accept = ['HTTP_ACCEPT' => 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5'];
        $code = 'echo json_encode((new SLBP_Monitoring_Manager())->get_prometheus_metrics());';
        $response = json_decode(self::printed($code, $accept), true);
        self::assertSame(200, $response['status']);
        self::assertSame('application/openmetrics-text; version=1.0.0; charset=utf-8', $response['headers']['Content-Type']);
        self::assertStringEndsWith("# EOF\n", $response['body']);
    }

    public function testBytesThatAreNotUtf8AreReplaced(): void
    {
        $this->monitoring->register_metric('bytes_total', 'counter', "Help \xff.", ['x']);
        $this->monitoring->increment('bytes_total', 1, ['x' => "a\xffb"]);
        self::assertTrue(mb_check_encoding($this->monitoring->render_metrics(), 'UTF-8'));
        self::assertStringContainsString('bytes_total{x="a�b"} 1', $this->monitoring->render_metrics());
    }

    /** @return array<string, array{string, array<mixed>, string}> */
    public static function misuse(): array
    {
        return [
            'unknown name' => ['increment', ['never_registered'], "'never_registered' is not registered"],
            'a falling counter' => ['increment', ['misused_total', -1], 'a counter only grows'],
            'no number' => ['set_gauge', ['misused_level', NAN], 'expected a finite number'],
            'a negative observation' => ['observe', ['misused_seconds', -0.1], 'expected a number >= 0'],
            'labels it does not have' => ['increment', ['misused_total', 1, ['a' => 'b']], "'misused_total' has the labels none, got a"],
            'an array as a label' => ['increment', ['misused_total', 1, ['a' => []]], 'expected name => string'],
            'another type' => ['register_metric', ['misused_level', 'summary', 'Help.'], "expected 'counter', 'gauge' or 'histogram'"],
            'a name with a dash' => ['register_metric', ['a-b', 'gauge', 'Help.'], '$name'],
            'no help' => ['register_metric', ['helpless', 'gauge', ' '], '$help'],
            'registered otherwise' => ['register_metric', ['misused_total', 'counter', 'Help.', ['x']], 'already known'],
            'buckets that fall' => ['register_metric', ['x_seconds', 'histogram', 'Help.', [], [2, 1]], '$buckets'],
        ];
    }

    /** @dataProvider misuse */
    public function testMisuseThrowsAndNamesTheArgument(string $method, array $arguments, string $message): void
    {
        $this->monitoring->register_metric('misused_total', 'counter', 'Help.');
        $this->monitoring->register_metric('misused_level', 'gauge', 'Help.');
        $this->monitoring->register_metric('misused_seconds', 'histogram', 'Help.');
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessage($message);
        $this->monitoring->$method(...$arguments);
    }

    /** @return array<string, array{array<string, string>, bool}> */
    public static function visitors(): array
    {
        return [
            'an address that may' => [['REMOTE_ADDR' => '192.0.2.99'], true],
            'an IPv6 address that may' => [['REMOTE_ADDR' => '2001:db8::7'], true],
            'another address' => [['REMOTE_ADDR' => '198.51.100.1'], false],
            'nobody' => [[], false],
            'claiming to be another' => [['REMOTE_ADDR' => '198.51.100.1', 'HTTP_X_FORWARDED_FOR' => '192.0.2.99'], false],
            'behind a trusted proxy' => [['REMOTE_ADDR' => '10.0.0.1', 'HTTP_X_FORWARDED_FOR' => '192.0.2.99'], true],
            'claiming through a proxy' => [['REMOTE_ADDR' => '10.0.0.1', 'HTTP_X_FORWARDED_FOR' => '192.0.2.99, 198.51.100.1'], false],
            'with a token when there is none' => [['REMOTE_ADDR' => '198.51.100.1', 'HTTP_AUTHORIZATION' => 'Bearer '], false],
        ];
    }

    /** @dataProvider visitors */
    public function testWhoMayLook(array $server, bool $may): void
    {
        $code = '$config = ["monitoring_ips" => ["192.0.2.0/24", "2001:db8::7"], "trusted_proxies" => ["10.0.0.1"]];'
            . '$m = new SLBP_Monitoring_Manager($config); $without = new SLBP_Monitoring_Manager();'
            . '$answers = [$m->check_monitoring_permissions(), $m->check_admin_permissions()];'
            . 'echo json_encode([...$answers, $without->check_monitoring_permissions()]);';
        self::assertSame(json_encode([$may, false, false]), self::printed($code, $server), 'of which the last has no setting');
    }

    public function testTheTokenOfPhpIniOpens(): void
    {
        $ask = static fn(string $token, string $given): string => self::printed(
            'var_export((new SLBP_Monitoring_Manager())->check_monitoring_permissions());',
            ['HTTP_AUTHORIZATION' => $given],
            ['slbp.monitoring_token' => $token],
        );
        self::assertSame('true', $ask('0123456789abcdef', 'Bearer 0123456789abcdef'));
        self::assertSame('false', $ask('0123456789abcdef', 'Bearer 0123456789abcdeg'));
        self::assertSame('false', $ask('0123456789abcdef', 'Basic 0123456789abcdef'));
        self::assertSame('false', $ask('short', 'Bearer short'), 'a token that could be guessed');
    }

    public function testAConnectionThatFailsIsSeenAtOnce(): void
    {
        $code = 'define("DB_USER", "site"); mysqli_report(MYSQLI_REPORT_OFF); $m = new SLBP_Monitoring_Manager();'
            . '@mysqli_real_connect(mysqli_init(), "127.0.0.1", "somebody else", "", "", 1);'
            . 'echo json_encode($m->collect_metrics()["database"] ?? null);'
            . '@mysqli_real_connect(mysqli_init(), "127.0.0.1", "site", "", "", 1);'
            . 'echo json_encode($m->collect_metrics()["database"]), $m->collect_metrics()["custom"]["slbp_db_up"];';
        self::assertSame('null{"connections":0}0', self::printed($code, []));
    }

    public function testAWrongAddressIsNamed(): void
    {
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessage("\$config['monitoring_ips']");
        new SLBP_Monitoring_Manager(['monitoring_ips' => ['192.0.2.0/33']]);
    }
}
