"""/rate-limit/*: who may, and that a change reaches every worker at once."""

from __future__ import annotations

import pytest

from tests.wordpress.visitor import API, Visitor

POSTS = "/wp-json/wp/v2/posts"
ADMIN_ROUTES = ("/rate-limit/config", "/rate-limit/whitelist", "/rate-limit/blacklist")


@pytest.mark.parametrize("route", ADMIN_ROUTES)
def test_only_administrators_may(visitor, subscriber, admin, route):
    assert visitor.api("GET", route).status_code == 401
    assert subscriber.api("GET", route).status_code == 403
    assert admin.api("GET", route).status_code == 200


@pytest.mark.parametrize("route", ADMIN_ROUTES)
def test_a_cookie_without_the_nonce_is_nobody(admin, route):
    """What another site makes an administrator's browser send has the cookie and lacks the nonce."""
    admin.nonce = None

    assert admin.api("POST", route, json={"entry": "203.0.113.1"}).status_code == 401


def test_everyone_logged_in_sees_their_own_status(visitor, subscriber):
    assert visitor.api("GET", "/rate-limit/status").status_code == 401
    assert subscriber.api("GET", "/rate-limit/status").status_code == 200


def test_a_subscriber_does_not_see_somebody_elses_status(subscriber, admin):
    asked = "/rate-limit/status?client_id=ip:203.0.113.1"

    assert subscriber.api("GET", asked).status_code == 403
    assert admin.api("GET", asked).status_code == 200


def test_the_blacklist_holds_in_every_worker_at_once(site, admin, set_option):
    set_option("slbp_rate_limit_all_rest", True)
    barred = Visitor(site, "203.0.113.66")
    assert barred.get(POSTS).status_code == 200

    added = admin.api("POST", "/rate-limit/blacklist", json={"entry": "203.0.113.0/24", "reason": "scanner"})
    assert added.status_code in (200, 201), added.text

    assert {barred.get(POSTS).status_code for _ in range(12)} == {403}
    assert "203.0.113.0/24" in admin.barred()
    assert "203.0.113.0/24" in site.php("echo json_encode(get_option('slbp_rate_limit_blacklist'), JSON_UNESCAPED_SLASHES);")

    assert admin.api("DELETE", "/rate-limit/blacklist", json={"entry": "203.0.113.0/24"}).status_code == 200
    assert {barred.get(POSTS).status_code for _ in range(12)} == {200}


def test_the_lists_survive_a_restart(site, admin, set_option):
    set_option("slbp_rate_limit_all_rest", True)
    admin.api("POST", "/rate-limit/blacklist", json={"entry": "203.0.113.67"})
    site.fpm.restart()

    refused = Visitor(site, "203.0.113.67").get(POSTS)
    assert refused.status_code == 403
    assert "Retry-After" not in refused.headers, "waiting does not help who is barred"


def test_the_whitelist_is_not_limited(site, admin, set_option):
    set_option("slbp_rate_limit_all_rest", True)
    set_option("slbp_rate_limits", {"general": {"limit": 2, "window": 3600}})
    admin.api("POST", "/rate-limit/whitelist", json={"entry": "203.0.113.77"})

    assert {Visitor(site, "203.0.113.77").get(POSTS).status_code for _ in range(6)} == {200}


def test_a_malformed_entry_is_refused_and_changes_nothing(admin):
    answer = admin.api("POST", "/rate-limit/blacklist", json={"entry": "203.0.113.0/99"})

    assert answer.status_code == 400
    assert admin.barred() == set()


def test_a_new_limit_holds_in_every_worker_at_once(site, admin, set_option):
    set_option("slbp_rate_limit_all_rest", True)
    changed = admin.api("POST", "/rate-limit/config", json={"limits": {"general": {"limit": 3, "window": 3600}}})
    assert changed.status_code == 200, changed.text

    assert [Visitor(site, "203.0.113.80").get(POSTS).status_code for _ in range(5)] == [200, 200, 200, 429, 429]


def test_the_namespace_lists_its_routes(visitor):
    routes = set(visitor.get(API + "/").json()["routes"])

    for route in (*ADMIN_ROUTES, "/rate-limit/status", "/health", "/ready", "/live"):
        assert f"/skylearn-billing-pro/v1{route}" in routes
