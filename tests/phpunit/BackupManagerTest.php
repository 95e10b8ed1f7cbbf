<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

require_once __DIR__ . '/support/MariaDb.php';

/**
 * SLBP_Backup_Manager as a PHP programmer uses it, without WordPress, on a real MariaDB.
 */
final class BackupManagerTest extends TestCase
{
    private static MariaDb $server;
    private static int $sites = 0;

    private mysqli $site;
    private string $folder;
    private string $database;

    public static function setUpBeforeClass(): void
    {
        self::$server = new MariaDb();
    }

    public static function tearDownAfterClass(): void
    {
        self::$server->stop();
    }

    /** A site of its own for each test: two tables, of which one is the billing plugin's, and uploads. */
    protected function setUp(): void
    {
        $number = ++self::$sites;
        $this->database = "site_$number";
        $this->folder = self::$server->folder . "/site_$number";
        mkdir("{$this->folder}/uploads/2026", 0755, true);
        file_put_contents("{$this->folder}/uploads/2026/invoice.pdf", 'invoice');
        file_put_contents("{$this->folder}/uploads/logo.png", 'logo');
        $this->site = self::$server->database($this->database);
        $this->site->query('CREATE TABLE wp_posts (id INT PRIMARY KEY, title VARCHAR(50), body TEXT)');
        $this->site->query('CREATE TABLE wp_slbp_transactions (id INT PRIMARY KEY AUTO_INCREMENT, amount DECIMAL(10,2), fee FLOAT)');
        $this->site->query("INSERT INTO wp_posts SELECT seq, CONCAT('Title ', seq), REPEAT(MD5(seq), 50) FROM seq_1_to_1000");
        $this->site->query('INSERT INTO wp_slbp_transactions (amount, fee) SELECT seq / 7, seq / 3 FROM seq_1_to_500');
        $this->site->query('CREATE TABLE other_plugin (id INT PRIMARY KEY)');
    }

    private function manager(array $more = []): SLBP_Backup_Manager
    {
        return new SLBP_Backup_Manager($more + [
            'backup_dir' => "{$this->folder}/backups",
            'database' => ['socket' => self::$server->socket, 'user' => 'root', 'name' => $this->database, 'prefix' => 'wp_'],
            'files' => ['roots' => ['uploads' => "{$this->folder}/uploads"], 'exclude' => ['*.log']],
        ]);
    }

    /** @return array<string, mixed> A backup that was made. */
    private function backup(SLBP_Backup_Manager $manager, string $type = 'full', mixed ...$more): array
    {
        $result = $manager->create_backup($type, ...$more);
        self::assertTrue($result['success'], $result['message']);
        self::assertSame('completed', $result['status']);
        self::assertSame($result['backup_id'], $result['backup_info']['id']);
        return $result['backup_info'];
    }

    /** @return array<string, array<string, string>> The checksum of every table of the site. */
    private function checksums(): array
    {
        $rows = $this->site->query('CHECKSUM TABLE wp_posts, wp_slbp_transactions')->fetch_all(MYSQLI_ASSOC);
        return array_column($rows, 'Checksum');
    }

    private function tables(string $name = '%'): int
    {
        return $this->number("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '$name'");
    }

    private function number(string $sql): int
    {
        return (int) $this->site->query($sql)->fetch_row()[0];
    }

    public function testAFullBackupSaysWhatItIs(): void
    {
        $manager = $this->manager();
        $before = time();
        $info = $this->backup($manager);

        self::assertSame('full', $info['type']);
        self::assertSame('manual', $info['purpose']);
        self::assertSame(['database', 'files', 'config'], $info['components']);
        self::assertGreaterThanOrEqual($before, $info['created_at']);
        self::assertGreaterThanOrEqual(0, $info['duration']);
        self::assertGreaterThan(1000, $info['size']);
        self::assertSame($info['id'], $info['base_id']);
        self::assertMatchesRegularExpression('/^[0-9a-f]{64}$/', $info['checksum']);
        self::assertNull($info['error']);
        self::assertSame($info, $manager->get_backup_info($info['id']));
        self::assertSame([$info], $manager->list_backups());
        self::assertSame(100, $manager->get_progress($info['id'])['percent']);
    }

