"""The site of the queue's tests: its tables, its queue, its workers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.support import process
from tests.support.stack import ROOT, Stack

SLBP = ROOT / "php" / "bin" / "slbp"
WP_CLI = Path(__file__).parents[1] / "wp_cli_double.php"

TABLES = """
CREATE TABLE IF NOT EXISTS wp_slbp_subscriptions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, subscription_id varchar(100),
  payment_gateway varchar(50), plan_id varchar(50), status varchar(20), amount decimal(10,2), currency varchar(3), billing_cycle varchar(20),
  next_billing_date datetime NULL, expires_at datetime NULL, created_at datetime DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS wp_slbp_transactions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, order_id varchar(100),
  amount decimal(10,2), currency varchar(3), status varchar(20), created_at datetime DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS wp_slbp_notifications (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, type varchar(50),
  title varchar(255), message text, data longtext, created_at datetime DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS wp_slbp_api_logs (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, created_at datetime);
CREATE TABLE IF NOT EXISTS gateway (idempotency_key varchar(191) PRIMARY KEY, subscription bigint, asked int);
CREATE TABLE IF NOT EXISTS gateway_gate (most int);
"""

TASKS = "wp_slbp_background_tasks"


class BillingSite:
    def __init__(self, stack: Stack):
        self.stack = stack
        self.workers: list[subprocess.Popen] = []
        self.sql(TABLES)
        self.php("slbp_background_processor()->get_queue_stats();")

    def sql(self, statements: str) -> str:
        return self.stack.mariadb.sql(statements, "wordpress")

    def number(self, query: str) -> int:
        return int(self.sql(query).strip() or 0)

    def php(self, code: str) -> str:
        return self.stack.php(code)

    def empty(self) -> None:
        tables = self.sql(f"SHOW TABLES LIKE '{TASKS}%'").split()
        logs = ("gateway", "wp_slbp_subscriptions", "wp_slbp_transactions", "wp_slbp_notifications", "wp_slbp_api_logs")
        self.sql("".join(f"DELETE FROM {table};" for table in (*logs, TASKS)))
        self.sql("".join(f"DELETE FROM {table} WHERE name NOT IN ('schema', 'origin');" for table in tables if table.endswith("_counters")))
        self.sql("".join(f"DELETE FROM {table};" for table in tables if table.endswith("_ledger")))
        self.sql("DELETE FROM wp_options WHERE option_name LIKE 'slbp\\_%' OR option_name IN ('greeted', 'customized')")

    def subscribe(self, count: int) -> None:
        self.sql(
            "INSERT INTO wp_slbp_subscriptions (user_id, subscription_id, status, amount, currency, next_billing_date)"
            f" SELECT seq, CONCAT('sub_', seq), 'active', 19.90, 'EUR', UTC_TIMESTAMP() - INTERVAL 1 HOUR FROM seq_1_to_{count}"
        )

    def let_through(self, most: int) -> None:
        """The gateway answers until it has charged so many; further charges hang until they may."""
        self.sql(f"DELETE FROM gateway_gate; INSERT INTO gateway_gate VALUES ({most})")

    def queue(self, task_type: str, data: object = (), more: str = "") -> int:
        """Queues a task from inside WordPress; answers its id."""
        literal = json.dumps(json.dumps(data)).replace("$", "\\$")
        return int(self.php(f"echo slbp_background_processor()->queue_task('{task_type}', json_decode({literal}, true){more});"))

    def task(self, number: int) -> dict:
        return json.loads(self.php(f"echo json_encode(slbp_background_processor()->get_task({number}));"))

    def work(self) -> None:
        """Works until there is nothing to do."""
        self.cli(SLBP, "work", f"--wordpress={self.stack.wordpress.root}", "--stop-when-empty")

    def cli(self, *arguments: object) -> str:
        return self.stack.configuration.run(self.stack.account, *arguments).stdout

    def wp(self, *arguments: str) -> str:
        """`wp slbp queue ...`, through the stand-in for WP-CLI."""
        return self.cli(WP_CLI, self.stack.wordpress.root, "queue", *arguments)

    def hire(self, *options: str) -> subprocess.Popen:
        """A worker process that goes on until it is told to stop."""
        configuration = self.stack.configuration
        worker = subprocess.Popen(
            configuration.cli(SLBP, "work", f"--wordpress={self.stack.wordpress.root}", *options),
            env={**os.environ, **configuration.env("cli")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=process._die_with_parent,
            **self.stack.account.switch(),
        )
        self.workers.append(worker)
        return worker

    def dismiss_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers.clear()
