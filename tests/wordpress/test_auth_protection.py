"""wp-login.php, XML-RPC, application passwords and admin-ajax.php against guessing."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest

from tests.wordpress.visitor import Visitor


def attempt(visitor: Visitor, user: str = "admin", password: str = "wrong"):
    return visitor.post("/wp-login.php", data={"log": user, "pwd": password, "testcookie": "1"})


def test_the_eleventh_login_is_refused_before_the_password_is_looked_at(site, visitor):
    """auth: 10 an hour."""
    codes = [attempt(visitor).status_code for _ in range(10)]
    right_password = attempt(visitor, site.wordpress.user, site.wordpress.password)

    assert codes == [200] * 10, "WordPress shows its form again, with 200"
    assert right_password.status_code == 429
    assert int(right_password.headers["Retry-After"]) >= 1
    assert "no-store" in right_password.headers["Cache-Control"]


def test_seeing_the_form_costs_nothing(visitor):
    assert {visitor.get("/wp-login.php").status_code for _ in range(15)} == {200}


def test_another_address_is_not_locked_out(site, visitor):
    for _ in range(12):
        attempt(visitor)

    Visitor(site, "203.0.113.50").log_in(site.wordpress.user, site.wordpress.password)


def test_failed_logins_ban_the_address_everywhere(site, visitor, set_option):
    set_option("slbp_rate_limits", {"auth": {"limit": 1000, "window": 3600}})
    set_option("slbp_auto_ban_config", {"enabled": True, "threshold": 6, "window": 600, "ban": 600})
    set_option("slbp_rate_limit_all_rest", True)
    assert visitor.get("/wp-json/wp/v2/posts").status_code == 200
    for _ in range(6):
        attempt(visitor)

    assert visitor.get("/wp-json/wp/v2/posts").status_code in (403, 429)
    assert Visitor(site, "203.0.113.51").get("/wp-json/wp/v2/posts").status_code == 200


def test_wrong_application_passwords_count_too(site, visitor, set_option, admin):
    site.php("WP_Application_Passwords::create_new_application_password(1, ['name' => 'a client']);")
    set_option("slbp_auto_ban_config", {"enabled": True, "threshold": 4, "window": 600, "ban": 600})
    for _ in range(4):
        visitor.get("/wp-json/wp/v2/users/me", auth=("admin", "wrong wrong wrong"))

    assert "198.51.100.7" in admin.barred()


def test_a_barred_address_is_let_in_by_no_door(site, visitor, admin):
    password = site.php("""
        $made = WP_Application_Passwords::create_new_application_password(1, ['name' => 'another client']);
        echo $made[0];
    """).strip().splitlines()[-1]
    me = "/wp-json/wp/v2/users/me"
    assert visitor.get(me, auth=("admin", password)).status_code == 200
    assert admin.api("POST", "/rate-limit/blacklist", json={"entry": "198.51.100.7"}).status_code in (200, 201)

    refused = visitor.get(me, auth=("admin", password))

    assert refused.status_code in (401, 403) and refused.json()["code"] != "rest_no_route", refused.text
    assert Visitor(site, "203.0.113.52").get(me, auth=("admin", password)).status_code == 200


def test_scanning_for_pages_counts_and_missing_images_do_not(visitor, set_option, admin):
    set_option("slbp_auto_ban_config", {"enabled": True, "threshold": 5, "window": 600, "ban": 600})
    for number in range(8):
        visitor.get(f"/missing-{number}.png")
    assert "198.51.100.7" not in admin.barred()

    for number in range(5):
        visitor.get(f"/backup-{number}.sql")
    assert "198.51.100.7" in admin.barred()


def xmlrpc(visitor: Visitor, method: str, params: str = ""):
    body = f"<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    return visitor.post("/xmlrpc.php", data=body, headers={"Content-Type": "text/xml"})


def text(value: str) -> str:
    return f"<value><string>{escape(value)}</string></value>"


def guess(password: str) -> str:
    """One wp.getUsersBlogs call as system.multicall wants it."""
    params = f"<value><array><data>{text('admin')}{text(password)}</data></array></value>"
    return (
        "<value><struct>"
        f"<member><name>methodName</name>{text('wp.getUsersBlogs')}</member>"
        f"<member><name>params</name>{params}</member>"
        "</struct></value>"
    )


@pytest.fixture
def five_calls(set_option):
    set_option("slbp_rate_limits", {"general": {"limit": 5, "window": 3600}})


def test_each_xmlrpc_call_counts(five_calls, visitor):
    codes = [xmlrpc(visitor, "demo.sayHello").status_code for _ in range(7)]

    assert codes == [200] * 5 + [429] * 2


def test_calls_inside_a_multicall_count_one_by_one(five_calls, visitor):
    guesses = "".join(guess(f"guess {number}") for number in range(8))
    answer = xmlrpc(visitor, "system.multicall", f"<param><value><array><data>{guesses}</data></array></value></param>")

    assert answer.status_code == 200
    assert answer.text.count("<int>403</int>") == 5, "five were looked at and wrong"
    assert answer.text.count("<int>429</int>") == 3, "three were not looked at"


def test_a_multicall_feeds_the_ban_per_call(visitor, set_option, admin):
    set_option("slbp_auto_ban_config", {"enabled": True, "threshold": 10, "window": 600, "ban": 600})
    guesses = "".join(guess(f"guess {number}") for number in range(12))
    xmlrpc(visitor, "system.multicall", f"<param><value><array><data>{guesses}</data></array></value></param>")

    assert "198.51.100.7" in admin.barred()


def test_admin_ajax_is_limited_for_visitors_and_not_for_users(visitor, admin, set_option):
    set_option("slbp_rate_limits", {"general": {"limit": 3, "window": 3600}})
    path = "/wp-admin/admin-ajax.php?action=nothing"

    assert [visitor.get(path).status_code for _ in range(5)] == [400, 400, 400, 429, 429]
    assert {admin.get(path).status_code for _ in range(6)} == {400}
