<?php

declare(strict_types=1);

use PHPUnit\Framework\Attributes\DataProvider;
use PHPUnit\Framework\TestCase;

require_once __DIR__ . '/support/MariaDb.php';

/**
 * The query half of SLBP_Performance_Optimizer: what PHP asks a real MariaDB is seen without being asked to.
 * Each script runs in a PHP of its own, because what a process has seen is forgotten only when its request ends.
 */
final class QueryWatchTest extends TestCase
{
    private static MariaDb $server;

    public static function setUpBeforeClass(): void
    {
        self::$server = new MariaDb();
        self::$server->database('watched')->query('CREATE TABLE wp_postmeta (post_id INT, meta_value VARCHAR(20))');
    }

    public static function tearDownAfterClass(): void
    {
        self::$server->stop();
    }

    /** What a script with `$db` (mysqli) and `$optimizer` prints as JSON. */
    private function script(string $code, string ...$ini): mixed
    {
        return json_decode($this->output($code, ...$ini), true, 512, JSON_THROW_ON_ERROR);
    }

    private function output(string $code, string ...$ini): string
    {
        $extension = getenv('SLBP_EXTENSION') ?: realpath(__DIR__ . '/../../target/debug/libslbp.so');
        $file = self::$server->folder . '/' . md5($code) . '.php';
        $socket = var_export(self::$server->socket, true);
        file_put_contents($file, "<?php \$socket = $socket; \$db = new mysqli('localhost', 'root', '', 'watched', 0, \$socket);
            \$optimizer = new SLBP_Performance_Optimizer(['n_plus_one_time' => 0]);\n$code");
        $options = ["extension=$extension", 'opcache.enable_cli=1', 'log_errors=0', 'display_errors=1', ...$ini];
        $command = ['timeout', '60', PHP_BINARY];
        foreach ($options as $option) {
            array_push($command, '-d', $option);
        }
        return MariaDb::run([...$command, $file]);
    }

    /** @return array<string, array<string, mixed>> by fingerprint */
    private function queries(string $code): array
    {
        $rows = $this->script("$code\n echo json_encode(\$optimizer->get_queries(['scope' => 'request', 'limit' => 1000]));");
        return array_column($rows, null, 'fingerprint');
    }

    public function testEveryWayToExecuteSqlIsCountedOnce(): void
    {
        $found = $this->queries(<<<'PHP'
            mysqli_query($db, 'SELECT 1 AS function');
            mysqli_real_query($db, 'SELECT 1 AS real_function'); mysqli_store_result($db);
            $db->query('SELECT 1 AS method');
            $db->real_query('SELECT 1 AS real_method'); $db->store_result();
            $db->multi_query('SELECT 1 AS several; SELECT 2 AS more');
            do { $db->store_result(); } while ($db->more_results() && $db->next_result());
            if (method_exists($db, 'execute_query')) { $db->execute_query('SELECT ? AS executed', [4]); }
            $prepared = $db->prepare('SELECT ? AS prepared');
            foreach ([1, 2, 3] as $value) { $prepared->execute([$value]); $prepared->get_result(); }
            $late = $db->stmt_init(); $late->prepare('SELECT 1 AS late'); $late->execute(); $late->get_result();
            $made = new mysqli_stmt($db, 'SELECT 1 AS made'); $made->execute(); $made->get_result();
            $plain = mysqli_prepare($db, 'SELECT 1 AS plain'); mysqli_stmt_execute($plain); mysqli_stmt_get_result($plain);
            $db->prepare('SELECT 1 AS never_executed');
            $pdo = new PDO("mysql:unix_socket=$socket;dbname=watched", 'root', '');
            $pdo->query('SELECT 1 AS pdo_query')->fetchAll(); $pdo->exec('SET @pdo_exec = 1');
            $statement = $pdo->prepare('SELECT :v AS pdo_prepared'); $statement->execute(['v' => 1]); $statement->execute(['v' => 1]);
            class Heir extends mysqli {} $heir = new Heir('localhost', 'root', '', 'watched', 0, $socket); $heir->query('SELECT 1 AS heir');
            PHP);
        foreach (['function', 'real_function', 'method', 'real_method', 'late', 'made', 'plain', 'pdo_query', 'heir'] as $once) {
            $this->assertSame(1, $found["SELECT ? AS $once"]['count'] ?? 0, $once);
        }
        $this->assertSame(1, $found['SELECT ? AS several ; SELECT ? AS more']['count']);
        $this->assertSame([3, 0], [$found['SELECT ? AS prepared']['count'], $found['SELECT ? AS prepared']['duplicates']]);
        $this->assertSame([2, 1], [$found['SELECT ? AS pdo_prepared']['count'], $found['SELECT ? AS pdo_prepared']['duplicates']]);
        $this->assertSame(1, $found['SET @pdo_exec = ?']['count']);
        $this->assertArrayNotHasKey('SELECT ? AS never_executed', $found);
        if (method_exists(mysqli::class, 'execute_query')) {
            $this->assertSame(1, $found['SELECT ? AS executed']['count']);
        }
    }

    public static function engines(): array
    {
        return [
            'interpreted' => ['opcache.jit=off'],
            'tracing JIT' => ['opcache.jit=tracing', 'opcache.jit_buffer_size=16M', 'opcache.jit_hot_loop=8'],
            'function JIT' => ['opcache.jit=function', 'opcache.jit_buffer_size=16M'],
        ];
    }

    #[DataProvider('engines')]
    /** @dataProvider engines */
    public function testCountsAreExactWhateverRunsTheCode(string ...$ini): void
    {
        $stats = $this->script(<<<'PHP'
            function ask(mysqli $db, int $i): void { $db->query("DO $i"); mysqli_query($db, "DO 1, $i"); }
            for ($i = 0; $i < 1000; $i++) { ask($db, $i); }
            echo json_encode($optimizer->get_performance_stats());
            PHP, ...$ini);
        $this->assertSame(2000, $stats['total_queries']);
        $this->assertSame([1000, 1000], array_column($stats['top'], 'count'));
    }

    public function testALoopIsAnNPlusOneAtItsLineAndRepetitionIsADuplicate(): void
    {
        $lists = $this->script(<<<'PHP'
            function titles(mysqli $db) {
                for ($i = 0; $i < 9; $i++) {
                    $db->query("SELECT meta_value FROM wp_postmeta WHERE post_id = $i AND meta_value = 'secret$i'");
                }
            }
            titles($db);
            for ($i = 0; $i < 9; $i++) { $db->query('SELECT COUNT(*) FROM wp_postmeta'); }
            echo json_encode([$optimizer->get_n_plus_one_queries(), $optimizer->get_duplicate_queries(), $optimizer->get_slow_queries()]);
            PHP);
        [[$loop], [$repeated], $slow] = $lists;
        $this->assertSame('SELECT meta_value FROM wp_postmeta WHERE post_id = ? AND meta_value = ?', $loop['fingerprint']);
        $this->assertSame([9, 9, 'wp_postmeta', 'SELECT'], [$loop['count'], $loop['most_in_request'], $loop['table'], $loop['verb']]);
        $this->assertMatchesRegularExpression('~:5 titles\(\)$~', $loop['call_site']);
        $this->assertStringContainsString('update_meta_cache', $loop['hint']);
        $this->assertStringNotContainsString('secret', json_encode($lists));
        $this->assertSame(['SELECT COUNT(*) FROM wp_postmeta', 8], [$repeated['fingerprint'], $repeated['duplicates']]);
        $this->assertSame([], $slow);
    }

    public function testSlowQueriesAreThoseOverTheThreshold(): void
    {
        [$slow, $stats] = $this->script(<<<'PHP'
            $optimizer = new SLBP_Performance_Optimizer(['slow_query_threshold' => '0.05']);
            $db->query('DO 1'); $db->query('DO SLEEP(0.06)');
            echo json_encode([$optimizer->get_slow_queries(['scope' => 'request']), $optimizer->get_performance_stats()]);
            PHP);
        $this->assertSame(['DO SLEEP(?)'], array_column($slow, 'fingerprint'));
        $this->assertGreaterThanOrEqual(0.06, $slow[0]['max_time']);
        $this->assertSame([2, 1, 0.05], [$stats['total_queries'], $stats['slow_queries'], $stats['slow_query_threshold']]);
    }

    public function testFailuresAreCountedAndExceptionsReachTheScript(): void
    {
        [$failed, $message] = $this->script(<<<'PHP'
            mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
            try { $db->query('SELEC 1'); } catch (mysqli_sql_exception $e) { $message = $e->getMessage(); }
            mysqli_report(MYSQLI_REPORT_OFF);
            $db->query('SELEC 2');
            try { $db->query(); } catch (ArgumentCountError) {}
            try { $db->query([]); } catch (TypeError) {}
            echo json_encode([$optimizer->get_performance_stats()['failed_queries'], $message]);
            PHP);
        $this->assertSame(2, $failed);
        $this->assertStringContainsString('SQL syntax', $message);
    }

    public function testAScriptThatEndsInsideAQueryEndsAsEver(): void
    {
        $ended = $this->output(<<<'PHP'
            set_error_handler(function () use ($db) { $db->query('DO 1'); echo 'handler'; exit(0); });
            mysqli_report(MYSQLI_REPORT_ERROR);
            $db->query('SELEC 1');
            echo 'not reached';
            PHP);
        $this->assertSame('handler', $ended);
        $died = $this->output(<<<'PHP'
            register_shutdown_function(fn() => print($optimizer->get_performance_stats()['total_queries'] > 1000 ? 'counted' : 'lost'));
            register_shutdown_function(fn() => exit(0));
            ini_set('display_errors', 0);
            ini_set('memory_limit', '4M');
            function deep($db) { $db->query('DO 1'); deep($db); }
            deep($db);
            PHP);
        $this->assertSame('counted', $died);
    }

    public function testHostileStatementsAreSeenAndDoNoHarm(): void
    {
        $stats = $this->script(<<<'PHP'
            mysqli_report(MYSQLI_REPORT_OFF);
            $huge = "SELECT '" . str_repeat('x', 2000000) . "'";
            $deep = [str_repeat('(', 100000), str_repeat('IN (1,', 20000)];
            $hostile = ["\xff\xfe\0'", 'SELECT /*', '`', '', "/*!99999 '", $huge, ...$deep];
            foreach ($hostile as $sql) { try { $db->query($sql); } catch (Throwable) {} }
            for ($i = 0; $i < 2500; $i++) { $db->query("DO 1 AS c$i"); }
            echo json_encode($optimizer->get_performance_stats());
            PHP);
        $this->assertSame(2508, $stats['total_queries']);
        $this->assertSame(2000, $stats['distinct_queries']);
    }

    public function testAScriptsOwnMeasurementIsAddedUnlessTheQueryWasSeen(): void
    {
        $rows = $this->script(<<<'PHP'
            $started = microtime(true);
            $db->query('SELECT 1 AS seen');
            $optimizer->monitor_query_performance('seen', 'SELECT 1 AS seen', $started);
            $optimizer->monitor_query_performance('remote', 'SELECT 1 AS remote', microtime(true) - 2);
            $optimizer->monitor_query_performance('future', 'SELECT 1 AS future', microtime(true) + 60);
            echo json_encode(array_column($optimizer->get_queries(['scope' => 'request']), null, 'fingerprint'));
            PHP);
        $this->assertSame(1, $rows['SELECT ? AS seen']['count']);
        $this->assertGreaterThanOrEqual(2.0, $rows['SELECT ? AS remote']['total_time']);
        $this->assertStringEndsWith('[remote]', $rows['SELECT ? AS remote']['call_site']);
        $this->assertSame(0, (int) $rows['SELECT ? AS future']['total_time']);
    }

    public function testNothingIsSeenWhereNobodyWantsTo(): void
    {
        $count = '$db->query("DO 1"); echo json_encode($optimizer->get_performance_stats()["total_queries"]);';
        $this->assertSame(1, $this->script($count));
        $this->assertSame(0, $this->script($count, 'slbp.query_hook=off'));
        $this->assertSame(0, $this->script('new SLBP_Performance_Optimizer(["query_monitoring" => false]); ' . $count));
    }

    public function testRequestsAddUpForTheSite(): void
    {
        $path = sys_get_temp_dir() . '/slbp-watch-' . bin2hex(random_bytes(6));
        $shared = ["slbp.shm_path=$path", 'slbp.shm_size=4M'];
        $ask = 'for ($i = 0; $i < 6; $i++) { $db->query("SELECT $i FROM wp_postmeta WHERE post_id = $i"); }';
        $this->output($ask, ...$shared);
        $this->output($ask, ...$shared);
        [$row, $stats, $cleared] = $this->script(<<<'PHP'
            $site = new SLBP_Performance_Optimizer(['scope' => 'site']);
            $rows = $site->get_n_plus_one_queries(['limit' => 1]);
            $stats = $site->get_performance_stats();
            $site->clear_query_stats();
            echo json_encode([$rows[0], $stats, $site->get_queries()]);
            PHP, ...$shared);
        $this->assertSame([12, 2, 2, 6], [$row['count'], $row['requests'], $row['n_plus_one'], $row['most_in_request']]);
        $this->assertSame([12, []], [$stats['total_queries'], $cleared]);
        $this->assertStringNotContainsString('secret', file_get_contents($path));
        unlink($path);
    }

    public function testWrongOptionsAreNamed(): void
    {
        $optimizer = new SLBP_Performance_Optimizer();
        $wrong = [
            'slow_query_threshold' => fn() => new SLBP_Performance_Optimizer(['slow_query_threshold' => -1]),
            'n_plus_one_threshold' => fn() => new SLBP_Performance_Optimizer(['n_plus_one_threshold' => 1]),
            'scope' => fn() => $optimizer->get_slow_queries(['scope' => 'world']),
            'order' => fn() => $optimizer->get_queries(['order' => 'size']),
            "did you mean 'limit'" => fn() => $optimizer->get_queries(['limits' => 1]),
        ];
        foreach ($wrong as $named => $call) {
            try {
                $call();
                $this->fail("nothing thrown for $named");
            } catch (SLBP_InvalidArgumentException $e) {
                $this->assertStringContainsString((string) $named, $e->getMessage());
            }
        }
    }
}
