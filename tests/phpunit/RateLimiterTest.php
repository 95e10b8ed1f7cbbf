<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

/**
 * SLBP_Rate_Limiter as a PHP programmer uses it, without WordPress: shared memory of this one process.
 */
final class RateLimiterTest extends TestCase
{
    private static int $clients = 0;

    /** A client that no other test has used: counters outlive objects. */
    private static function client(): string
    {
        return 'user:' . getmypid() . '-' . ++self::$clients;
    }

    private static function limiter(array $rules, array $more = []): SLBP_Rate_Limiter
    {
        return new SLBP_Rate_Limiter(['limits' => $rules] + $more);
    }

    /** @return list<array{string}> */
    public static function algorithms(): array
    {
        return [['sliding_window'], ['gcra'], ['fixed_window']];
    }

    /** @dataProvider algorithms */
    public function testAllowsExactlyTheLimitThenSaysWhenToComeBack(string $algorithm): void
    {
        $limiter = self::limiter(['api' => ['limit' => 3, 'window' => 3600, 'algorithm' => $algorithm]]);
        $client = self::client();
        foreach ([2, 1, 0] as $remaining) {
            $check = $limiter->check_rate_limit($client, 'api');
            self::assertTrue($check['allowed']);
            self::assertSame($remaining, $check['remaining']);
            self::assertSame(0, $check['retry_after']);
        }
        $denied = $limiter->check_rate_limit($client, 'api');
        self::assertFalse($denied['allowed']);
        self::assertSame('limit', $denied['reason']);
        self::assertSame('api', $denied['policy']);
        self::assertSame(3, $denied['limit']);
        self::assertSame(3600, $denied['window']);
        self::assertGreaterThanOrEqual(1, $denied['retry_after']);
        self::assertGreaterThanOrEqual(time(), $denied['reset']);
    }

    /** @dataProvider algorithms */
    public function testAtRetryAfterTheRequestIsAllowed(string $algorithm): void
    {
        $limiter = self::limiter(['api' => ['limit' => 1, 'window' => 1, 'algorithm' => $algorithm]]);
        $client = self::client();
        $limiter->check_rate_limit($client, 'api');
        $denied = $limiter->check_rate_limit($client, 'api');
        if ($denied['allowed']) {
            self::markTestSkipped('the window ended between the two calls');
        }
        sleep($denied['retry_after']);
        self::assertTrue($limiter->check_rate_limit($client, 'api')['allowed']);
    }

    public function testAPeekSpendsNothingAndACostAboveTheLimitIsRefusedWithoutSpending(): void
    {
        $limiter = self::limiter(['api' => ['limit' => 5, 'window' => 3600]]);
        $client = self::client();
        self::assertFalse($limiter->check_rate_limit($client, 'api', 6)['allowed']);
        for ($i = 0; $i < 10; $i++) {
            self::assertTrue($limiter->peek_rate_limit($client, 'api')['allowed']);
        }
        self::assertSame(0, $limiter->check_rate_limit($client, 'api', 5)['remaining']);
        self::assertFalse($limiter->peek_rate_limit($client, 'api')['allowed']);
    }

    public function testSeveralLimitsOfARuleAreAllCheckedBeforeAnyIsSpent(): void
    {
        $limiter = self::limiter(['api' => ['limits' => [
            ['limit' => 100, 'window' => 3600],
            ['limit' => 2, 'window' => 60],
        ]]]);
        $client = self::client();
        $limiter->check_rate_limit($client, 'api', 2);
        for ($i = 0; $i < 20; $i++) {
            self::assertFalse($limiter->check_rate_limit($client, 'api')['allowed']);
        }
        $wide = self::limiter(['api' => ['limits' => [['limit' => 100, 'window' => 3600]]]]);
        self::assertSame(98, $wide->peek_rate_limit($client, 'api')['remaining'], 'refusals spent nothing');
    }

    public function testAnEndpointFindsItsRuleByNameThenPatternThenWord(): void
    {
        $limiter = self::limiter([
            'orders/list' => ['limit' => 11],
            'orders/*' => ['limit' => 12],
            'order*' => ['limit' => 13],
        ]);
        $client = self::client();
        $policy = static fn(string $endpoint): string => $limiter->peek_rate_limit($client, $endpoint)['policy'];
        self::assertSame('orders/list', $policy('orders/list'));
        self::assertSame('orders/*', $policy('orders/new'));
        self::assertSame('order*', $policy('ordering'));
        self::assertSame('auth', $policy('wp-login'));
        self::assertSame('payment', $policy('billing'));
        self::assertSame('webhook', $policy('stripe-webhook'));
        self::assertSame('general', $policy('anything else'));
        self::assertSame(50, $limiter->peek_rate_limit($client, 'billing')['limit']);
    }

