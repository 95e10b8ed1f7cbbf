"""A session opened, read, written and closed under its lock, against the handlers that PHP's clients of the same stores bring.

Both run in turns, each in PHP processes of its own, on one server. Alone, with a locally built extension:

    python3 -m tests.bench.sessions path/to/libslbp.so
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile

from tests.support import account, memcached, ports, redis

SCRIPT = pathlib.Path(__file__).with_name("sessions.php")
ROUNDS, TURNS = 200, 3
SIZES = ((1_024, "1 KB"), (100_000, "100 KB"))
COMMON = {"session.use_cookies": 0, "session.cache_limiter": "", "session.gc_probability": 0, "session.lazy_write": 1}


def _run(extension, settings: dict, size: int) -> float:
    flags = [word for name, value in {**COMMON, **settings}.items() for word in ("-d", f'{name}="{value}"')]
    command = ["php", "-d", f"extension={extension}", *flags, str(SCRIPT), str(ROUNDS), str(size)]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout)
    if not answer["all_counted"]:
        raise SystemExit(f"a session lost an update: {settings}")
    return answer["seconds"]


def _row(extension, what: str, ours: dict, peer: str, theirs: dict, size: int) -> dict:
    best = [float("inf"), float("inf")]
    for _ in range(TURNS):
        best = [min(one, _run(extension, settings, size)) for one, settings in zip(best, (ours, theirs))]
    mine, other = (seconds * 1e9 for seconds in best)
    return {"what": what, "ours_ns": mine, "peer": peer, "peer_ns": other, "ratio": mine / other, "goal": 0.7}


def measure(extension, server: redis.Redis, slabs: memcached.Memcached) -> list[dict]:
    """A row for each store and size."""
    rows = []
    for size, name in SIZES:
        what = f"session of {name}: open, read, write, close"
        ours = {"session.save_handler": "slbp", "session.save_path": f"redis+unix://{server.socket}"}
        theirs = {"session.save_handler": "redis", "session.save_path": f"unix://{server.socket}?database=1",
                  "redis.session.locking_enabled": 1}
        rows.append(_row(extension, f"{what}, Redis", ours, "php-redis with locking", theirs, size))
        address = f"{ports.LOOPBACK}:{slabs.port}"
        ours = {"session.save_handler": "slbp", "session.save_path": f"memcached://{address}"}
        theirs = {"session.save_handler": "memcached", "session.save_path": address}
        rows.append(_row(extension, f"{what}, Memcached", ours, "php-memcached", theirs, size))
    return rows


def main(extension) -> None:
    with tempfile.TemporaryDirectory(prefix="slbp-bench-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        user = account.choose(SCRIPT)
        server = redis.Redis(ports.free_port(), folder / "redis", folder / "redis.log", user)
        slabs = memcached.Memcached(ports.free_port(), folder / "memcached.log", user)
        server.start()
        slabs.start()
        try:
            for row in measure(extension, server, slabs):
                print(json.dumps(row))
        finally:
            server.stop()
            slabs.stop()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