    public function testNobodyElseMayReadIt(): void
    {
        $info = $this->backup($this->manager());
        $all = new RecursiveIteratorIterator(
            new RecursiveDirectoryIterator("{$this->folder}/backups/{$info['id']}", FilesystemIterator::SKIP_DOTS),
            RecursiveIteratorIterator::SELF_FIRST
        );
        foreach ($all as $file) {
            self::assertSame($file->isDir() ? 0700 : 0600, $file->getPerms() & 07777, (string) $file);
        }
        self::assertSame(0700, fileperms("{$this->folder}/backups") & 07777);
    }

    public function testIncrementalsAndDifferentialsHoldWhatChangedAndRestoreToTheirDay(): void
    {
        $manager = $this->manager();
        $states = [];
        $full = $this->backup($manager);
        $states[$full['id']] = [$this->checksums(), 2];

        $this->site->query("UPDATE wp_posts SET title = 'changed' WHERE id = 7");
        $this->site->query('DELETE FROM wp_slbp_transactions WHERE id > 490');
        file_put_contents("{$this->folder}/uploads/new.txt", 'new');
        $first = $this->backup($manager, 'incremental');
        $states[$first['id']] = [$this->checksums(), 3];

        unlink("{$this->folder}/uploads/new.txt");
        $this->site->query("INSERT INTO wp_posts VALUES (5000, 'later', '')");
        $second = $this->backup($manager, 'incremental');
        $states[$second['id']] = [$this->checksums(), 2];
        $differential = $this->backup($manager, 'differential');
        $states[$differential['id']] = [$this->checksums(), 2];

        self::assertSame([$full['id']], array_unique(array_column([$first, $second, $differential], 'base_id')));
        foreach ($states as $id => [$checksums, $files]) {
            $result = $manager->restore_backup((string) $id);
            self::assertTrue($result['success'], $result['message']);
            self::assertSame($checksums, $this->checksums(), (string) $id);
            self::assertCount($files, array_filter(
                iterator_to_array(new RecursiveIteratorIterator(new RecursiveDirectoryIterator("{$this->folder}/uploads"))),
                static fn (SplFileInfo $file) => $file->isFile()
            ), (string) $id);
        }
    }

    public function testAWreckedSiteComesBack(): void
    {
        $manager = $this->manager();
        $expected = $this->checksums();
        $id = $this->backup($manager)['id'];
        $this->site->query('DROP TABLE wp_posts');
        $this->site->query('TRUNCATE wp_slbp_transactions');
        $this->site->query('CREATE TABLE wp_of_the_attacker (id INT)');
        MariaDb::run(['rm', '-rf', "{$this->folder}/uploads"]);

        $plan = $manager->restore_backup($id, options: ['dry_run' => true]);
        self::assertSame('planned', $plan['status']);
        self::assertSame(['wp_posts'], $plan['restore_results']['database']['added_tables']);
        self::assertSame(['wp_of_the_attacker'], $plan['restore_results']['database']['removed_tables']);
        self::assertSame(0, $this->number('SELECT COUNT(*) FROM wp_slbp_transactions'), 'a dry run changes nothing');

        $result = $manager->restore_backup($id);

        self::assertTrue($result['success'], $result['message']);
        self::assertSame('completed', $result['status']);
        self::assertSame(2, $result['restore_results']['database']['tables']);
        self::assertSame(1500, $result['restore_results']['database']['rows']);
        self::assertSame(2, $result['restore_results']['files']['files']);
        self::assertSame($expected, $this->checksums());
        self::assertStringEqualsFile("{$this->folder}/uploads/2026/invoice.pdf", 'invoice');
        self::assertSame(0, $this->tables('wp_of_the_attacker'));
        self::assertSame(1, $this->tables('other_plugin'), 'what is not of the site stays');

        $safety = $manager->get_backup_info($result['safety_backup_id']);
        self::assertSame('safety', $safety['purpose']);
        $manager->restore_backup($safety['id'], ['database']);
        self::assertSame(1, $this->tables('wp_of_the_attacker'));
    }

