"""What loading the extension costs a request that does not use it.

Two php-fpm masters that differ in one `extension=` line answer the same empty script in turns.
"""

import pathlib
import time

from tests.support import account, fastcgi, php

REQUESTS, ROUNDS = 50, 100


def measure(extension, folder):
    """One row: seconds a request with the extension, and without."""
    script = folder / "empty.php"
    script.write_text("<?php\n")
    user = account.choose(extension, folder)
    pools = [_pool(folder / name, user, loaded) for name, loaded in (("with", extension), ("without", None))]
    try:
        best = [float("inf"), float("inf")]
        for _ in range(ROUNDS):
            for index, pool in enumerate(pools):
                best[index] = min(best[index], _round(pool.socket, script))
    finally:
        for pool in pools:
            pool.stop()
    ours, theirs = (seconds * 1e9 for seconds in best)
    return {"what": "loading: an empty request under php-fpm", "ours_ns": ours, "peer": "without the extension",
            "peer_ns": theirs, "ratio": ours / theirs, "goal": 1.02}


def _pool(folder, user, extension):
    user.own(folder, 0o755)
    log = user.own(folder / "log")
    settings = php.Configuration(folder, log, extension)
    pool = php.PhpFpm(folder, folder / "fpm.sock", log / "fpm.log", user, settings, workers=1)
    pool.start()
    return pool


def _round(socket, script):
    started = time.perf_counter()
    for _ in range(REQUESTS):
        fastcgi.request(socket, script)
    return (time.perf_counter() - started) / REQUESTS
