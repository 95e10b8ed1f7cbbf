<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

require_once __DIR__ . '/support/MariaDb.php';

/**
 * Index advice on a real MariaDB with the billing plugin's tables.
 */
final class QueryAdviceTest extends TestCase
{
    private static MariaDb $server;
    private mysqli $db;

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
        // Other tests of this process have asked tables of the same names.
        $this->optimizer()->clear_query_stats();
        $this->db = self::$server->database('advised');
        $this->db->query(
            'CREATE TABLE wp_slbp_transactions (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL,
            order_id VARCHAR(100), amount DECIMAL(10,2), status VARCHAR(20), metadata LONGTEXT, created_at DATETIME,
            KEY user_id (user_id), KEY order_id (order_id), KEY status (status))'
        );
        $this->db->query(
            'CREATE TABLE wp_slbp_subscriptions (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED,
            status VARCHAR(20), expires_at DATETIME, KEY user_id (user_id), KEY status (status), KEY expires_at (expires_at))'
        );
    }

    private function fill(int $rows): void
    {
        $this->db->query(
            "INSERT INTO wp_slbp_transactions (user_id, order_id, status, created_at) SELECT seq % 97, CONCAT('o', seq),
            ELT(1 + seq % 10, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'completed', 'pending', 'failed'),
            NOW() - INTERVAL seq MINUTE FROM seq_1_to_$rows"
        );
        $this->db->query('ANALYZE TABLE wp_slbp_transactions')->free();
    }

    private function optimizer(array $config = []): SLBP_Performance_Optimizer
    {
        $database = ['socket' => self::$server->socket, 'user' => 'root', 'name' => 'advised', 'prefix' => 'wp_'];
        return new SLBP_Performance_Optimizer(['database' => $database + $config]);
    }

    public function testTheDocumentedIndexesAreRecommendedUntilTheyExist(): void
    {
        $cases = [
            ['slbp_transactions', ['user_id' => 1, 'status' => 'completed'], 'idx_transactions_user_status'],
            ['slbp_subscriptions', ['expires_at' => '2025-01-01', 'status' => 'active'], 'idx_subscriptions_expires_status'],
        ];
        foreach ($cases as [$table, $params, $name]) {
            $columns = array_keys($params);
            $advice = $this->optimizer()->optimize_database_queries($table, $params);
            $this->assertCount(1, $advice['missing_indexes'], json_encode($advice));
            [$missing] = $advice['missing_indexes'];
            $this->assertSame([$columns, $name, false], [$missing['columns'], $missing['name'], $missing['verified']]);
            $this->db->query($missing['ddl']);
            $this->assertSame([], $this->optimizer()->optimize_database_queries($table, $params)['missing_indexes']);
            $this->db->query($missing['rollback_ddl']);
            $this->assertCount(1, $this->optimizer()->optimize_database_queries($table, $params)['missing_indexes']);
        }
    }

    public function testAnIndexIsProvenOnASampleAndTheTableIsLeftAlone(): void
    {
        $this->fill(30_000);
        $before = $this->db->query('SHOW CREATE TABLE wp_slbp_transactions')->fetch_row()[1];
        // A starved machine may need longer for the sample than a statement is given.
        $deadline = microtime(true) + 90;
        do {
            $advice = $this->optimizer()->optimize_database_queries('slbp_transactions', ['user_id' => 1, 'status' => 'completed']);
            [$missing] = $advice['missing_indexes'];
        } while (!$missing['verified'] && microtime(true) < $deadline);
        $this->assertTrue($missing['verified']);
        ['rows_read_before' => $read, 'rows_read_after' => $then, 'sample_rows' => $sample] = $missing['evidence'];
        $this->assertGreaterThan(3 * $then, $read);
        $this->assertGreaterThan(10_000, $sample);
        $this->assertSame('the new index', $missing['evidence']['key_after']);
        $this->assertSame($before, $this->db->query('SHOW CREATE TABLE wp_slbp_transactions')->fetch_row()[1]);
        $this->assertSame([['wp_slbp_subscriptions'], ['wp_slbp_transactions']], $this->db->query('SHOW TABLES')->fetch_all());
    }

    public function testAnIndexThatDoesNotPayIsNotRecommended(): void
    {
        $this->fill(30_000);
        $this->db->query("UPDATE wp_slbp_transactions SET status = 'completed'");
        $this->db->query('ALTER TABLE wp_slbp_transactions DROP INDEX status');
        $deadline = microtime(true) + 90;
        do {
            $missing = $this->optimizer()->optimize_database_queries('slbp_transactions', ['status' => 'completed'])['missing_indexes'];
        } while (!($missing[0]['verified'] ?? true) && microtime(true) < $deadline);
        $this->assertSame([], $missing);
    }

    public function testQueriesThatWereSeenLeadToRecommendations(): void
    {
        $this->fill(5_000);
        for ($i = 0; $i < 3; $i++) {
            $this->db->query("SELECT * FROM wp_slbp_transactions WHERE status = 'failed' AND user_id = $i ORDER BY created_at DESC");
        }
        $all = $this->optimizer()->recommend_indexes(['table' => 'slbp_transactions']);
        $this->assertContains(['user_id', 'status', 'created_at'], array_column($all, 'columns'), json_encode($all));
        $found = array_column($all, null, 'name')['idx_transactions_user_status_created'];
        $this->assertStringContainsString('WHERE status = ? AND user_id = ?', $found['queries'][0]);
        $this->assertStringNotContainsString('failed', json_encode($all));
        $this->assertSame([], $this->optimizer()->recommend_indexes(['table' => 'slbp_licenses']));
    }

    public function testRedundantIndexesAreNamedWithTheWayBack(): void
    {
        $this->db->query('ALTER TABLE wp_slbp_transactions ADD KEY both_columns (user_id, status)');
        $advice = $this->optimizer()->optimize_database_queries('slbp_transactions');
        [$redundant] = $advice['redundant_indexes'];
        $this->assertSame(['user_id', 'both_columns'], [$redundant['name'], $redundant['covered_by']]);
        $this->assertNull($advice['unused_indexes'], 'performance_schema is off, so nobody knows');
        $this->assertFalse($advice['fragmentation']['is_fragmented']);
    }

    public function testHostileNamesAndParametersDoNoHarm(): void
    {
        $this->fill(2_000);
        $unknown = $this->optimizer()->optimize_database_queries("x'; DROP TABLE wp_slbp_transactions; --");
        $this->assertStringContainsString('does not exist', $unknown['error']);
        $this->db->query(
            'CREATE TABLE `wp_a``b` (id INT PRIMARY KEY, `c``d` VARCHAR(20))
            AS SELECT seq AS id, CONCAT("\'\\\\", seq) AS `c``d` FROM seq_1_to_3000'
        );
        $advice = $this->optimizer()->optimize_database_queries('a`b', ['c`d' => "' OR 1=1 --", 'limit' => 5, 'order_by' => 'nothing']);
        $this->assertSame(['c`d'], $advice['missing_indexes'][0]['columns']);
        $this->db->query($advice['missing_indexes'][0]['ddl']);
        $this->assertSame('2000', $this->db->query('SELECT COUNT(*) FROM wp_slbp_transactions')->fetch_row()[0]);
    }

    public function testADatabaseThatDoesNotAnswerIsAnErrorAndNoException(): void
    {
        ini_set('error_log', '/dev/null');
        $gone = new SLBP_Performance_Optimizer(['database' => ['socket' => '/nonexistent/sock', 'user' => 'root', 'name' => 'x']]);
        $this->assertStringContainsString('did not answer', $gone->optimize_database_queries('slbp_transactions')['error']);
        $this->assertSame([], $gone->recommend_indexes(['table' => 'none']));
    }
}