    public function testRulesMayStandAtTheTopLevelAsTheSpecificationWritesThem(): void
    {
        $limiter = new SLBP_Rate_Limiter(['general' => ['limit' => 7, 'window' => 60], 'auth' => ['limit' => '2', 'window' => '30']]);
        self::assertSame(7, $limiter->peek_rate_limit(self::client())['limit']);
        self::assertSame(2, $limiter->peek_rate_limit(self::client(), 'auth')['limit']);
    }

    public function testResetGivesTheLimitBack(): void
    {
        $limiter = self::limiter(['api' => ['limit' => 1, 'window' => 3600], 'web' => ['limit' => 1, 'window' => 3600]]);
        $client = self::client();
        $limiter->check_rate_limit($client, 'api');
        $limiter->check_rate_limit($client, 'web');
        self::assertTrue($limiter->reset_rate_limit($client, 'api'));
        self::assertTrue($limiter->check_rate_limit($client, 'api')['allowed']);
        self::assertFalse($limiter->check_rate_limit($client, 'web')['allowed']);
        self::assertTrue($limiter->reset_rate_limit($client));
        self::assertTrue($limiter->check_rate_limit($client, 'web')['allowed']);
    }

    public function testListsDecideBeforeLimits(): void
    {
        $limiter = self::limiter(['api' => ['limit' => 1, 'window' => 3600]]);
        self::assertTrue($limiter->add_to_whitelist('198.51.100.0/24', null, 'office'));
        for ($i = 0; $i < 3; $i++) {
            self::assertSame('whitelist', $limiter->check_rate_limit('ip:198.51.100.9', 'api')['reason']);
        }
        self::assertTrue($limiter->add_to_blacklist('198.51.100.9'));
        $check = $limiter->check_rate_limit('ip:198.51.100.9', 'api');
        self::assertSame([false, 'blacklist'], [$check['allowed'], $check['reason']]);
        self::assertTrue($limiter->is_blacklisted('ip:198.51.100.9'));
        self::assertTrue($limiter->is_whitelisted('ip:198.51.100.10'));
        self::assertFalse($limiter->is_whitelisted('ip:198.51.101.10'));
        self::assertTrue($limiter->remove_from_blacklist('198.51.100.9'));
        self::assertFalse($limiter->remove_from_blacklist('198.51.100.9'));
        self::assertTrue($limiter->remove_from_whitelist('198.51.100.0/24'));
        self::assertTrue($limiter->check_rate_limit('ip:198.51.100.9', 'api')['allowed']);
    }

    public function testAListEntryIsListedWithItsReasonAndExpires(): void
    {
        $limiter = self::limiter([]);
        self::assertTrue($limiter->add_to_blacklist('2001:DB8::/32', 2, 'scanner'));
        $found = array_values(array_filter(
            $limiter->get_blacklist(),
            static fn(array $row): bool => $row['entry'] === '2001:db8::/32'
        ));
        self::assertCount(1, $found);
        self::assertSame('scanner', $found[0]['reason']);
        self::assertTrue($limiter->is_blacklisted('ip:2001:db8:5::1'));
        sleep(3);
        self::assertFalse($limiter->is_blacklisted('ip:2001:db8:5::1'));
    }

    /** @return list<array{string}> */
    public static function malformed(): array
    {
        return [['10.0.0.0/33'], ['2001:db8::/129'], ['300.1.1.1'], ['10.0.0.0/'], ['10.0.0.0/-1'], [''], ['::1::'], ['10.*.*.x*']];
    }

    /** @dataProvider malformed */
    public function testAMalformedEntryThrowsAndChangesNothing(string $entry): void
    {
        $limiter = self::limiter([]);
        $before = $limiter->get_blacklist();
        try {
            $limiter->add_to_blacklist($entry);
            self::fail("'$entry' was accepted");
        } catch (SLBP_InvalidArgumentException $e) {
            self::assertStringContainsString('entry', $e->getMessage());
        }
        self::assertSame($before, $limiter->get_blacklist());
    }

