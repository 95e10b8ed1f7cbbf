"""WordPress' home page and dashboard under nginx and php-fpm, with one object cache after another.

The site has 500 posts, 2,000 comments and 200 autoloaded options. Every candidate gets the same workers, a fresh php-fpm and
warm pages; the candidates take turns, and the best round of each counts.
"""

import re
import shutil
import subprocess
from pathlib import Path

from tests.support import ports, redis
from tests.support.stack import Stack
from tests.wordpress.visitor import Visitor

HERE = Path(__file__).parent / "wordpress"
OURS = Path(__file__).resolve().parents[2] / "wordpress-plugin" / "dropins" / "object-cache.php"
PAGES = {"home": "/", "wp-admin": "/wp-admin/"}
WORKERS, CLIENTS, SECONDS, ROUNDS = 2, 4, 6, 3


def measure(extension, folder):
    """Requests a second: {candidate: {page: rate}}; the first candidate has no persistent cache."""
    best = {}
    with Stack(folder / "site", ports.free_port(), extension, workers=WORKERS) as stack:
        stack.configuration.run(stack.account, HERE / "seed.php", stack.wordpress.root / "wp-load.php")
        server = redis.Redis(ports.free_port(), folder / "pages-redis", folder / "pages-redis.log", stack.account)
        server.start()
        try:
            for _ in range(ROUNDS):
                for name, (dropin, constants) in _candidates(server).items():
                    _switch(stack, dropin, constants)
                    for page, rate in _rates(stack).items():
                        best.setdefault(name, {}).setdefault(page, 0)
                        best[name][page] = max(best[name][page], rate)
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
    stack.wordpress.write_config(stack.mariadb, constants)
    stack.fpm.start()


def _rates(stack):
    visitor = Visitor(stack).log_in(stack.wordpress.user, stack.wordpress.password)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.session.cookies)
    return {page: _rate(stack.url + path, cookies if page == "wp-admin" else "") for page, path in PAGES.items()}


def _rate(url, cookies):
    command = ["wrk", "-t", "1", "-c", str(CLIENTS), "-H", f"Cookie: {cookies}", "--timeout", "10s"]
    subprocess.run([*command, "-d", "2s", url], check=True, stdout=subprocess.DEVNULL)
    output = subprocess.run([*command, "-d", f"{SECONDS}s", url], check=True, stdout=subprocess.PIPE, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url} did not answer as it should:\n{output}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def table(best):
    """The rates, and how many times those without a persistent cache they are."""
    without = next(iter(best.values()))
    lines = [f"| object cache | {' | '.join(f'{page}, requests/s | ratio' for page in PAGES)} |", "|---" * (1 + 2 * len(PAGES)) + "|"]
    for name, rates in best.items():
        cells = (f"{rates[page]:,.0f} | **{rates[page] / without[page]:.2f}**" for page in PAGES)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
