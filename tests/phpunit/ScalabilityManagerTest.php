<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

require_once __DIR__ . '/support/MariaDb.php';

/**
 * SLBP_Scalability_Manager as a PHP programmer uses it, without WordPress, over a real MariaDB.
 */
final class ScalabilityManagerTest extends TestCase
{
    private static MariaDb $server;

    public static function setUpBeforeClass(): void
    {
        self::$server = new MariaDb();
        self::$server->database('health');
    }

    public static function tearDownAfterClass(): void
    {
        self::$server->stop();
    }

    private function manager(array $config = []): SLBP_Scalability_Manager
    {
        $database = ['socket' => self::$server->socket, 'user' => 'root', 'name' => 'health'];

        return new SLBP_Scalability_Manager($config + ['database' => $database]);
    }

    /** What the detailed report says of a check in PHP. */
    private function finding(callable $check, array $options = []): array
    {
        static $number = 0;
        $manager = $this->manager();
        $name = 'php_' . $number++;
        $manager->register_health_check($name, $check, $options);

        return $manager->detailed_health_check()['body']['checks'][$name];
    }

    public function testTheProbesAnswer(): void
    {
        $manager = $this->manager();
        $live = $manager->liveness_check();
        $ready = $manager->readiness_check();

        $this->assertSame([200, 'alive'], [$live['status'], $live['body']['status']]);
        $this->assertSame([200, 'ready'], [$ready['status'], $ready['body']['status']]);
        $this->assertSame('healthy', $ready['body']['checks']['database']);
        $this->assertSame('no-store', $ready['headers']['Cache-Control']);
        $this->assertContains($manager->health_check()['body']['status'], ['healthy', 'degraded']);
    }

    public function testDetailsHaveNumbersAndTheNode(): void
    {
        $body = $this->manager()->detailed_health_check()['body'];

        $this->assertMatchesRegularExpression('/^[0-9a-f]{16}$/', $body['instance_id']);
        $this->assertSame($body['instance_id'], $this->manager()->get_instance_id());
        $this->assertSame('s', $body['checks']['database']['unit']);
        $this->assertGreaterThan(0, $body['checks']['database']['value']);
        $this->assertTrue($body['checks']['database']['critical']);
        $this->assertLessThan(2, $body['checks']['database_clock']['value']);
        foreach (['disk', 'inodes', 'memory', 'cache_memory', 'database_replication', 'opcache', 'php_fpm'] as $name) {
            $this->assertArrayHasKey($name, $body['checks']);
        }
    }

    public static function answers(): array
    {
        return [
            'true' => [static fn () => true, 'healthy', ''],
            'false' => [static fn () => false, 'unhealthy', 'the check returned false'],
            'null' => [static fn () => null, 'unhealthy', 'the check returned nothing'],
            'a word' => [static fn () => 'degraded', 'degraded', ''],
            'another word' => [static fn () => 'so so', 'degraded', "the check returned 'so so'"],
            'an array' => [static fn () => ['status' => 'unhealthy', 'message' => 'no route', 'value' => 3], 'unhealthy', 'no route'],
            'an object' => [static fn () => new ArrayObject(), 'degraded', 'the check returned something that is no answer'],
            'an exception' => [static fn () => throw new RuntimeException('boom'), 'unhealthy', 'RuntimeException: boom'],
            'an error' => [static fn () => no_such_function(), 'unhealthy', 'Error: Call to undefined function no_such_function()'],
            'exit' => [static fn () => exit('gone'), 'unhealthy', 'the check called exit()'],
        ];
    }

    /** @dataProvider answers */
    public function testWhateverACheckDoesIsAnAnswer(callable $check, string $state, string $message): void
    {
        $found = $this->finding($check);

        $this->assertSame($state, $found['status']);
        $this->assertSame(0, strncmp($message, $found['message'], strlen($message)), $found['message']);
    }

    public function testWhatACheckPrintsIsNotPartOfTheAnswer(): void
    {
        $this->expectOutputString('');
        $this->finding(static function () {
            echo 'first';
            ob_start();
            echo 'second';

            return true;
        });
    }

    public function testASlowCheckIsDegraded(): void
    {
        $found = $this->finding(static fn () => usleep(20000) ?? true, ['timeout' => 0.01]);

        $this->assertSame('degraded', $found['status']);
        $this->assertStringStartsWith('took 0.0 s', $found['message']);
    }

    public function testAFindingIsSharedForItsTime(): void
    {
        $runs = 0;
        $manager = $this->manager();
        $manager->register_health_check('counted', function () use (&$runs) {
            return ++$runs > 0;
        }, ['groups' => ['ready']]);
        $manager->readiness_check();
        $this->manager()->readiness_check();
        $manager->readiness_check();

        $this->assertSame(1, $runs);
    }

    public function testACheckMayRegisterAndAskAgain(): void
    {
        $manager = $this->manager();
        $manager->register_health_check('reentrant', function () use ($manager) {
            $manager->register_health_check('reentrant', static fn () => false);

            return $manager->liveness_check()['status'] === 200;
        });

        $this->assertSame('healthy', $manager->detailed_health_check()['body']['checks']['reentrant']['status']);
    }