    public function testLoopbackAndTrustedProxiesCannotBeBlacklisted(): void
    {
        $limiter = self::limiter([], ['trusted_proxies' => ['192.0.2.0/24']]);
        foreach (['127.0.0.1', '127.0.0.0/8', '::1', '0.0.0.0/0', '192.0.2.7', '192.0.0.0/16'] as $entry) {
            try {
                $limiter->add_to_blacklist($entry);
                self::fail("$entry was accepted");
            } catch (SLBP_InvalidArgumentException $e) {
                self::assertNotSame('', $e->getMessage());
            }
        }
    }

    public function testViolationsBanAndTheBanIsListed(): void
    {
        $limiter = self::limiter([], ['auto_ban' => ['threshold' => 3, 'window' => 60, 'ban' => 600, 'jitter' => 0]]);
        $client = 'ip:203.0.113.' . (getmypid() % 250 + 1);
        $limiter->record_violation($client, 'failed_login');
        self::assertTrue($limiter->check_rate_limit($client)['allowed']);
        $outcome = $limiter->record_violation($client, 'failed_login', 2);
        self::assertTrue($outcome['banned']);
        $check = $limiter->check_rate_limit($client);
        self::assertSame([false, 'banned'], [$check['allowed'], $check['reason']]);
        self::assertGreaterThan(590, $check['retry_after']);
        $bans = array_filter($limiter->get_blacklist(), static fn(array $row): bool => str_contains($row['entry'], substr($client, 3)));
        self::assertNotEmpty($bans);
        self::assertTrue($limiter->reset_rate_limit($client));
        self::assertTrue($limiter->check_rate_limit($client)['allowed']);
    }

    public function testLoopbackIsNeverBanned(): void
    {
        $limiter = self::limiter([], ['auto_ban' => ['threshold' => 1]]);
        self::assertFalse($limiter->record_violation('ip:127.0.0.1', 'failed_login', 50)['banned']);
        self::assertTrue($limiter->check_rate_limit('ip:127.0.0.1')['allowed']);
    }

    public function testIPv6ClientsAreLimitedByTheirNetwork(): void
    {
        $limiter = self::limiter(['api' => ['limit' => 1, 'window' => 3600]]);
        $network = sprintf('2001:db8:%x:1', getmypid() % 65535);
        self::assertTrue($limiter->check_rate_limit("ip:$network::1", 'api')['allowed']);
        self::assertFalse($limiter->check_rate_limit("ip:$network:ffff::2", 'api')['allowed']);
    }

    /** @return array<string, array{string, array<string, string>}> */
    public static function forwarded(): array
    {
        return [
            'nobody to trust' => ['198.51.100.1', ['REMOTE_ADDR' => '198.51.100.1', 'HTTP_X_FORWARDED_FOR' => '9.9.9.9']],
            'right to left' => ['9.9.9.9', ['REMOTE_ADDR' => '10.0.0.1', 'HTTP_X_FORWARDED_FOR' => '1.1.1.1, 9.9.9.9, 10.0.0.2']],
            'port stripped' => ['9.9.9.9', ['REMOTE_ADDR' => '10.0.0.1', 'HTTP_X_FORWARDED_FOR' => '9.9.9.9:4711']],
            'brackets' => ['2001:db8::9', ['REMOTE_ADDR' => '10.0.0.1', 'HTTP_FORWARDED' => 'for="[2001:db8::9]:4711";proto=https']],
            'conflict' => ['10.0.0.1', [
                'REMOTE_ADDR' => '10.0.0.1', 'HTTP_X_FORWARDED_FOR' => '1.1.1.1', 'HTTP_FORWARDED' => 'for=2.2.2.2',
            ]],
            'no request' => ['', []],
        ];
    }

    /** @dataProvider forwarded */
    public function testTheClientAddressIsWhatTrustedProxiesSay(string $expected, array $server): void
    {
        $limiter = self::limiter([], ['trusted_proxies' => ['10.0.0.0/8']]);
        self::assertSame($expected, $limiter->get_client_ip($server));
    }

    /** @return array<string, array{string, array<string, string>}> */
    public static function hidden(): array
    {
        return [
            'conflict' => ['behind:10.0.0.1', ['HTTP_X_FORWARDED_FOR' => '1.1.1.1', 'HTTP_FORWARDED' => 'for=2.2.2.2']],
            'unreadable' => ['behind:10.0.0.1', ['HTTP_X_FORWARDED_FOR' => "\xff"]],
            'noise before what the proxy wrote' => ['ip:9.9.9.9', ['HTTP_X_FORWARDED_FOR' => "\xff, 9.9.9.9"]],
            'quote without end' => ['ip:9.9.9.9', ['HTTP_FORWARDED' => 'for=", for=9.9.9.9']],
            'the proxy itself' => ['ip:10.0.0.1', []],
            'a whole address' => ['ip:2001:db8::9', ['HTTP_X_FORWARDED_FOR' => '2001:db8::9']],
        ];
    }

