"""WordPress' home page and dashboard under nginx and php-fpm, with one object cache after another.

The site has 500 posts, 2,000 comments and 200 autoloaded options. Every candidate gets the same workers, a fresh php-fpm and
warm pages; the candidates take turns, and the best round of each counts. Besides the requests a second it measures what one
request costs the processors, in php-fpm, MariaDB, Redis and nginx together: that is what the ratio is made of, because a
neighbour on the machine takes time from the first and hardly changes the second.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support import ports, process, redis
from tests.support.stack import Stack
from tests.wordpress.visitor import Visitor

HERE = Path(__file__).parent / "wordpress"
OURS = Path(__file__).resolve().parents[2] / "wordpress-plugin" / "dropins" / "object-cache.php"
PAGES = {"home": "/", "wp-admin": "/wp-admin/"}
WORKERS, CLIENTS, SECONDS, ROUNDS = 2, 4, 3, 5


def measure(extension, folder):
    """The best of every candidate's rounds: {candidate: {page: (requests a second, milliseconds of processor a request)}}."""
    best = {}
    with Stack(folder / "site", ports.free_port(), extension, workers=WORKERS) as stack:
        stack.configuration.run(stack.account, HERE / "seed.php", stack.wordpress.root / "wp-load.php")
        server = redis.Redis(ports.free_port(), folder / "pages-redis", folder / "pages-redis.log", stack.account)
        server.start()
        try:
            for _ in range(ROUNDS):
                for name, (dropin, constants) in _candidates(server).items():
                    _switch(stack, dropin, constants)
                    for page, (rate, cost) in _visit(stack, server).items():
                        known = best.setdefault(name, {}).get(page, (0, float("inf")))
                        best[name][page] = (max(known[0], rate), min(known[1], cost))
        finally:
            server.stop()
    return best


def _candidates(server):
    """Each with its drop-in and its constants."""
    peer = HERE / "object-cache.php"
    return {
        "none (WordPress' own)": (None, {}),
        "slbp: shared memory": (OURS, {}),
        "slbp: shared memory + Redis": (OURS, {"WP_REDIS_PATH": server.socket, "WP_REDIS_SCHEME": "unix"}),
        "APCu drop-in": (peer, {"BENCH_STORE": "apcu"}),
        "phpredis drop-in, igbinary, unix socket": (peer, {"BENCH_STORE": "phpredis", "BENCH_REDIS": server.socket}),
    }


def _switch(stack, dropin, constants):
    stack.fpm.stop()
    target = stack.wordpress.content / "object-cache.php"
    target.unlink(missing_ok=True)
    if dropin:
        shutil.copyfile(dropin, target)
    stack.wordpress.write_config(stack.mariadb, {"WP_DEBUG": False, **constants})
    stack.fpm.start()


def _visit(stack, server):
    visitor = Visitor(stack).log_in(stack.wordpress.user, stack.wordpress.password)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.session.cookies)
    services = [*stack.services, server]
    return {page: _load(stack.url + path, cookies if page == "wp-admin" else "", services) for page, path in PAGES.items()}


def _load(url, cookies, services):
    command = ["wrk", "-t", "1", "-c", str(CLIENTS), "-H", f"Cookie: {cookies}", "--timeout", "30s"]
    subprocess.run([*command, "-d", "2s", url], check=True, stdout=subprocess.DEVNULL)
    before = _processor_time(services)
    output = subprocess.run([*command, "-d", f"{SECONDS}s", url], check=True, stdout=subprocess.PIPE, text=True).stdout
    spent = _processor_time(services) - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url} did not answer as it should:\n{output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), 1000 * spent / requests


def _processor_time(services):
    """Seconds that the services and their workers have computed."""
    pids = [pid for service in services for pid in (service.pid, *process.children(service.pid))]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def table(best):
    """A row a candidate; the ratio is how many times the requests without a persistent cache the same processors answer."""
    without = next(iter(best.values()))
    lines = [
        "| object cache | " + " | ".join(f"{page}: requests/s | CPU ms/request | ratio" for page in PAGES) + " |",
        "|---" * (1 + 3 * len(PAGES)) + "|",
    ]
    for name, pages in best.items():
        cells = (f"{rate:,.0f} | {cost:.1f} | **{without[page][1] / cost:.2f}**" for page, (rate, cost) in pages.items())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
