"""REST requests: 200s, then 429, with the headers of the standard."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.wordpress.visitor import API, Visitor

POSTS = "/wp-json/wp/v2/posts"


@pytest.fixture
def limited(set_option):
    set_option("slbp_rate_limit_all_rest", True)
    set_option("slbp_rate_limits", {"general": {"limit": 5, "window": 3600}, "auth": {"limit": 1000, "window": 3600}})


def test_two_hundreds_then_429_across_all_workers(site, limited, visitor):
    with ThreadPoolExecutor(8) as executor:
        codes = list(executor.map(lambda _: Visitor(site, "203.0.113.5").get(POSTS).status_code, range(20)))

    assert sorted(codes) == [200] * 5 + [429] * 15


def test_allowed_answers_say_what_is_left(limited, visitor):
    answers = [visitor.get(POSTS) for _ in range(5)]

    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"5"}
    assert re.fullmatch(r'"general";q=5;w=3600', answers[0].headers["RateLimit-Policy"])
    assert re.fullmatch(r'"general";r=4;t=\d+', answers[0].headers["RateLimit"])
    assert "Retry-After" not in answers[0].headers
    assert "RateLimit" in answers[0].headers["Access-Control-Expose-Headers"]


def test_a_refusal_is_problem_json_and_not_cached(limited, visitor):
    for _ in range(5):
        visitor.get(POSTS)
    refusal = visitor.get(POSTS)
    body = refusal.json()

    assert refusal.status_code == 429
    assert refusal.headers["Content-Type"].startswith("application/problem+json")
    assert "no-store" in refusal.headers["Cache-Control"]
    assert int(refusal.headers["Retry-After"]) == body["retry_after"] >= 1
    assert body["error"] and body["message"]


def test_clients_have_limits_of_their_own(site, limited, visitor):
    for _ in range(6):
        visitor.get(POSTS)

    assert visitor.get(POSTS).status_code == 429
    assert Visitor(site, "203.0.113.99").get(POSTS).status_code == 200


def test_a_forged_forwarding_header_buys_nothing(site, limited, set_option):
    """Without trust in the sender, X-Forwarded-For is noise, or one header per request would beat every limit."""
    set_option("slbp_trusted_proxies", [])
    codes = [Visitor(site, f"203.0.113.{n}").get(POSTS).status_code for n in range(8)]

    assert codes == [200] * 5 + [429] * 3


def test_what_embed_adds_is_free_and_a_batch_is_not(limited, visitor):
    visitor.get(POSTS + "?_embed=1")
    assert visitor.get(POSTS).headers["X-RateLimit-Remaining"] == "3"

    batch = {"requests": [{"path": "/wp/v2/posts/1", "method": "PUT"} for _ in range(4)]}
    inner = visitor.post("/wp-json/batch/v1", json=batch).json()["responses"]
    assert [answer["status"] for answer in inner] == [401, 401, 429, 429]


def test_by_default_only_our_namespace_is_limited(visitor, set_option):
    set_option("slbp_rate_limits", {"general": {"limit": 2, "window": 3600}})

    assert [visitor.get(POSTS).status_code for _ in range(4)] == [200] * 4
    assert [visitor.get(f"{API}/rate-limit/status").status_code for _ in range(4)] == [401, 401, 429, 429]


@pytest.mark.parametrize("spelling", ["/SkyLearn-Billing-Pro/V1/rate-limit/STATUS", "/skylearn-billing-pro/v1/rate-limit/status%0A"])
def test_no_spelling_of_a_route_escapes_its_limit(visitor, set_option, spelling):
    set_option("slbp_rate_limits", {"general": {"limit": 2, "window": 3600}})

    codes = [visitor.get(f"/?rest_route={spelling}").status_code for _ in range(4)]
    assert codes == [401, 401, 429, 429]


def test_a_typing_error_in_an_option_does_not_take_the_site_down(visitor, set_option):
    set_option("slbp_rate_limits", {"general": {"limt": 5}})
    set_option("slbp_rate_limit_all_rest", True)

    assert visitor.get(POSTS).status_code == 200
    assert visitor.get("/").status_code == 200
    assert visitor.get("/wp-login.php").status_code == 200
