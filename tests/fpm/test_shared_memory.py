"""Workers of one master share one segment, whatever happens to a worker."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.support import fastcgi, process


def test_a_limit_is_exact_across_workers(start_pool):
    pool = start_pool(workers=8)

    checks = pool.ask_many(400, threads=16, limit=150)

    assert sum(check["allowed"] for check in checks) == 150
    assert len({check["pid"] for check in checks}) > 1, "one worker answered everything: nothing was shared"
    refused = [check for check in checks if not check["allowed"]]
    assert all(check["retry_after"] >= 1 and check["remaining"] == 0 for check in refused)


def test_killed_workers_neither_hang_the_others_nor_lose_counts(start_pool):
    """What was answered was counted, and what was counted was at least begun."""
    pool = start_pool(workers=6)
    limit = 1_000_000
    stop = threading.Event()

    def load(seed: int) -> tuple[int, int]:
        answered = broken = 0
        while not stop.is_set():
            try:
                pool.ask(client=f"user:{seed % 2}", limit=limit, timeout=10)
                answered += 1
            except (fastcgi.Broken, ConnectionRefusedError):
                broken += 1
        return answered, broken

    with ThreadPoolExecutor(6) as executor:
        loads = [executor.submit(load, seed) for seed in range(6)]
        kills = _kill_workers(pool, times=150, every=0.02)
        stop.set()
        results = [future.result(timeout=30) for future in loads]

    answered = sum(result[0] for result in results)
    broken = sum(result[1] for result in results)
    used = sum(pool.used(f"user:{client}", limit) for client in (0, 1))
    assert kills == 150
    assert broken > 0, "no request met a killed worker: the test proved nothing"
    assert answered <= used <= answered + broken
    assert pool.fpm.running


def test_recycled_workers_keep_the_counts(start_pool):
    pool = start_pool(workers=3, pool={"pm.max_requests": 5})

    checks = pool.ask_many(120, threads=6)

    assert len({check["pid"] for check in checks}) > 3, "no worker was recycled"
    assert pool.used() == 120


def test_a_reload_starts_clean(start_pool):
    """SIGUSR2 makes the master execute itself again, and anonymous memory ends with the old image."""
    pool = start_pool()
    pool.ask_many(20)
    before = set(pool.fpm.workers())

    pool.fpm.signal(signal.SIGUSR2)
    assert process.wait_until(lambda: _replaced(pool, before), timeout=15)

    assert pool.used() == 0
    assert pool.ask()["allowed"]


def _replaced(pool, before: set[int]) -> bool:
    now = set(pool.fpm.workers())
    return len(now) == len(before) and not now & before and pool.fpm.ready()


def _kill_workers(pool, times: int, every: float) -> int:
    chance = random.Random(11)
    killed = 0
    deadline = time.monotonic() + 60
    while killed < times and time.monotonic() < deadline:
        workers = pool.fpm.workers()
        if workers:
            try:
                os.kill(chance.choice(workers), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        time.sleep(every)
    return killed