    public function testOnlyWhatIsAskedForIsRestored(): void
    {
        $manager = $this->manager();
        $id = $this->backup($manager)['id'];
        $this->site->query("UPDATE wp_posts SET title = 'x'");
        $this->site->query('UPDATE wp_slbp_transactions SET amount = 0');
        unlink("{$this->folder}/uploads/logo.png");

        $result = $manager->restore_backup($id, ['database'], ['tables' => ['wp_slbp_*']]);

        self::assertSame(['database'], array_keys($result['restore_results']));
        self::assertSame(1000, $this->number("SELECT COUNT(*) FROM wp_posts WHERE title = 'x'"));
        self::assertSame(0, $this->number('SELECT COUNT(*) FROM wp_slbp_transactions WHERE amount = 0'));
        self::assertFileDoesNotExist("{$this->folder}/uploads/logo.png");
    }

    public function testAnotherDatabaseAndFolderLeaveTheSiteAlone(): void
    {
        $manager = $this->manager();
        $id = $this->backup($manager)['id'];
        $this->site->query("UPDATE wp_posts SET title = 'kept'");
        $other = self::$server->database("{$this->database}_copy");

        $result = $manager->restore_backup($id, options: [
            'target_database' => "{$this->database}_copy",
            'target_dir' => "{$this->folder}/copy",
        ]);

        self::assertTrue($result['success'], $result['message']);
        self::assertNull($result['safety_backup_id']);
        self::assertSame('Title 7', $other->query('SELECT title FROM wp_posts WHERE id = 7')->fetch_row()[0]);
        self::assertSame(1000, $this->number("SELECT COUNT(*) FROM wp_posts WHERE title = 'kept'"));
        self::assertStringEqualsFile("{$this->folder}/copy/uploads/logo.png", 'logo');
    }

    public function testADamagedBackupIsNoticedAndNotRestored(): void
    {
        $manager = $this->manager();
        $id = $this->backup($manager)['id'];
        self::assertTrue($manager->verify_backup($id)['success']);
        $file = glob("{$this->folder}/backups/$id/db/1*posts*.sql.gz")[0];
        $bytes = file_get_contents($file);
        $bytes[intdiv(strlen($bytes), 2)] = chr(ord($bytes[intdiv(strlen($bytes), 2)]) ^ 1);
        file_put_contents($file, $bytes);
        $this->site->query("UPDATE wp_posts SET title = 'as it was'");

        $check = $manager->verify_backup($id);
        self::assertFalse($check['success']);
        self::assertStringContainsString('posts', $check['errors'][0]);
        $result = $manager->restore_backup($id);
        self::assertFalse($result['success']);
        self::assertSame('failed', $result['status']);
        self::assertSame([], $result['restore_results']);
        self::assertSame(1000, $this->number("SELECT COUNT(*) FROM wp_posts WHERE title = 'as it was'"));
        self::assertSame(3, $this->tables());
    }

    public function testABaseIsNotDeletedWhileSomethingBuildsOnIt(): void
    {
        $manager = $this->manager();
        $base = $this->backup($manager)['id'];
        $this->site->query('DELETE FROM wp_posts WHERE id = 1');
        $tip = $this->backup($manager, 'incremental')['id'];

        $refused = $manager->delete_backup($base);
        self::assertFalse($refused['success']);
        self::assertStringContainsString($tip, $refused['message']);
        self::assertTrue($manager->delete_backup($tip)['success']);
        self::assertTrue($manager->delete_backup($base)['success']);
        self::assertSame([], $manager->list_backups());
        self::assertFalse($manager->delete_backup($base)['success']);
    }

