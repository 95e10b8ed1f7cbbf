"""The probes of a load balancer: answered before WordPress, and by WordPress where it must."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.process import StartError, wait_until
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


def test_neither_maintenance_nor_another_host_stands_in_the_way(site, visitor):
    warm(visitor)
    with maintenance(site):
        assert visitor.get("/wp-login.php").status_code == 503, "visitors see the maintenance page"
        answers = {route: visitor.api("GET", f"/{route}") for route in ("live", "ready", "health")}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert answers["ready"].json()["checks"]["maintenance"] == "degraded"

    for route in ("live", "ready", "health"):
        answer = visitor.request("GET", API + f"/{route}", headers={"Host": "10.0.0.7"})
        assert answer.status_code == 200, "a redirect is a failure to who probes by address"


def test_fifty_probes_at_once_give_no_false_no(site, visitor):
    site.fpm.restart()
    with ThreadPoolExecutor(50) as executor:
        for _ in range(3):
            answers = list(executor.map(lambda _: visitor.api("GET", "/ready").status_code, range(50)))
            assert set(answers) == {200}


def test_details_are_for_addresses_that_cannot_be_invented(site, set_option, visitor):
    assert visitor.api("GET", "/health/detailed").status_code == 401
    set_option("slbp_health_check_ips", ["203.0.113.0/24"])
    site.fpm.restart()

    assert visitor.request("GET", API + "/health/detailed", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 200
    spoofed = visitor.request("GET", API + "/health/detailed", headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
    assert spoofed.status_code == 401, "only what the trusted proxy has added counts"

    set_option("slbp_trusted_proxies", ["192.0.2.1"])
    site.fpm.restart()
    spoofed = visitor.request("GET", API + "/health/detailed", headers={"X-Forwarded-For": "203.0.113.9"})
    assert spoofed.status_code == 401, "nobody is believed who is no trusted proxy"


def test_administrators_see_everything(admin):
    body = admin.api("GET", "/health/detailed").json()

    assert body["status"] in {"healthy", "degraded"}
    assert {
        "database", "database_replication", "database_clock", "cache_memory", "filesystem", "disk", "inodes", "memory",
        "queue", "queue_stuck", "backup", "cron", "opcache", "php_fpm", "migrations", "drain", "maintenance",
    } <= set(body["checks"])
    assert body["checks"]["migrations"]["status"] == "healthy"
    assert body["checks"]["filesystem"]["status"] == "healthy"
    assert body["checks"]["php_fpm"]["unit"] in {"percent", "count"}


def test_an_upgrade_that_waits_keeps_the_node_out(site, visitor):
    site.mariadb.sql("UPDATE wp_options SET option_value = '100' WHERE option_name = 'db_version'", "wordpress")
    try:
        site.fpm.restart()
        answer = visitor.api("GET", "/ready")
        assert (answer.status_code, answer.json()["checks"]["migrations"]) == (503, "unhealthy")
        assert visitor.api("GET", "/ready").status_code == 503, "the door repeats what WordPress found"
    finally:
        version = site.php("require ABSPATH . WPINC . '/version.php'; echo $wp_db_version;").strip()
        site.mariadb.sql(f"UPDATE wp_options SET option_value = '{version}' WHERE option_name = 'db_version'", "wordpress")


HOSTILE = """<?php
add_action('slbp_register_health_checks', function ($manager) {
    $manager->register_health_check('throws', fn() => throw new Error('boom'), ['groups' => ['ready']]);
    $manager->register_health_check('leaves', fn() => exit('<b>gone</b>'), ['groups' => ['ready'], 'critical' => true]);
});
"""


def test_a_check_that_misbehaves_is_unhealthy_and_the_probe_answers(site, visitor):
    folder = site.wordpress.root / "wp-content" / "mu-plugins"
    folder.mkdir(exist_ok=True)
    plugin = folder / "hostile.php"
    plugin.write_text(HOSTILE)
    plugin.chmod(0o644)
    folder.chmod(0o755)
    try:
        site.fpm.restart()
        answers = [visitor.api("GET", "/ready") for _ in range(3)]
    finally:
        plugin.unlink()

    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["checks"]["throws"] == "unhealthy" and answer.json()["checks"]["leaves"] == "unhealthy"
        assert "boom" not in answer.text and "gone" not in answer.text


def test_the_draft_is_spoken_to_who_asks_for_it(visitor):
    for _ in range(2):
        answer = visitor.request("GET", API + "/ready", headers={"Accept": "application/health+json"})

        assert answer.headers["Content-Type"].startswith("application/health+json")
        assert answer.json()["status"] in {"pass", "warn"}
        assert answer.json()["checks"]["database:responseTime"][0]["componentType"] == "datastore"


@pytest.mark.parametrize(
    "path, status",
    [
        (API + "/live?rest_route=/wp/v2/types", 200),
        ("/?rest_route=/skylearn-billing-pro/v1/live&rest_route=/wp/v2/types", 200),
    ],
)
def test_no_address_of_wordpress_is_taken_for_a_probe(visitor, path, status):
    answer = visitor.get(path)

    assert answer.status_code == status
    assert "post" in answer.json(), "WordPress answers with its post types"


def test_other_methods_are_wordpress_business(visitor):
    warm(visitor)

    assert visitor.api("POST", "/live").status_code == 404
    assert visitor.request("HEAD", API + "/live").status_code == 200


def test_the_page_shows_every_check_and_drains(site, admin):
    page = admin.get("/wp-admin/tools.php?page=slbp-health")
    assert page.status_code == 200 and '<th scope="row">database' in page.text and "Drain this node" in page.text

    nonce = page.text.split('name="_wpnonce" value="')[1].split('"')[0]
    form = {"action": "slbp_drain", "_wpnonce": nonce, "button": "drain"}
    assert admin.post("/wp-admin/admin-post.php", data=form).status_code == 302
    assert admin.api("GET", "/ready").status_code == 503
    assert admin.post("/wp-admin/admin-post.php", data={**form, "button": "accept"}).status_code == 302
    assert admin.api("GET", "/ready").status_code == 200
    assert admin.post("/wp-admin/admin-post.php", data={**form, "_wpnonce": "0"}).status_code == 403


def test_site_health_asks_too(admin, visitor):
    answer = admin.api("GET", "/health/site-health").json()

    assert answer["test"] == "slbp_health" and answer["status"] in {"good", "recommended", "critical"}
    assert visitor.api("GET", "/health/site-health").status_code == 401


def test_the_commands(site):
    """Through a stand-in for WP-CLI: what the commands do, not how WP-CLI parses."""
    def wp(*words: str):
        double = Path(__file__).parent / "wp_cli_double.php"
        try:
            return 0, site.configuration.run(site.account, double, site.wordpress.root, *words).stdout
        except StartError as error:
            return 1, str(error)

    code, report = wp("health", "report")
    assert code == 0 and "database\thealthy" in report
    assert "upstream slbp_backend" in wp("health", "load-balancer", "nginx", "10.0.0.1:80", "10.0.0.2:80")[1]
    assert wp("health", "load-balancer", "nginx", "nonsense")[0] == 1
    code, refusal = wp("drain", "on")
    assert code == 1 and "slbp.shm_path" in refusal, "it says that it reaches nobody"
    assert wp("drain", "status") == (0, "accepting\n")
