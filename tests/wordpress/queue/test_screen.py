"""/queue/* and Tools > Background Tasks: who may, and what the buttons do."""

from __future__ import annotations

import re

import pytest

PAGE = "/wp-admin/tools.php?page=slbp-queue"


@pytest.mark.parametrize("method, route", [("GET", "/queue/stats"), ("GET", "/queue/tasks"), ("GET", "/queue/tasks/1"), ("POST", "/queue/tasks/1/retry"), ("POST", "/queue/tasks/1/cancel")])
def test_only_administrators_may(visitor, subscriber, admin, method, route):
    assert visitor.api(method, route).status_code == 401
    assert subscriber.api(method, route).status_code == 403
    assert admin.api(method, route).status_code in (200, 404)
    admin.nonce = None
    assert admin.api(method, route).status_code == 401


def test_the_routes(site, admin):
    task = site.queue("fails", {"secret": "<b>"}, ", 5, null, ['max_attempts' => 1]")
    later = site.queue("greet", {}, ", 10, '2100-01-01'")
    assert admin.api("GET", "/queue/stats").json()["pending"] == 2
    listed = admin.api("GET", "/queue/tasks?status=scheduled").json()
    assert [row["id"] for row in listed["tasks"]] == [later] and listed["tasks"][0]["scheduled_at"] == "2100-01-01T00:00:00+00:00"
    assert admin.api("GET", "/queue/tasks?status=unknown").status_code == 400
    assert admin.api("GET", "/queue/tasks/99999").status_code == 404
    assert admin.api("POST", f"/queue/tasks/{task}/retry").status_code == 409
    site.work()
    assert admin.api("GET", f"/queue/tasks/{task}").json()["status"] == "failed"
    assert admin.api("POST", f"/queue/tasks/{task}/retry").json()["task"]["status"] == "pending"
    assert admin.api("POST", f"/queue/tasks/{task}/cancel").json()["task"]["status"] == "cancelled"
    assert admin.api("POST", f"/queue/tasks/{task}/cancel").status_code == 409


def test_the_page_lists_filters_and_escapes(site, admin, subscriber):
    task = site.queue("fails", {"name": "<script>alert(1)</script>"}, ", 5, null, ['max_attempts' => 1]")
    site.queue("greet", {}, ", 10, '2100-01-01'")
    site.work()
    page = admin.get(PAGE).text
    assert f'data-task="{task}" data-status="failed"' in page and "the handler returned false" in page
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert page.count("<tr data-task") == 2
    assert admin.get(PAGE + "&status=failed").text.count("<tr data-task") == 1
    assert admin.get(PAGE + "&task_type=greet").text.count("<tr data-task") == 1
    assert admin.get(PAGE + f"&before={task}").text.count("<tr data-task") == 0
    assert subscriber.get(PAGE).status_code == 403


def test_the_buttons(site, admin, subscriber):
    task = site.queue("fails", {}, ", 5, null, ['max_attempts' => 1]")
    site.work()
    page = admin.get(PAGE).text
    nonce = re.search(r'name="_wpnonce" value="(\w+)"', page)[1]
    press = {"action": "slbp_queue", "task": task, "button": "retry", "_wpnonce": nonce, "_wp_http_referer": PAGE}

    assert admin.post("/wp-admin/admin-post.php", data={**press, "_wpnonce": "0"}).status_code == 403
    assert subscriber.post("/wp-admin/admin-post.php", data=press).status_code == 403
    assert site.task(task)["status"] == "failed"

    assert admin.post("/wp-admin/admin-post.php", data=press).headers["Location"].endswith("changed=yes")
    assert site.task(task)["status"] == "pending"
    assert admin.post("/wp-admin/admin-post.php", data={**press, "button": "cancel"}).headers["Location"].endswith("changed=yes")
    assert site.task(task)["status"] == "cancelled"
    assert admin.post("/wp-admin/admin-post.php", data={**press, "button": "cancel"}).headers["Location"].endswith("changed=no")