    public function testRetentionKeepsTheNewest(): void
    {
        $manager = $this->manager(['retention_days' => 0]);
        for ($made = 0; $made < 5; $made++) {
            $ids[] = $this->backup($manager, 'full', ['config'])['id'];
        }
        // Their age is that of the manifest: the oldest two become a month old.
        foreach (array_slice($ids, 0, 2) as $old) {
            $manifest = "{$this->folder}/backups/$old/manifest.json";
            $document = json_decode(file_get_contents($manifest), true);
            $document['created_at'] -= 31 * 86400;
            file_put_contents($manifest, json_encode($document));
        }

        $result = $manager->cleanup_old_backups();

        self::assertTrue($result['success']);
        self::assertEqualsCanonicalizing(array_slice($ids, 0, 2), $result['deleted']);
        self::assertEqualsCanonicalizing(array_slice($ids, 2), array_column($manager->list_backups(), 'id'));
    }

    public function testTheDailyBackupIsMadeOnceAndIsTheStrongestThatIsDue(): void
    {
        $manager = $this->manager();
        $made = $manager->create_daily_backup();
        self::assertTrue($made['success'], $made['message']);
        self::assertSame('monthly', $made['backup_info']['purpose']);

        $again = $manager->create_daily_backup();
        self::assertSame('not_due', $again['status']);
        self::assertSame($made['backup_id'], $again['backup_id']);
        self::assertSame('not_due', $this->manager(['enabled' => false])->create_daily_backup()['status']);
    }

    public function testTheDisasterRecoveryTestLeavesNothingBehind(): void
    {
        $manager = $this->manager();
        $this->backup($manager);
        $before = $this->tables();

        $result = $manager->test_disaster_recovery();

        self::assertSame([
            'backup_creation', 'backup_compression', 'backup_extraction', 'database_verification',
            'files_verification', 'cleanup', 'overall_success', 'rto_seconds', 'rpo_seconds', 'details',
        ], array_keys($result));
        self::assertTrue($result['overall_success'], json_encode($result));
        self::assertGreaterThan(0, $result['rto_seconds']);
        self::assertSame(1500, $result['details']['rows']);
        self::assertSame($before, $this->tables());
        self::assertCount(1, $manager->list_backups());
    }

    public function testWorkInAProcessOfItsOwn(): void
    {
        $manager = $this->manager();
        $started = $manager->create_backup('full', ['database', 'files'], ['async' => true]);
        self::assertTrue($started['success'], $started['message']);
        self::assertSame('in_progress', $started['status']);
        $id = $started['backup_id'];
        self::assertContains($manager->get_progress($id)['status'], ['in_progress', 'completed']);
        self::assertSame('completed', $this->ended($manager, $id)['status'], json_encode($manager->get_progress($id)));
        self::assertSame('completed', $manager->get_backup_info($id)['status']);

        $this->site->query('DROP TABLE wp_posts');
        $restore = $manager->restore_backup($id, ['database'], ['async' => true]);
        self::assertSame('in_progress', $restore['status'], $restore['message']);
        $report = $this->ended($manager, $id);
        self::assertSame(['restore', 'completed'], [$report['work'], $report['status']]);
        self::assertSame('safety', $manager->get_backup_info($report['result']['safety'])['purpose']);
        self::assertSame(1000, $this->number('SELECT COUNT(*) FROM wp_posts'));
    }

    public function testAProcessThatCannotBeginSaysWhy(): void
    {
        $manager = $this->manager();
        $this->backup($manager, 'full', ['config']);
        $lock = fopen("{$this->folder}/backups/lock", 'r+');
        flock($lock, LOCK_EX);

        $result = $manager->create_backup('full', ['config'], ['async' => true]);

        self::assertFalse($result['success']);
        self::assertStringContainsString('locked', $result['message']);
    }

