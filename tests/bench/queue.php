<?php

/**
 * SLBP_Background_Processor against the queue of the existing plugin, both on one MariaDB that is durable at commit.
 *
 *   php -d extension=slbp.so tests/bench/queue.php <socket of an empty MariaDB, user root>
 *
 * The peer is that plugin's algorithm, plainly written down: one INSERT a task; a SELECT of ten by priority and date over
 * single-column indexes; an UPDATE before and one after each task. It does not do what ours does (two of its workers run
 * most tasks twice), but it is what a site would keep.
 */

declare(strict_types=1);

require __DIR__ . '/measure.php';

use function Slbp\Bench\best;
use function Slbp\Bench\row;

const CROWD = 100_000;

final class Plain_Queue
{
    public function __construct(private readonly mysqli $db)
    {
        $db->query('CREATE TABLE plain (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, task_type varchar(50) NOT NULL,
            task_data longtext NOT NULL, priority int NOT NULL DEFAULT 10, status varchar(20) NOT NULL DEFAULT "pending",
            retry_count int NOT NULL DEFAULT 0, scheduled_at datetime NOT NULL, started_at datetime NULL,
            completed_at datetime NULL, error_message text NULL, created_at datetime NOT NULL DEFAULT CURRENT_TIMESTAMP,
            KEY task_type (task_type), KEY status (status), KEY priority (priority), KEY scheduled_at (scheduled_at))');
    }

    public function queue_task(array $data): void
    {
        $json = $this->db->real_escape_string(json_encode($data));
        $this->db->query("INSERT INTO plain (task_type, task_data, scheduled_at) VALUES ('no_op', '$json', UTC_TIMESTAMP())");
    }

    public function process_tasks(): int
    {
        $tasks = $this->db->query('SELECT * FROM plain WHERE status = "pending" AND scheduled_at <= UTC_TIMESTAMP()
            ORDER BY priority, scheduled_at LIMIT 10')->fetch_all(MYSQLI_ASSOC);
        foreach ($tasks as ['id' => $id, 'task_data' => $data]) {
            $this->db->query("UPDATE plain SET status = 'processing', started_at = UTC_TIMESTAMP() WHERE id = $id");
            json_decode($data, true);
            $this->db->query("UPDATE plain SET status = 'completed', completed_at = UTC_TIMESTAMP() WHERE id = $id");
        }
        return count($tasks);
    }
}

function ours(string $socket): SLBP_Background_Processor
{
    $queue = new SLBP_Background_Processor(['database' => ['socket' => $socket, 'user' => 'root', 'name' => 'bench']]);
    $queue->register_handler('no_op', static fn(): bool => true);
    return $queue;
}

/** Queued and run, one task after the other is not ours to promise: all are queued, then all are run. */
function against_the_plain_queue(SLBP_Background_Processor $ours, Plain_Queue $plain): void
{
    $data = ['subscription_id' => 12345, 'amount' => '19.90', 'currency' => 'EUR'];
    $times = best([
        'ours' => static function (int $n) use ($ours, $data): void {
            $ours->queue_tasks(array_fill(0, $n, ['task_type' => 'no_op', 'task_data' => $data]));
            $ours->work(['stop_when_empty' => true]);
        },
        'plain' => static function (int $n) use ($plain, $data): void {
            for ($i = 0; $i < $n; $i++) {
                $plain->queue_task($data);
            }
            while ($plain->process_tasks() > 0) {
                continue;
            }
        },
    ], 1000, 3);
    row('queue: a task queued and run, durable', $times['ours'], "the existing plugin's algorithm", $times['plain'], 0.2);
}

/** Ten tasks of a hundred thousand, while as many wait for the year 2100. */
function among_a_crowd(SLBP_Background_Processor $ours, Plain_Queue $plain, mysqli $db): void
{
    foreach (['1970-01-02 00:00:00', '2100-01-01 00:00:00'] as $date) {
        for ($left = CROWD; $left > 0; $left -= 5000) {
            $ours->queue_tasks(array_fill(0, 5000, ['task_type' => 'no_op', 'scheduled_at' => $date]));
        }
        $db->query("INSERT INTO plain (task_type, task_data, scheduled_at) SELECT 'no_op', '[]', '$date' FROM seq_1_to_" . CROWD);
    }
    $times = best([
        'ours' => static function (int $n) use ($ours): void {
            while ($n-- > 0) {
                $ours->process_tasks();
            }
        },
        'plain' => static function (int $n) use ($plain): void {
            while ($n-- > 0) {
                $plain->process_tasks();
            }
        },
    ], 5, 5);
    row('queue: ten tasks among 200,000', $times['ours'], "the existing plugin's algorithm", $times['plain'], 0.1);
}

if (!isset($argv[1])) {
    fwrite(STDERR, "no MariaDB socket given: not measured\n");
    exit(1);
}
$db = new mysqli('localhost', 'root', '', '', 0, $argv[1]);
$db->query('CREATE OR REPLACE DATABASE bench CHARACTER SET utf8mb4');
$db->select_db('bench');
$ours = ours($argv[1]);
$plain = new Plain_Queue($db);
against_the_plain_queue($ours, $plain);
among_a_crowd($ours, $plain, $db);
