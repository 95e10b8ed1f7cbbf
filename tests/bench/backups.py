"""Backup and restore of a database beside the tools a site would use, in one run.

SLBP_BENCH_MB is the size of the data (default 300): half of it small rows as billing has them, a third post meta, the
rest long posts. The tools take turns over the same warm data and disk, and the best round of each counts. Besides the
time it measures what the processors spend, in the tool and in MariaDB together, because a neighbour on the machine takes
time and hardly changes the second. What was restored is compared by CHECKSUM TABLE: a fast tool that loses a row is not fast. (The tables have no FLOAT column, which
mariadb-dump and mydumper do not keep exactly.)
"""

import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

from tests.support import account, mariadb

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests/bench/backup.php"
ROUNDS = 2
MEGABYTES = int(os.environ.get("SLBP_BENCH_MB", "300"))
TABLES = ("wp_slbp_transactions", "wp_postmeta", "wp_posts")

# A server that is not the bottleneck: all data in memory, no waiting for the disk.
SERVER = ("--skip-networking", "--skip-name-resolve", "--innodb-buffer-pool-size=2G", "--innodb-log-file-size=512M",
          "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2", "--max-allowed-packet=64M")

SCHEMA = """
CREATE TABLE wp_slbp_transactions (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED, order_id VARCHAR(64), transaction_id VARCHAR(64),
  payment_gateway VARCHAR(20), amount DECIMAL(10,2), currency CHAR(3), status VARCHAR(20), course_id BIGINT,
  metadata TEXT, created_at DATETIME, updated_at DATETIME, KEY (user_id), KEY (order_id), KEY (status)) ENGINE=InnoDB;
CREATE TABLE wp_postmeta (
  meta_id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, post_id BIGINT UNSIGNED, meta_key VARCHAR(255), meta_value LONGTEXT,
  KEY post_id (post_id), KEY meta_key (meta_key(191))) ENGINE=InnoDB;
CREATE TABLE wp_posts (
  ID BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, post_author BIGINT UNSIGNED, post_date DATETIME, post_content LONGTEXT,
  post_title TEXT, post_name VARCHAR(200), guid VARCHAR(255), KEY post_name (post_name(191))) ENGINE=InnoDB;
"""

# (rows that make about a megabyte, share of the data, what they are made of)
ROWS = (
    (3000, 0.50, """INSERT INTO wp_slbp_transactions SELECT NULL, seq % 50021, CONCAT('ORD-', 100000 + seq), CONCAT('ch_', MD5(seq)),
      ELT(1 + seq % 3, 'stripe', 'paypal', 'lemonsqueezy'), (seq * 37 % 100000) / 100, 'EUR',
      ELT(1 + seq % 4, 'completed', 'completed', 'pending', 'refunded'), seq % 311,
      CONCAT('{"invoice":"', MD5(seq + 1), '","ip":"10.', seq % 256, '.', seq % 251, '.7","note":"Renewal of subscription number ',
        seq % 9973, '","items":[{"sku":"COURSE-', seq % 311, '","qty":1}]}'),
      '2024-01-01' + INTERVAL seq MINUTE, '2024-01-01' + INTERVAL seq * 2 MINUTE FROM seq_1_to_{rows}"""),
    (9000, 0.33, """INSERT INTO wp_postmeta SELECT NULL, seq % 40009,
      ELT(1 + seq % 5, '_edit_lock', '_thumbnail_id', '_slbp_price', '_wp_attached_file', '_slbp_access'),
      IF(seq % 3 = 0, CONCAT('a:2:{s:5:"price";s:5:"', seq % 99999, '";s:4:"plan";s:7:"monthly";}'),
        CONCAT('2024/', seq % 12, '/file-', MD5(seq), '.jpg')) FROM seq_1_to_{rows}"""),
    (160, 0.17, """INSERT INTO wp_posts SELECT NULL, seq % 97, '2023-05-01' + INTERVAL seq HOUR,
      REPEAT(CONCAT('<p>Lesson ', seq, ' explains how ', MD5(seq), ' the student can practise. Chapter ', seq % 89, '</p>\\n'), 70),
      CONCAT('Lesson ', seq), CONCAT('lesson-', seq), CONCAT('https://example.com/?p=', seq) FROM seq_1_to_{rows}"""),
)


def measure(extension, folder):
    """Rows of the table: what was measured, ours, the peer, its name, the goal for ours / peer, the unit."""
    server = mariadb.MariaDB(folder / "bench-mariadb", folder / "bench.sock", folder / "bench-mariadb.log", account.current(), SERVER)
    server.start()
    try:
        server.sql("CREATE DATABASE site")
        server.sql(SCHEMA, "site")
        for rows, share, insert in ROWS:
            server.sql(insert.replace("{rows}", str(int(rows * MEGABYTES * share))), "site")
        server.sql("ANALYZE TABLE " + ", ".join(TABLES), "site")
        bench = Bench(server, extension, folder)
        return [*bench.dumps(), *bench.incremental(), *bench.restores(), bench.peak()]
    finally:
        server.stop()