    /** No secret is in any process' arguments, environment, or in a file that stays. */
    public function testThePasswordStaysInThePipe(): void
    {
        $this->site->query("CREATE OR REPLACE USER backup@localhost IDENTIFIED BY 'hunter2-in-the-pipe'");
        $this->site->query('GRANT ALL ON *.* TO backup@localhost');
        $manager = $this->manager(['database' => [
            'socket' => self::$server->socket, 'user' => 'backup', 'password' => 'hunter2-in-the-pipe',
            'name' => $this->database, 'prefix' => 'wp_',
        ]]);
        $id = $manager->create_backup('full', ['database', 'config'], ['async' => true])['backup_id'];
        foreach (glob('/proc/[0-9]*/{cmdline,environ}', GLOB_BRACE) as $file) {
            if (!str_contains($file, '/' . getmypid() . '/')) {
                self::assertStringNotContainsString('hunter2-in-the-pipe', (string) @file_get_contents($file), $file);
            }
        }
        self::assertSame('completed', $this->ended($manager, $id)['status']);
        $grep = proc_open(['grep', '-rl', 'hunter2-in-the-pipe', "{$this->folder}/backups"], [1 => ['pipe', 'w']], $pipes);
        self::assertSame('', stream_get_contents($pipes[1]));
        proc_close($grep);
    }

    public function testAnEncryptedBackupOpensWithItsKeyAlone(): void
    {
        MariaDb::run(['age-keygen', '-o', "{$this->folder}/key.txt"]);
        MariaDb::run(['age-keygen', '-o', "{$this->folder}/other.txt"]);
        $manager = $this->manager(['encryption_key' => "{$this->folder}/key.txt"]);
        self::assertTrue($this->backup($manager)['encrypted']);
        $this->site->query('DELETE FROM wp_posts WHERE id > 900');
        $expected = $this->checksums();
        $id = $manager->create_backup('incremental', options: ['async' => true])['backup_id'];
        self::assertSame('completed', $this->ended($manager, $id)['status']);
        self::assertSame('incremental', $manager->get_backup_info($id)['type']);
        $check = $manager->verify_backup($id);
        self::assertTrue($check['success'] && $check['contents_checked'], $check['message']);

        $this->site->query("UPDATE wp_posts SET title = 'as it was'");
        $public = preg_match('/age1\w+/', file_get_contents("{$this->folder}/key.txt"), $found) ? $found[0] : '';
        $check = $this->manager(['encryption_key' => $public])->verify_backup($id);
        self::assertTrue($check['success'] && !$check['contents_checked'], $check['message']);
        self::assertStringContainsString('names no identity', $check['message']);
        foreach ([[], ['encryption_key' => "{$this->folder}/other.txt"]] as $config) {
            $result = $this->manager($config)->restore_backup($id);
            self::assertFalse($result['success']);
            self::assertStringContainsString($config ? 'none of the configured keys opens it' : 'names no identity', $result['message']);
            self::assertSame(900, $this->number("SELECT COUNT(*) FROM wp_posts WHERE title = 'as it was'"));
        }

        self::assertTrue($manager->restore_backup($id)['success']);
        self::assertSame($expected, $this->checksums());
        $grep = proc_open(['grep', '-rlE', 'AGE-SECRET-KEY-1[A-Z0-9]', "{$this->folder}/backups"], [1 => ['pipe', 'w']], $pipes);
        self::assertSame('', stream_get_contents($pipes[1]), 'the key went through the pipe');
        proc_close($grep);
    }

    /** @return array<string, mixed> The report of work that ended. */
    private function ended(SLBP_Backup_Manager $manager, string $id): array
    {
        for ($deadline = microtime(true) + 60; microtime(true) < $deadline; usleep(50_000)) {
            $report = $manager->get_progress($id);
            if ($report['status'] !== 'in_progress') {
                return $report;
            }
        }
        self::fail('the work did not end: ' . json_encode($report));
    }