    public function testDrainingTakesTheNodeOutAndNothingElse(): void
    {
        $manager = $this->manager();
        $manager->set_draining();
        try {
            $this->assertTrue($this->manager()->is_draining());
            $this->assertSame(503, $manager->readiness_check()['status']);
            $this->assertSame('not_ready', $manager->readiness_check()['body']['status']);
            $this->assertSame(200, $manager->liveness_check()['status']);
        } finally {
            $manager->set_draining(false);
        }
        $this->assertFalse($manager->is_draining());
        $this->assertSame(200, $manager->readiness_check()['status']);
    }

    public function testADatabaseThatIsNotThereMakesTheNodeNotReady(): void
    {
        $away = new SLBP_Scalability_Manager(['database' => ['socket' => '/nowhere/mysqld.sock']]);

        $this->assertBecomes(503, $away);
        $this->assertBecomes(200, $this->manager());
    }

    /** What was found of the site's database before is good for two seconds. */
    private function assertBecomes(int $status, SLBP_Scalability_Manager $manager): void
    {
        $deadline = microtime(true) + 15;
        while ($manager->readiness_check()['status'] !== $status && microtime(true) < $deadline) {
            usleep(50000);
        }
        $this->assertSame($status, $manager->readiness_check()['status']);
    }

    public function testHealthJsonIsForWhoAsksForIt(): void
    {
        $request = new class {
            public function get_header(string $name): ?string
            {
                return $name === 'accept' ? 'text/html, application/health+json;q=0.9' : null;
            }
        };
        $answer = $this->manager()->detailed_health_check($request);

        $this->assertSame('application/health+json', $answer['headers']['Content-Type']);
        $this->assertContains($answer['body']['status'], ['pass', 'warn', 'fail']);
        $check = $answer['body']['checks']['database:responseTime'][0];
        $this->assertSame(['datastore', 'pass', 's'], [$check['componentType'], $check['status'], $check['observedUnit']]);
        $this->assertArrayNotHasKey('output', $check);
        $public = $this->manager()->readiness_check($request)['body'];
        $this->assertArrayNotHasKey('observedValue', $public['checks']['database:responseTime'][0]);
        $this->assertArrayNotHasKey('serviceId', $public);
    }

    public function testATokenOpensDetailsAndNothingLikeItDoes(): void
    {
        $manager = $this->manager(['health_token' => 'a-token-of-enough-bytes']);
        $with = static fn (string $header) => new class ($header) {
            public function __construct(private string $header)
            {
            }

            public function get_header(string $name): ?string
            {
                return $name === 'authorization' ? $this->header : null;
            }
        };

        $this->assertTrue($manager->check_health_permissions($with('Bearer a-token-of-enough-bytes')));
        $this->assertFalse($manager->check_health_permissions($with('Bearer a-token-of-enough-byte')));
        $this->assertFalse($manager->check_health_permissions());
    }

    public static function misuses(): array
    {
        return [
            'an unknown key' => [static fn () => new SLBP_Scalability_Manager(['health_check_ip' => []])],
            'no network' => [static fn () => new SLBP_Scalability_Manager(['health_check_ips' => ['10.0.0.0/33']])],
            'a short token' => [static fn () => new SLBP_Scalability_Manager(['health_token' => 'short'])],
            'plain http' => [static fn () => new SLBP_Scalability_Manager(['external_apis' => ['http://example.org/']])],
            'a name' => [static fn () => (new SLBP_Scalability_Manager())->register_health_check('No Name', 'time')],
            'an option' => [static fn () => (new SLBP_Scalability_Manager())->register_health_check('x', 'time', ['ttl' => 0])],
            'a group' => [static fn () => (new SLBP_Scalability_Manager())->register_health_check('x', 'time', ['groups' => ['live']])],
            'a server' => [static fn () => (new SLBP_Scalability_Manager())->render_load_balancer_config('apache', ['a:80'])],
            'no upstreams' => [static fn () => (new SLBP_Scalability_Manager())->render_load_balancer_config('nginx', [])],
            'an upstream' => [
                static fn () => (new SLBP_Scalability_Manager())->render_load_balancer_config('nginx', ["a:80;\ninclude /etc/passwd"]),
            ],
            'a path' => [static fn () => new SLBP_Scalability_Manager(['load_balancer' => ['probe' => "/x;\n}"]])],
            'a number' => [static fn () => new SLBP_Scalability_Manager(['load_balancer' => ['interval' => 0]])],
        ];
    }

    /** @dataProvider misuses */
    public function testMisuseIsNamed(callable $misuse): void
    {
        $this->expectException(SLBP_InvalidArgumentException::class);
        $misuse();
    }

    public function testTheBalancerIsToldTheProbes(): void
    {
        $config = $this->manager(['load_balancer' => ['interval' => '7', 'affinity' => 'cookie']])->get_load_balancer_config();

        $this->assertSame('/wp-json/skylearn-billing-pro/v1/ready', $config['health_check']['path']);
        $this->assertSame([7, 'cookie'], [$config['health_check']['interval'], $config['session_affinity']['type']]);
        $this->assertStringEndsWith('/live', $this->manager()->get_microservices_config()['endpoints']['live']);
    }
}