class Bench:
    def __init__(self, server, extension, folder):
        self.server, self.extension, self.folder = server, extension, folder
        self.store = folder / "bench-backups"
        self.gzip, self.mydumper = folder / "dump.sql.gz", folder / "mydumper"
        self.client = f"--no-defaults --socket={server.socket} --user=root"
        self.memory = 0

    def timed(self, best, name, work):
        """Runs `work`; keeps the least (seconds, seconds of processor) of all rounds under `name`."""
        began, spent = time.monotonic(), self.processor_time()
        result = work()
        taken = (time.monotonic() - began, self.processor_time() - spent)
        best[name] = tuple(map(min, taken, best.get(name, taken)))
        return result

    def processor_time(self):
        tools = resource.getrusage(resource.RUSAGE_CHILDREN)
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return tools.ru_utime + tools.ru_stime + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ours(self, *work):
        command = ["php", "-d", f"extension={self.extension}", str(SCRIPT), str(self.store), str(self.server.socket), "site", *work]
        told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        self.memory = max(self.memory, told["memory"])
        return told

    def dumps(self):
        best = {}
        for _ in range(ROUNDS):
            self.timed(best, "gzip", lambda: shell(f"mariadb-dump {self.client} --single-transaction site | gzip -6 > {self.gzip}"))
            shutil.rmtree(self.mydumper, ignore_errors=True)
            self.timed(best, "mydumper", lambda: shell(f"mydumper --socket={self.server.socket} -u root -B site -t 2 -c -o {self.mydumper}"))
            self.full = self.timed(best, "ours", lambda: self.ours("create", "full"))
        self.full_cost, self.full_size = best["ours"], size(self.store / self.full["id"])
        return [
            *times("full dump", best["ours"], best["gzip"], "mariadb-dump \\| gzip -6", 0.5),
            *times("full dump", best["ours"], best["mydumper"], "mydumper -t 2 -c", 0.8),
            ("size of the dump", self.full_size / 1e6, size(self.gzip) / 1e6, "mariadb-dump \\| gzip -6", 1.05, "MB"),
        ]

    def incremental(self):
        rows = []
        last = int(self.server.sql("SELECT MAX(id) FROM wp_slbp_transactions", "site"))
        for where, change in (("clustered", f"id > {last - last // 50}"), ("scattered", "id % 50 = 7")):
            self.server.sql(f"UPDATE wp_slbp_transactions SET status = '{where}' WHERE {change}", "site")
            cost = {}
            made = self.timed(cost, "ours", lambda: self.ours("create", "incremental"))
            name, goals = f"incremental, 1 % changed, {where}", (0.45, 0.05) if where == "clustered" else (1, 1)
            rows += times(name, cost["ours"], self.full_cost, "our full", goals[0])
            rows.append((f"{name}: size", size(self.store / made["id"]) / 1e6, self.full_size / 1e6, "our full", goals[1], "MB"))
        return rows

    def restores(self):
        self.full = self.ours("create", "full")
        expected = self.checksums("site")
        shell(f"mariadb-dump {self.client} --single-transaction site | gzip -6 > {self.gzip}")
        shutil.rmtree(self.mydumper, ignore_errors=True)
        shell(f"mydumper --socket={self.server.socket} -u root -B site -t 2 -c -o {self.mydumper}")
        best = {}
        for _ in range(ROUNDS):
            for name, work in (
                ("zcat", lambda: shell(f"zcat {self.gzip} | mariadb {self.client} copy")),
                ("myloader", lambda: shell(f"myloader --socket={self.server.socket} -u root -B copy -t 2 -d {self.mydumper}")),
                ("ours", lambda: self.ours("restore", self.full["id"], "copy")),
            ):
                self.server.sql("CREATE OR REPLACE DATABASE copy")
                self.timed(best, name, work)
                assert self.checksums("copy") == expected, f"{name} did not restore what was there"
        return [
            *times("restore", best["ours"], best["zcat"], "zcat \\| mariadb", 0.71),
            *times("restore", best["ours"], best["myloader"], "myloader -t 2", 1),
        ]

    def peak(self):
        return ("peak memory of the process", self.memory / 2**20, 64, "goal", 1, "MiB")

    def checksums(self, database):
        names = ", ".join(TABLES)
        return [line.split("\t")[1] for line in self.server.sql(f"CHECKSUM TABLE {names}", database).splitlines()]


def times(what, ours, peer, name, goal):
    """The rows of what took time and of what it cost."""
    return [(what, ours[0], peer[0], name, goal, "s"), (f"{what}: processor", ours[1], peer[1], name, goal, "s")]


def shell(command):
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def size(path):
    return path.stat().st_size if path.is_file() else sum(size(entry) for entry in path.iterdir())


def table(rows):
    lines = [f"| a database of {MEGABYTES} MB | slbp | peer | ratio | asked for |", "|---|---|---|---|---|"]
    for what, ours, peer, name, goal, unit in rows:
        lines.append(f"| {what} | {ours:,.1f} {unit} | {name}: {peer:,.1f} {unit} | **{ours / peer:.2f}** | <= {goal:g} |")
    return "\n".join(lines)