    public function testExportsOneFileThatRestoresByHand(): void
    {
        $manager = $this->manager();
        $this->backup($manager);
        $this->site->query('DELETE FROM wp_posts WHERE id > 900');
        $tip = $this->backup($manager, 'incremental')['id'];
        $expected = $this->checksums();
        $tar = "{$this->folder}/export.tar";
        self::assertTrue($manager->export_backup($tip, $tar));
        self::assertSame(0600, fileperms($tar) & 07777);

        mkdir("{$this->folder}/elsewhere");
        MariaDb::run(['tar', '-xf', $tar, '-C', "{$this->folder}/elsewhere"]);
        self::$server->database($this->database);
        $this->site->select_db($this->database);
        MariaDb::run([
            'sh', "{$this->folder}/elsewhere/$tip/restore.sh", '--database', $this->database,
            '--socket', self::$server->socket, '--user', 'root', '--files', "{$this->folder}/elsewhere/site",
        ]);
        self::assertSame($expected, $this->checksums());
        self::assertStringEqualsFile("{$this->folder}/elsewhere/site/uploads/logo.png", 'logo');
        self::assertFalse(@$manager->export_backup('nothing', "{$this->folder}/nothing.tar"));
    }

    public function testCopiesAreMadeListedFetchedAndRestoredFromWhereTheyAre(): void
    {
        $copies = "{$this->folder}/copies";
        $remote = ['remote' => ['type' => 'path', 'path' => $copies]];
        $manager = $this->manager($remote);
        $result = $manager->create_backup();
        self::assertTrue($result['success']);
        self::assertSame('completed', $result['status']);
        self::assertStringContainsString('not copied yet', $result['message']);
        self::assertSame([$copies], $result['backup_info']['awaiting']);

        mkdir($copies);
        $told = $manager->copy_backups();
        $id = $result['backup_id'];
        self::assertTrue($told['success'], $told['message']);
        self::assertSame([['name' => $copies, 'copied' => [$id], 'error' => null]], $told['stores']);
        $info = $manager->get_backup_info($id);
        self::assertSame([['local', $copies], []], [$info['locations'], $info['awaiting']]);

        // Another host: no backups of its own, the same database for the sake of the test.
        $expected = $this->checksums();
        $this->site->query('DELETE FROM wp_posts');
        $other = $this->manager($remote + ['backup_dir' => "{$this->folder}/other"]);
        self::assertTrue($other->copy_backups()['success']);
        self::assertSame([$copies], $other->get_backup_info($id)['locations']);
        self::assertStringContainsString('fetch it first', $other->restore_backup($id, options: ['dry_run' => true])['message']);
        $restored = $other->restore_backup($id);
        self::assertTrue($restored['success'], $restored['message']);
        self::assertSame($expected, $this->checksums());
        self::assertStringContainsString('is here already', $other->fetch_backup($id)['message']);
        self::assertFalse($other->fetch_backup('nothing')['success']);

        $deleted = $manager->delete_backup($id);
        self::assertSame([true, []], [$deleted['success'], $deleted['warnings']]);
        self::assertSame([], glob("$copies/*"));
        self::assertSame([], $manager->list_backups());
    }

    public function testSecretsOfCopiesAreInNoBackupAndNoMessage(): void
    {
        $keys = ['access_key' => 'AKIDsecret', 'secret_key' => 'hunter2'];
        $s3 = $keys + ['type' => 's3', 'bucket' => 'acme', 'endpoint' => 'http://127.0.0.1:1'];
        $manager = $this->manager(['remote' => [$s3]]);
        $result = $manager->create_backup('full', ['config']);
        self::assertSame('completed', $result['status']);
        self::assertStringContainsString('s3://acme@127.0.0.1:1', $result['message']);
        $all = json_encode([$result, $manager->list_backups(), $manager->get_progress()]);
        $paths = array_filter(glob("{$this->folder}/backups/{*,*/*,*/*/*}", GLOB_BRACE), 'is_file');
        $files = implode('', array_map('file_get_contents', $paths));
        self::assertStringNotContainsString('hunter2', $all . $files);
        self::assertStringNotContainsString('AKIDsecret', $all . $files);
    }

