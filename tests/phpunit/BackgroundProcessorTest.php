<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

require_once __DIR__ . '/support/MariaDb.php';

/**
 * SLBP_Background_Processor as a PHP programmer uses it, without WordPress, over a real MariaDB.
 */
final class BackgroundProcessorTest extends TestCase
{
    private static MariaDb $server;
    private array $database;

    public static function setUpBeforeClass(): void
    {
        self::$server = new MariaDb();
    }

    public static function tearDownAfterClass(): void
    {
        self::$server->stop();
    }

    protected function setUp(): void
    {
        self::$server->database('queue');
        $this->database = ['socket' => self::$server->socket, 'user' => 'root', 'name' => 'queue'];
    }

    private function processor(array $config = []): SLBP_Background_Processor
    {
        return new SLBP_Background_Processor(['database' => $this->database] + $config);
    }

    private function sql(string $statement): array
    {
        $connection = new mysqli('localhost', 'root', '', 'queue', 0, self::$server->socket);
        $result = $connection->query($statement);
        return $result === true ? [] : $result->fetch_all(MYSQLI_ASSOC);
    }

    /** Runs PHP code in a process of its own; `$p` is a processor. Its exit status. */
    private function elsewhere(string $code, string ...$ini): int
    {
        $config = var_export(['database' => $this->database], true);
        $settings = ['-d', 'extension=' . $this->extension(), '-d', 'display_errors=0', '-d', 'log_errors=0'];
        foreach ($ini as $directive) {
            array_push($settings, '-d', $directive);
        }
        $process = proc_open(
            [PHP_BINARY, ...$settings, '-r', "\$p = new SLBP_Background_Processor($config); $code"],
            [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w']],
            $pipes
        );
        return proc_close($process);
    }

    private function extension(): string
    {
        return getenv('SLBP_EXTENSION') ?: realpath(__DIR__ . '/../../target/debug/libslbp.so');
    }

    private function waitUntil(callable $condition, string $what): void
    {
        $deadline = microtime(true) + 30;
        while (!$condition()) {
            self::assertLessThan($deadline, microtime(true), "timed out waiting until $what");
            usleep(20_000);
        }
    }

    public function testATaskIsQueuedRunAndRemembered(): void
    {
        $processor = $this->processor();
        $data = ['name' => "Zoë's \\ \"shop\" 💶", 'nested' => ['list' => [1, 2.5, null, true], 'one' => 1.0]];
        $id = $processor->queue_task('export', $data);
        self::assertSame('pending', $processor->get_task($id)['status']);
        $seen = null;
        $processor->register_handler('export', function (array $data, array $task) use (&$seen): void {
            $seen = [$data, $task['id'], $task['attempt'], $task['idempotency_key']];
        });

        self::assertSame(1, $processor->process_tasks());
        $task = $processor->get_task($id);
        self::assertSame([$data, $id, 1, $task['idempotency_key']], $seen);
        self::assertSame('completed', $task['status']);
        self::assertSame(1, $processor->get_queue_stats()['completed']);
        self::assertNull($processor->get_task(999));
        self::assertSame(0, $processor->process_tasks());
    }

    public function testFalseAnExceptionAndAnErrorAreFailuresAndTriedAgain(): void
    {
        $processor = $this->processor(['retry_attempts' => 3, 'backoff' => ['base' => 0, 'jitter' => 0]]);
        $id = $processor->queue_task('sync');
        $messages = [];
        $processor->register_handler('sync', function (array $data, array $task) use (&$messages): mixed {
            $messages[] = $task['error_message'];
            return match ($task['attempt']) {
                1 => false,
                2 => throw new RuntimeException('gateway timed out'),
                3 => strlen(null),
                default => 0,
            };
        });
        $this->waitUntil(fn(): bool => $processor->process_tasks() === 0, 'there is nothing left');

        self::assertSame('completed', $processor->get_task($id)['status'], '0 is a success');
        self::assertSame(3, $processor->get_task($id)['retry_count']);
        self::assertNull($messages[0]);
        self::assertSame('the handler returned false', $messages[1]);
        self::assertMatchesRegularExpression(
            '/^RuntimeException: gateway timed out \(BackgroundProcessorTest\.php:\d+\)$/',
            $messages[2]
        );
        self::assertStringContainsString('TypeError', $messages[3]);
    }

    public function testAFailedTaskWaitsLongerEachTimeThenIsKeptAndMayBeReplayed(): void
    {
        $processor = $this->processor(['backoff' => ['base' => 100, 'factor' => 3, 'jitter' => 0]]);
        $id = $processor->queue_task('sync', [], 10, null, ['max_attempts' => 3]);
        $processor->register_handler('sync', fn(): bool => false);
        $table = 'wp_slbp_background_tasks';
        foreach ([100, 300] as $delay) {
            $before = microtime(true);
            self::assertSame(1, $processor->process_tasks());
            self::assertEqualsWithDelta($before + $delay, $processor->get_task($id)['run_at'], 20);
            self::assertSame(0, $processor->process_tasks());
            $this->sql("UPDATE $table SET sort_key = sort_key - 1000000 * $delay, run_at = run_at - 1000000 * $delay");
        }
        $processor->process_tasks();
        self::assertSame('failed', $processor->get_task($id)['status']);

        self::assertSame(0, $processor->retry_failed('mail'));
        self::assertTrue($processor->retry_task($id));
        self::assertFalse($processor->retry_task($id), 'it is pending again');
        self::assertSame(0, $processor->get_task($id)['retry_count']);
        $processor->register_handler('sync', fn(): bool => true);
        self::assertSame(1, $processor->process_tasks());
        self::assertSame('completed', $processor->get_task($id)['status']);
    }

    public function testAUniqueKeyIsHeldUntilItsTaskEnds(): void
    {
        $processor = $this->processor();
        $processor->register_handler('sync', fn(): bool => true);
        $first = $processor->queue_task('sync', ['n' => 1], 10, null, ['unique_key' => 'user:7']);
        self::assertSame($first, $processor->queue_task('sync', ['n' => 2], 10, null, ['unique_key' => 'user:7']));
        self::assertNotSame($first, $processor->queue_task('mail', [], 10, null, ['unique_key' => 'user:7']));
        $processor->process_tasks();
        self::assertNotSame($first, $processor->queue_task('sync', [], 10, null, ['unique_key' => 'user:7']));
    }

    public function testTasksRunByPriorityAndAfterWhatTheyWaitFor(): void
    {
        $processor = $this->processor();
        $ran = [];
        $processor->register_handler('t', function (array $data) use (&$ran): void {
            $ran[] = $data['name'];
        });
        $late = $processor->queue_task('t', ['name' => 'late'], 20);
        $processor->queue_task('t', ['name' => 'soon'], -5);
        $processor->queue_task('t', ['name' => 'after late'], -9, null, ['after' => [$late]]);
        $processor->queue_tasks([
            ['task_type' => 't', 'task_data' => ['name' => 'part'], 'priority' => '30', 'options' => ['batch_id' => 'b']],
            ['task_type' => 't', 'task_data' => ['name' => 'part'], 'priority' => 30, 'options' => ['batch_id' => 'b']],
            ['task_type' => 't', 'task_data' => ['name' => 'end'], 'options' => ['after' => 'batch:b']],
        ]);
        $processor->work(['stop_when_empty' => true]);
        self::assertSame('soon', $ran[0]);
        self::assertLessThan(array_search('after late', $ran), array_search('late', $ran));
        self::assertSame('end', $ran[5]);
    }

    public function testDatesAreOnTheSitesClock(): void
    {
        $zone = date_default_timezone_get();
        date_default_timezone_set('Europe/Berlin');
        try {
            $processor = $this->processor();
            $at = fn(mixed $when): float => $processor->get_task($processor->queue_task('t', [], 10, $when))['run_at'];
            $summer = (float) gmmktime(11, 0, 0, 6, 21, 2050);
            self::assertSame($summer, $at('2050-06-21 13:00:00'));
            self::assertSame($summer, $at('2050-06-21T11:00:00Z'));
            self::assertSame($summer, $at('2050-06-21T06:00:00-05:00'));
            self::assertSame($summer, $at((int) $summer));
            self::assertSame($summer, $at(new DateTimeImmutable('2050-06-21 13:00:00')));
            self::assertSame($summer, $at(new DateTime('2050-06-21 07:00:00', new DateTimeZone('America/New_York'))));
            $gap = (new DateTimeImmutable('2050-03-27 03:30:00'))->getTimestamp();
            self::assertSame((float) $gap, $at('2050-03-27 02:30:00'), 'a time that is skipped moves forward');
            self::assertSame('2050-06-21 13:00:00', $processor->get_tasks(['limit' => 7])[6]['scheduled_at']);
            self::assertSame(7, $processor->get_queue_stats()['scheduled']);
            self::assertSame(0, $processor->process_tasks());
        } finally {
            date_default_timezone_set($zone);
        }
    }

    public function testProgressIsSeenAndTellsTheHandlerToStop(): void
    {
        $processor = $this->processor();
        $other = $this->processor();
        $id = $processor->queue_task('long');
        $processor->register_handler('long', function (array $data, array $task) use ($processor, $other): mixed {
            self::assertTrue($processor->update_progress($task['id'], 25, 100, 'rows'));
            $shown = $other->get_task($task['id'])['progress'];
            self::assertSame([25, 100, 'rows'], [$shown['done'], $shown['total'], $shown['message']]);
            self::assertTrue($other->cancel_task($task['id']));
            self::assertFalse($processor->update_progress($task['id'], 26, 100));
            return true;
        });
        $processor->process_tasks();
        self::assertSame('completed', $processor->get_task($id)['status'], 'who finishes all the same has finished');
        self::assertFalse($processor->update_progress($id, 1), 'it does not run');
        self::assertFalse($processor->cancel_task($id));
    }

    public function testAQueuedTaskIsCancelledAtOnce(): void
    {
        $processor = $this->processor();
        $id = $processor->queue_task('t', [], 10, '2100-01-01');
        self::assertTrue($processor->cancel_task($id));
        self::assertSame('cancelled', $processor->get_task($id)['status']);
        self::assertSame(1, $processor->get_queue_stats()['cancelled']);
    }

    public function testAPausedTypeWaitsAndTheOthersRun(): void
    {
        $processor = $this->processor();
        $ran = [];
        foreach (['mail', 'sync'] as $type) {
            $processor->register_handler($type, function () use (&$ran, $type): void {
                $ran[] = $type;
            });
            $processor->queue_task($type);
        }
        self::assertTrue($processor->pause('mail'));
        $processor->process_tasks();
        self::assertSame(['sync'], $ran);
        self::assertTrue($processor->resume('mail'));
        $this->waitUntil(function () use ($processor, &$ran): bool {
            $processor->process_tasks();
            return count($ran) === 2;
        }, 'the paused one has run');
    }

    public function testListsAndPrunes(): void
    {
        $processor = $this->processor();
        $processor->register_handler('t', fn(): bool => true);
        $ids = $processor->queue_tasks(array_fill(0, 5, ['task_type' => 't']));
        $processor->process_tasks();
        $future = $processor->queue_task('u', [], 10, '2100-01-01');
        self::assertSame(array_reverse($ids), array_column($processor->get_tasks(['status' => 'completed']), 'id'));
        self::assertSame([$ids[1], $ids[0]], array_column($processor->get_tasks(['before' => $ids[2]]), 'id'));
        self::assertSame([$future], array_column($processor->get_tasks(['status' => ['scheduled', 'held']]), 'id'));
        self::assertSame(0, $processor->clear_old_tasks());
        $this->waitUntil(fn(): bool => $processor->clear_old_tasks(0) > 0, 'a microsecond has gone by');
        self::assertSame([$future], array_column($processor->get_tasks(), 'id'));
    }

    public function testExitInAHandlerMarksTheTaskAndTheQueueGoesOn(): void
    {
        $processor = $this->processor(['retry_attempts' => 0]);
        $processor->register_handler('exits', function (): void {
            exit(3);
        });
        $processor->register_handler('fine', fn(): bool => true);
        $free = $processor->queue_task('exits', [], 1);
        $money = $processor->queue_task('exits', [], 2, null, ['on_crash' => 'hold']);
        $fine = $processor->queue_task('fine', [], 3);
        $processor->work(['stop_when_empty' => true]);
        self::assertSame('failed', $processor->get_task($free)['status']);
        self::assertSame('the handler called exit()', $processor->get_task($free)['error_message']);
        self::assertSame('held', $processor->get_task($money)['status']);
        self::assertSame('completed', $processor->get_task($fine)['status']);
    }

    /** @return array<string, array{string, string, string}> */
    public static function fatalErrors(): array
    {
        return [
            'E_USER_ERROR' => ['trigger_error("boom", E_USER_ERROR);', 'boom', ''],
            'memory' => ['$x = str_repeat("x", 1 << 30);', 'Allowed memory size', 'memory_limit=64M'],
            'time limit' => ['set_time_limit(1); while (true) {}', 'Maximum execution time', ''],
            'compile error' => ['eval("function f() {} function f() {}");', 'Cannot redeclare f()', ''],
        ];
    }

    /** @dataProvider fatalErrors */
    public function testAFatalErrorMarksTheTaskAndGivesTheOthersBack(string $code, string $message, string $ini): void
    {
        $processor = $this->processor();
        $bad = $processor->queue_task('bad', [], 1);
        $held = $processor->queue_task('bad', [], 1, null, ['on_crash' => 'hold', 'queue' => 'money']);
        $next = $processor->queue_task('fine', [], 2);
        $handlers = "\$p->register_handler('bad', function () { $code }); \$p->register_handler('fine', fn() => true);";
        $settings = array_filter([$ini]);
        self::assertSame(255, $this->elsewhere("$handlers \$p->work(['queues' => ['default']]);", ...$settings));
        self::assertSame(255, $this->elsewhere("$handlers \$p->work(['queues' => ['money']]);", ...$settings));

        $task = $processor->get_task($bad);
        self::assertSame(['pending', 1], [$task['status'], $task['retry_count']]);
        self::assertStringContainsString($message, $task['error_message']);
        self::assertSame('held', $processor->get_task($held)['status']);
        self::assertSame('ready', $processor->get_task($next)['state'], 'it was given back at once');
        $processor->register_handler('fine', fn(): bool => true);
        self::assertSame(1, $processor->process_tasks());
    }

    public function testAForkedChildThatEndsLeavesItsParentsTaskAlone(): void
    {
        if (!function_exists('pcntl_fork')) {
            self::markTestSkipped('needs pcntl');
        }
        $processor = $this->processor();
        $id = $processor->queue_task('forks', [], 10, null, ['on_crash' => 'hold']);
        $handler = '$p->register_handler("forks", function () { $c = pcntl_fork(); if ($c === 0) { exit(0); }
            pcntl_waitpid($c, $s); return true; });';
        self::assertSame(0, $this->elsewhere("$handler exit(\$p->process_tasks() === 1 ? 0 : 9);"));
        self::assertSame('completed', $processor->get_task($id)['status']);
    }

    public function testSigtermDrainsTheWorker(): void
    {
        $processor = $this->processor();
        $processor->queue_tasks(array_fill(0, 20, ['task_type' => 'slow']));
        $config = var_export(['database' => $this->database], true);
        $code = "\$p = new SLBP_Background_Processor($config);
            \$p->register_handler('slow', fn() => usleep(200000)); exit(\$p->work() > 0 ? 7 : 8);";
        $command = [PHP_BINARY, '-d', 'extension=' . $this->extension(), '-r', $code];
        $worker = proc_open($command, [['file', '/dev/null', 'r']], $pipes);
        $this->waitUntil(fn(): bool => $processor->get_queue_stats()['completed'] > 0, 'a task has been done');
        proc_terminate($worker);
        self::assertSame(7, proc_close($worker), 'work() returned and the script went on');
        $stats = $processor->get_queue_stats();
        self::assertSame(0, $stats['processing'], 'what it had taken it gave back');
        self::assertSame(20, $stats['completed'] + $stats['pending']);
        self::assertGreaterThan(0, $stats['pending']);
    }

    public function testWhatNobodyRunsFailsWithAReason(): void
    {
        $processor = $this->processor(['retry_attempts' => 0]);
        $unknown = $processor->queue_task('nobody');
        $sync = $processor->queue_task('sync_external_data');
        $processor->process_tasks();
        self::assertSame("nobody runs tasks of the type 'nobody'", $processor->get_task($unknown)['error_message']);
        self::assertStringContainsString('slbp_sync_external_data', $processor->get_task($sync)['error_message']);
    }

    public function testWhatCannotBeStoredIsRefusedAndNothingIsStored(): void
    {
        $log = ini_set('error_log', '/dev/null');
        $processor = $this->processor(['max_payload' => 1000]);
        self::assertFalse($processor->queue_task('t', ['text' => "\xff"]));
        self::assertFalse($processor->queue_task('t', ["\xff" => 1]));
        self::assertFalse($processor->queue_task('t', ['number' => NAN]));
        self::assertFalse($processor->queue_task('t', ['text' => str_repeat('x', 1000)]));
        ini_set('error_log', $log);
        $wrong = [
            fn() => $processor->queue_task('two words'),
            fn() => $processor->queue_task('t', ['object' => new stdClass()]),
            fn() => $processor->queue_task('t', [], 10, 'tomorrow-ish'),
            fn() => $processor->queue_task('t', [], 10, new stdClass()),
            fn() => $processor->queue_task('t', [], 10, null, ['uniqe_key' => 1]),
            fn() => $processor->queue_task('t', [], 10, null, ['after' => [12345]]),
            fn() => $processor->queue_tasks([['task_type' => 't'], ['task_tipe' => 't']]),
            fn() => $processor->register_handler('t', fn() => 1, ['idempotant' => true]),
            fn() => $processor->get_tasks(['status' => 'done']),
            fn() => $processor->work(['max_task' => 1]),
            fn() => new SLBP_Background_Processor(['batch_sise' => 1]),
        ];
        foreach ($wrong as $n => $call) {
            try {
                $call();
                self::fail("call $n was not refused");
            } catch (SLBP_InvalidArgumentException $exception) {
                self::assertNotSame('', $exception->getMessage());
            }
        }
        self::assertSame([], $processor->get_tasks());
    }

    public function testWithoutADatabaseCallsFailSoftly(): void
    {
        $log = ini_set('error_log', '/dev/null');
        $processor = new SLBP_Background_Processor(['database' => ['socket' => '/nonexistent.sock', 'name' => 'x']]);
        self::assertFalse($processor->queue_task('t'));
        self::assertSame([], $processor->queue_tasks([['task_type' => 't']]));
        self::assertSame(0, $processor->process_tasks());
        self::assertNull($processor->get_task(1));
        self::assertFalse($processor->pause('t'));
        self::assertSame(0, $processor->get_queue_stats()['pending']);
        ini_set('error_log', $log);
    }
}
