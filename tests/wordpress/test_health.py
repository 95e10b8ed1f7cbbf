"""The probes of a load balancer, with and without a database."""

from __future__ import annotations

import pytest

from tests.wordpress.visitor import API


@pytest.mark.parametrize("route, status", [("health", "healthy"), ("ready", "ready"), ("live", "alive")])
def test_probes_answer_anyone_and_are_never_cached(visitor, route, status):
    answer = visitor.api("GET", f"/{route}")

    assert answer.status_code == 200
    assert answer.json()["status"] == status
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("route", ["health", "ready", "live"])
def test_probes_reveal_no_version_path_or_host(site, visitor, route):
    body = visitor.api("GET", f"/{route}").text

    for secret in ("6.8", "8.2", "0.1.0", str(site.state), "mariadb", "localhost"):
        assert secret not in body


def test_probes_are_never_limited(visitor, set_option):
    """A balancer asks every five seconds: 720 times an hour, where the general limit is 100."""
    set_option("slbp_rate_limit_all_rest", True)
    set_option("slbp_rate_limits", {"general": {"limit": 3, "window": 3600}})

    assert {visitor.api("GET", "/live").status_code for _ in range(10)} == {200}


def test_a_draining_node_is_not_ready_but_alive(visitor, set_option):
    set_option("slbp_draining", True)

    assert visitor.api("GET", "/ready").status_code == 503
    assert visitor.api("GET", "/live").status_code == 200


def test_while_the_database_is_down_the_probes_tell_the_truth(site, visitor):
    site.mariadb.stop()
    try:
        live, ready, health = (visitor.api("GET", route) for route in ("/live", "/ready", "/health"))
        page = visitor.get("/")
    finally:
        site.mariadb.start()

    assert (live.status_code, live.json()["status"]) == (200, "alive")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"database": False})
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert page.status_code == 503 and "Retry-After" in page.headers
    assert visitor.api("GET", "/ready").status_code == 200, "the site comes back with its database"


def test_plain_permalinks_reach_the_probes_too(site, visitor):
    site.mariadb.stop()
    try:
        answer = visitor.get("/index.php?rest_route=" + API.removeprefix("/wp-json") + "/live")
    finally:
        site.mariadb.start()

    assert (answer.status_code, answer.json()["status"]) == (200, "alive")
