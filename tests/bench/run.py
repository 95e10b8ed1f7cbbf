"""Runs every benchmark against its peers in one run and writes the ratios into README.md.

    python3 -m tests.bench.run path/to/libslbp.so

Each script under tests/bench prints one JSON object a line (see measure.php). The table in the README stands between two
marker comments and is replaced whole; a row that misses its goal is written as it is.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from tests.bench import backups, coherent, loading, pages, probes, sessions
from tests.support import account, mariadb, memcached, ports, redis, wordpress_release

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

# The tests' server does not wait for the disk; a queue is measured on one that does.
DURABLE = ("--skip-networking", "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=512M", "--skip-name-resolve")


def measure(extension, script, *arguments):
    command = ["php", "-d", f"extension={extension}", "-d", "apc.enable_cli=1", "-d", "apc.shm_size=64M",
               str(ROOT / "tests/bench" / script), *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout
    return [json.loads(line) for line in output.splitlines()]


def table(rows):
    lines = ["| what | slbp | peer | ratio | asked for |", "|---|---|---|---|---|"]
    for row in rows:
        unit, ratio = row.get("unit", "ns"), f"{row['ratio']:.{2 if row['ratio'] >= 0.1 else 3}f}"
        lines.append(f"| {row['what']} | {row['ours_ns']:,.0f} {unit} | {row['peer']}: {row['peer_ns']:,.0f} {unit} "
                     f"| **{ratio}** | <= {row['goal']:g} |")
    return "\n".join(lines)


def write(readme, text):
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main(extension):
    with tempfile.TemporaryDirectory(prefix="slbp-bench-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        user = account.choose(ROOT)
        rows = [loading.measure(extension, folder)]
        server = redis.Redis(ports.free_port(), folder / "redis", folder / "redis.log", user)
        slabs = memcached.Memcached(ports.free_port(), folder / "memcached.log", user)
        server.start()
        slabs.start()
        try:
            rows += measure(extension, "assets.php", str(wordpress_release.tree(ROOT / "target")))
            rows += measure(extension, "limiter.php", str(server.socket))
            rows += measure(extension, "metrics.php")
            rows += measure(extension, "cache.php", "shm")
            rows += coherent.measure(extension, folder, server.socket)
            rows += measure(extension, "cache.php", "redis", str(server.socket))
            rows += measure(extension, "cache.php", "memcached", f"{ports.LOOPBACK}:{slabs.port}")
            rows += sessions.measure(extension, server, slabs)
        finally:
            server.stop()
            slabs.stop()
        home = user.own(folder / "database")
        database = mariadb.MariaDB(home / "data", home / "mariadb.sock", home / "mariadb.log", user, DURABLE)
        database.start()
        try:
            rows += measure(extension, "queue.php", str(database.socket))
        finally:
            database.stop()
        dumps = backups.table(backups.measure(extension, folder))
        checks = probes.table(probes.measure(extension, folder / "probes"))
        text = f"{table(rows)}\n\n{pages.table(pages.measure(extension, folder))}\n\n{checks}\n\n{dumps}"
    write(ROOT / "README.md", text)
    print(text)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