    public function testFilters(): void
    {
        $manager = $this->manager();
        $full = $this->backup($manager, 'full', ['config']);
        $next = $this->backup($manager, 'full', ['database']);
        $tip = $this->backup($manager, 'incremental', ['database']);

        $ids = static fn (array $filters) => array_column($manager->list_backups($filters), 'id');
        self::assertEqualsCanonicalizing([$full['id'], $next['id']], $ids(['type' => 'full']));
        self::assertSame([$tip['id']], $ids(['type' => 'incremental']));
        self::assertSame([$full['id']], $ids(['component' => 'config']));
        self::assertCount(2, $ids(['limit' => 2]));
        self::assertSame([], $ids(['status' => 'failed']));
        $this->expectException(SLBP_InvalidArgumentException::class);
        $manager->list_backups(['typo' => 1]);
    }

    public function testADatabaseThatDoesNotAnswerIsAFailureNotAnException(): void
    {
        $manager = $this->manager(['database' => ['socket' => '/nowhere/mysqld.sock', 'name' => 'x']]);
        $result = $manager->create_backup();
        self::assertFalse($result['success']);
        self::assertSame('failed', $result['status']);
        self::assertNull($result['backup_id']);
        self::assertStringContainsString('connecting to the database', $result['message']);
        self::assertSame('failed', $manager->list_backups()[0]['status']);
        self::assertStringContainsString('connecting', $manager->list_backups()[0]['error']);
    }

    public function testABackupWithoutTheComponentIsNotRestored(): void
    {
        $manager = $this->manager();
        $id = $this->backup($manager, 'full', ['config'])['id'];
        $result = $manager->restore_backup($id, ['files']);
        self::assertFalse($result['success']);
        self::assertStringContainsString('has no files', $result['message']);
    }

    /** @return array<string, array{callable(SLBP_Backup_Manager): mixed, string}> */
    public static function misuse(): array
    {
        return [
            'type' => [static fn ($manager) => $manager->create_backup('fool'), "'incremental'"],
            'component' => [static fn ($manager) => $manager->create_backup('full', ['databases']), "'databases'"],
            'no component' => [static fn ($manager) => $manager->create_backup('full', []), 'components'],
            'option' => [static fn ($manager) => $manager->create_backup(options: ['asinc' => true]), "did you mean 'async'"],
            'tables' => [static fn ($manager) => $manager->create_backup(options: ['tables' => 'some']), "'site'"],
            'id' => [static fn ($manager) => $manager->restore_backup('../../etc'), 'backup_id'],
            'relative target' => [static fn ($manager) => $manager->restore_backup('x', options: ['target_dir' => 'a']), 'absolute'],
            'verify' => [static fn ($manager) => $manager->verify_backup('/etc/passwd'), 'backup_id'],
            'delete' => [static fn ($manager) => $manager->delete_backup('a/../b'), 'backup_id'],
            'key' => [static fn () => new SLBP_Backup_Manager(['retention_day' => 1]), "did you mean 'retention_days'"],
            'value' => [static fn () => new SLBP_Backup_Manager(['retention_days' => 'many']), 'retention_days'],
            'folder' => [static fn () => new SLBP_Backup_Manager(['backup_dir' => 'backups']), 'absolute path'],
            'encryption' => [
                static fn () => new SLBP_Backup_Manager(['encryption_key' => 'secret']),
                "encryption_key: key 1: expected 'age1…'",
            ],
            'no key' => [
                static fn () => new SLBP_Backup_Manager(['encryption_key' => '/nowhere/key.txt']),
                'encryption_key: cannot read the file',
            ],
            'copies in the backups' => [
                static fn () => new SLBP_Backup_Manager(['backup_dir' => '/srv/b', 'remote' => ['type' => 'path', 'path' => '/srv/b/c']]),
                'apart from /srv/b',
            ],
            'bucket without keys' => [
                static fn () => new SLBP_Backup_Manager(['remote' => [['type' => 's3', 'bucket' => 'acme']]]),
                'secret_key',
            ],
        ];
    }

    /** @dataProvider misuse */
    public function testMisuseThrowsAndSaysWhatWasExpected(callable $call, string $expected): void
    {
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessage($expected);
        $call($this->manager());
    }

    public function testNothingSaysWhereBackupsGo(): void
    {
        $this->expectException(SLBP_Config_Exception::class);
        (new SLBP_Backup_Manager())->create_backup();
    }
}
