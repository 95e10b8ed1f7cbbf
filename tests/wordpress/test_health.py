"""The probes of a load balancer: answered before WordPress, and by WordPress where it must."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.support.process import wait_until
from tests.wordpress.visitor import API

PROBES = [("health", {"healthy", "degraded"}), ("ready", {"ready"}), ("live", {"alive"})]


@contextmanager
def no_database(site):
    site.mariadb.stop()
    try:
        yield
    finally:
        site.mariadb.start()


@contextmanager
def maintenance(site):
    """What WordPress' updater leaves in the root while it works."""
    file = site.wordpress.root / ".maintenance"
    file.write_text("<?php $upgrading = time();")
    try:
        yield
    finally:
        file.unlink()


def warm(visitor):
    """Every worker has seen the site: WordPress has answered once, and shown where its database is."""
    with ThreadPoolExecutor(8) as executor:
        for _ in range(4):
            answers = list(executor.map(lambda _: visitor.api("GET", "/ready").status_code, range(8)))
    assert set(answers) == {200}


@pytest.mark.parametrize("route, words", PROBES)
def test_probes_answer_anyone_and_are_never_cached(visitor, route, words):
    for _ in range(2):
        answer = visitor.api("GET", f"/{route}")

        assert answer.status_code == 200
        assert answer.json()["status"] in words
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("route", ["health", "ready", "live"])
def test_probes_reveal_no_version_path_or_host(site, visitor, route):
    for _ in range(2):
        answer = visitor.api("GET", f"/{route}")
        for secret in ("6.8", "8.2", "0.1.0", str(site.state), "mariadb", "localhost"):
            assert secret not in answer.text
    assert "X-Powered-By" not in visitor.api("GET", "/live").headers


def test_probes_are_never_limited(visitor, set_option):
    """A balancer asks every five seconds: 720 times an hour, where the general limit is 100."""
    set_option("slbp_rate_limit_all_rest", True)
    set_option("slbp_rate_limits", {"general": {"limit": 3, "window": 3600}})

    assert {visitor.api("GET", "/live").status_code for _ in range(10)} == {200}


def test_the_door_answers_without_wordpress(visitor):
    """WordPress links its REST API from every answer that it makes itself."""
    assert "X-WP-Nonce" in visitor.api("GET", "/ready").headers.get("Access-Control-Allow-Headers", ""), "nothing is known yet"
    warm(visitor)

    for route in ("live", "ready", "health"):
        assert "Access-Control-Allow-Headers" not in visitor.api("GET", f"/{route}").headers, route


def test_a_drained_node_is_not_ready_but_alive(visitor, admin):
    warm(visitor)
    assert admin.api("POST", "/health/drain").json()["draining"] is True

    ready = visitor.api("GET", "/ready")
    assert (ready.status_code, ready.json()["status"], ready.json()["checks"]["drain"]) == (503, "not_ready", "unhealthy")
    assert visitor.api("GET", "/live").status_code == 200
    assert visitor.get("/").status_code == 200, "what comes is still served"

    assert admin.api("DELETE", "/health/drain").json()["draining"] is False
    assert visitor.api("GET", "/ready").status_code == 200


def test_only_administrators_drain(visitor, subscriber):
    assert visitor.api("POST", "/health/drain").status_code == 401
    assert subscriber.api("POST", "/health/drain").status_code == 403


def test_while_the_database_is_down_the_probes_tell_the_truth(site, visitor):
    warm(visitor)
    with no_database(site):
        assert wait_until(lambda: visitor.api("GET", "/ready").status_code == 503, timeout=15)
        live, ready, health = (visitor.api("GET", route) for route in ("/live", "/ready", "/health"))
        page = visitor.get("/")

    assert (live.status_code, live.json()["status"]) == (200, "alive")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "unhealthy")
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert page.status_code == 503 and "Retry-After" in page.headers
    assert wait_until(lambda: visitor.api("GET", "/ready").status_code == 200, timeout=15), "it comes back with its database"


def test_a_node_that_starts_without_a_database_is_alive_and_not_ready(site, visitor):
    with no_database(site):
        answers = [visitor.api("GET", route) for route in ("/live", "/ready", "/health")]

    assert [answer.status_code for answer in answers] == [200, 503, 503]
    assert answers[1].json()["checks"]["database"] == "unhealthy"


def test_plain_permalinks_reach_the_probes_too(site, visitor):
    with no_database(site):
        answer = visitor.get("/index.php?rest_route=" + API.removeprefix("/wp-json") + "/live")

    assert (answer.status_code, answer.json()["status"]) == (200, "alive")
