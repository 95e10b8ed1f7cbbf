"""Metrics across php-fpm's workers: shared, unharmed by kills, and taken of every request without asking."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support import fastcgi, process

SCRIPT = Path(__file__).parent / "scripts" / "metrics.php"


def samples(pool) -> dict[tuple, float]:
    """{(name, label value, ...): value}, read by the strict parser."""
    families = text_string_to_metric_families(pool.call(SCRIPT, do="show")["text"])
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def call(pool, **query) -> fastcgi.Response:
    return fastcgi.request(pool.fpm.socket, SCRIPT, urlencode(query), timeout=20)


def test_killed_workers_lose_nothing_that_was_counted(start_pool):
    """400 requests of 100 increments each, in all workers, while 20 of them are killed between requests."""
    pool = start_pool(workers=6)
    pids = set()

    def count(number: int) -> bool:
        try:
            pids.add(pool.call(SCRIPT, do="count", times=100)["pid"])
            return True
        except (fastcgi.Broken, ConnectionError):
            return False

    answered = 0
    with ThreadPoolExecutor(4) as executor:
        for batch in range(20):
            answered += sum(executor.map(count, range(20)))
            os.kill(pool.fpm.workers()[batch % len(pool.fpm.workers())], signal.SIGKILL)
    # A connection may have gone to the worker that was killed last.
    assert process.wait_until(lambda: count(1), timeout=10)
    counted = samples(pool)[("fpm_test_total",)]

    assert len(pids) > 6, "no worker was replaced"
    assert answered * 100 <= counted <= 41_000
    assert answered >= 380


def test_a_reload_begins_anew_and_says_when(start_pool):
    pool = start_pool(workers=2)
    pool.call(SCRIPT, do="count", times=5)
    before = samples(pool)
    workers = set(pool.fpm.workers())

    pool.fpm.signal(signal.SIGUSR2)
    assert process.wait_until(lambda: pool.fpm.workers() and not workers & set(pool.fpm.workers()), timeout=15)
    pool.call(SCRIPT, do="count", times=1)
    after = samples(pool)

    assert (before[("fpm_test_total",)], after[("fpm_test_total",)]) == (5, 1)
    assert after[("fpm_test_created",)] > before[("fpm_test_created",)]
    assert after[("slbp_shm_created_timestamp_seconds",)] > before[("slbp_shm_created_timestamp_seconds",)]


def test_every_request_is_measured(start_pool):
    pool = start_pool(workers=1, ini={"error_reporting": -1})
    for query in ({"do": "count", "times": 1}, {"do": "fail"}, {"do": "fatal"}, {"do": "warn"}, {"do": "grow"}):
        call(pool, **query)

    seen = samples(pool)

    assert seen[("slbp_http_request_duration_seconds_count", "front", "2xx")] == 3
    assert seen[("slbp_http_request_duration_seconds_count", "front", "5xx")] == 2
    assert seen[("slbp_http_request_memory_peak_bytes_bucket", "6.7108864e+07")] == 4
    assert seen[("slbp_http_request_memory_peak_bytes_bucket", "1.34217728e+08")] == 5
    assert seen[("slbp_php_errors_total", "fatal")] == 1
    assert seen[("slbp_php_errors_total", "warning")] == 1, "the silenced one does not count"
    assert seen[("slbp_php_errors_total", "deprecated")] == 1
    assert seen[("slbp_performance_requests_per_minute",)] == 5
    assert seen[("slbp_performance_error_rate",)] == 40
    assert seen[("slbp_performance_response_time",)] > 0


def test_measuring_can_be_turned_off(start_pool):
    pool = start_pool(workers=1, ini={"slbp.request_metrics": 0})
    call(pool, do="count", times=1)

    names = {key[0] for key in samples(pool)}

    assert "fpm_test_total" in names
    assert not any(name.startswith("slbp_http_request_") for name in names)


def test_requests_in_flight_do_not_leak_when_their_worker_is_killed(start_pool):
    pool = start_pool(workers=3)
    note = pool.log / "sleeper"
    sleeper = ThreadPoolExecutor(1).submit(lambda: call(pool, do="sleep", seconds=15, file=note))
    in_flight = lambda: samples(pool)[("slbp_http_requests_in_flight",)]
    assert process.wait_until(lambda: note.exists() and note.read_text() != "", timeout=10)
    assert in_flight() == 2, "the sleeper and who asks"

    os.kill(int(note.read_text()), signal.SIGKILL)
    assert sleeper.exception(timeout=20) is not None

    assert process.wait_until(lambda: in_flight() == 1, timeout=10)
    assert samples(pool)[("slbp_php_workers", "busy")] == 1


def test_memory_is_that_of_the_largest_worker(start_pool):
    pool = start_pool(workers=2)
    before = samples(pool)[("slbp_system_memory_usage",)]

    assert 1 << 20 < before < 512 << 20
    assert samples(pool)[("slbp_php_worker_memory_bytes", "sum")] >= before


def test_workers_that_have_served_are_told_by_what_they_do(start_pool):
    pool = start_pool(workers=3)
    pids = {pool.call(SCRIPT, do="count", times=1)["pid"] for _ in range(30)}
    seen = samples(pool)

    assert seen[("slbp_php_workers", "busy")] == 1
    assert 1 <= seen[("slbp_php_workers", "busy")] + seen[("slbp_php_workers", "idle")] <= 3
    assert len(pids) <= 3
