"""WordPress' home page and dashboard under nginx and php-fpm, with one object cache after another.

The site has 500 posts, 2,000 comments and 200 autoloaded options. Every candidate gets the same workers, a fresh php-fpm and
warm pages, and the candidates take turns. Besides the requests a second (the best round) it measures what a request costs
php-fpm in processor time (the lower quartile of all): that is what the ratio is made of, because a neighbour on the machine
takes much from the first and little from the second. What the database is spared is not in it.
"""

import re
import shutil
import statistics
import subprocess
from pathlib import Path

from tests.support import ports, redis
from tests.support.stack import Stack
from tests.wordpress.visitor import Visitor

HERE = Path(__file__).parent / "wordpress"
OURS = Path(__file__).resolve().parents[2] / "wordpress-plugin" / "dropins" / "object-cache.php"
PAGES = {"home": "/", "wp-admin": "/wp-admin/"}
WORKERS, CLIENTS, SECONDS, ROUNDS = 2, 4, 3, 5


def measure(extension, folder):
    """{candidate: {page: (requests a second, milliseconds of processor time a request)}}; the first has no persistent cache."""
    rates, costs = {}, {}
    notes = folder / "processor.log"
    settings = {"ini": {"auto_prepend_file": HERE / "processor.php"}, "pool": {"env[BENCH_LOG]": notes}}
    with Stack(folder / "site", ports.free_port(), extension, workers=WORKERS, **settings) as stack:
        stack.configuration.run(stack.account, HERE / "seed.php", stack.wordpress.root / "wp-load.php")
        notes.touch()
        stack.account.claim(notes)
        server = redis.Redis(ports.free_port(), folder / "pages-redis", folder / "pages-redis.log", stack.account)
        server.start()
        try:
            for _ in range(ROUNDS):
                for name, (dropin, constants) in _candidates(server).items():
                    _switch(stack, dropin, constants)
                    for page, (url, cookies) in _pages(stack).items():
                        rate = _load(url, cookies, notes)
                        rates[name, page] = max(rate, rates.get((name, page), 0))
                        costs.setdefault((name, page), []).extend(map(int, notes.read_text().split()))
        finally:
            server.stop()
        cost = {key: statistics.quantiles(values)[0] / 1000 for key, values in costs.items()}
        return {name: {page: (rates[name, page], cost[name, page]) for page in PAGES} for name in _candidates(server)}


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


def _pages(stack):
    """Addresses and cookies: the home page as anybody, the dashboard as the administrator."""
    visitor = Visitor(stack).log_in(stack.wordpress.user, stack.wordpress.password)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.session.cookies)
    return {page: (stack.url + path, cookies if page == "wp-admin" else "") for page, path in PAGES.items()}


def _load(url, cookies, notes):
    command = ["wrk", "-t", "1", "-c", str(CLIENTS), "-H", f"Cookie: {cookies}", "--timeout", "30s"]
    subprocess.run([*command, "-d", "2s", url], check=True, stdout=subprocess.DEVNULL)
    notes.write_text("")
    output = subprocess.run([*command, "-d", f"{SECONDS}s", url], check=True, stdout=subprocess.PIPE, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url} did not answer as it should:\n{output}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


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