    /** @dataProvider hidden */
    public function testWhoHidesBehindAProxyGetsNoneOfItsRights(string $expected, array $headers): void
    {
        $limiter = self::limiter([], ['trusted_proxies' => ['10.0.0.0/8'], 'whitelist' => ['10.0.0.0/8']]);
        self::assertSame($expected, $limiter->get_address_identifier(['REMOTE_ADDR' => '10.0.0.1'] + $headers));
        self::assertSame(str_starts_with($expected, 'ip:10.'), $limiter->is_whitelisted($expected));
    }

    public function testSettingsMayHaveKeysOfAnyBytes(): void
    {
        $limiter = self::limiter(["a\xff*" => ['limit' => 1]]);
        self::assertSame('general', $limiter->check_rate_limit(self::client(), 'b')['policy']);
    }

    public function testHeadersAreStructuredFields(): void
    {
        $limiter = self::limiter(['api' => ['limit' => 1, 'window' => 60]]);
        $client = self::client();
        $headers = $limiter->get_rate_limit_headers($limiter->check_rate_limit($client, 'api'));
        self::assertSame('"api";q=1;w=60', $headers['RateLimit-Policy']);
        self::assertMatchesRegularExpression('/^"api";r=0(;t=\d+)?$/', $headers['RateLimit']);
        self::assertSame('1', $headers['X-RateLimit-Limit']);
        self::assertSame('0', $headers['X-RateLimit-Remaining']);
        self::assertArrayNotHasKey('Retry-After', $headers);
        $denied = $limiter->check_rate_limit($client, 'api');
        self::assertSame((string) $denied['retry_after'], $limiter->get_rate_limit_headers($denied)['Retry-After']);
    }

    public function testDryRunCountsButAllows(): void
    {
        $limiter = self::limiter(['api' => ['limit' => 1, 'window' => 60, 'dry_run' => true]]);
        $client = self::client();
        $limiter->check_rate_limit($client, 'api');
        $check = $limiter->check_rate_limit($client, 'api');
        self::assertSame([true, 'dry_run'], [$check['allowed'], $check['reason']]);
    }

    /** @return array<string, array{array<mixed>, string}> */
    public static function mistakes(): array
    {
        return [
            'unknown key' => [['limts' => []], "did you mean 'limits'"],
            'unknown rule field' => [['limits' => ['api' => ['limt' => 5]]], "did you mean 'limit'"],
            'word for a number' => [['limits' => ['api' => ['limit' => 'many']]], 'limit'],
            'zero window' => [['limits' => ['api' => ['window' => 0]]], 'window'],
            'unknown algorithm' => [['algorithm' => 'sliding'], 'sliding_window'],
            'malformed proxy' => [['trusted_proxies' => ['10.0.0.0/99']], 'trusted_proxies'],
        ];
    }

    /** @dataProvider mistakes */
    public function testAWrongSettingNamesItself(array $config, string $named): void
    {
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessage($named);
        new SLBP_Rate_Limiter($config);
    }

    public function testMisuseOfACallThrows(): void
    {
        $limiter = self::limiter([]);
        foreach ([['', 'general', 1], ['user:1', 'general', 0], ['user:1', 'general', -1]] as $arguments) {
            try {
                $limiter->check_rate_limit(...$arguments);
                self::fail('accepted ' . json_encode($arguments));
            } catch (SLBP_InvalidArgumentException $e) {
                self::assertNotSame('', $e->getMessage());
            }
        }
    }

    public function testItCanBeMocked(): void
    {
        $mock = $this->createMock(SLBP_Rate_Limiter::class);
        $mock->method('check_rate_limit')->willReturn(['allowed' => false]);
        self::assertFalse($mock->check_rate_limit('user:1')['allowed']);
    }

    public function testOutsideWordPressARequestIsAnsweredWithAnArray(): void
    {
        $answer = self::limiter([])->get_rate_limit_status();
        self::assertSame(['status', 'headers', 'body'], array_keys($answer));
        self::assertSame(200, $answer['status']);
    }
}
