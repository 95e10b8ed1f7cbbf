"""Alerts on the real site: told while the database is down, and once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.extension import EXTENSION
from tests.support.process import wait_until
from tests.support.receiver import Receiver
from tests.support.stack import BUILD, Stack
from tests.wordpress import options
from tests.wordpress.visitor import Visitor

WP_CLI = Path(__file__).parent / "wp_cli_double.php"
PAGE = "/wp-admin/tools.php?page=slbp-alerts"
NAME = "database_connection_failure"


@pytest.fixture(scope="module")
def watched():
    """A site whose webhooks may reach this machine, with files where the test finds them."""
    state = BUILD / "tests" / "alerts"
    shutil.rmtree(state, ignore_errors=True)
    secrets = state / "secrets"
    ini = {"slbp.webhook_allow_private": 1, "slbp.state_dir": secrets, "slbp.webhook_secret": "s3cret", "slbp.alert_interval": 1}
    with Stack(state, ports.free_port(), EXTENSION, workers=4, ini=ini) as stack:
        stack.account.own(secrets)
        secrets.chmod(0o700)
        yield stack


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def rule(url: str, **more: object) -> dict:
    return {"metric": "database.connections", "condition": "equals", "threshold": 0, "severity": "critical", "webhook_url": url, **more}


def watch(site: Stack, rules: dict) -> None:
    """The rules in the option, and one look so that their mirror is written."""
    options.store(site, "slbp_alert_config", rules)
    forget(site)
    visit(site)
    wait_until(lambda: any(mirror_holds(path, rules) for path in secrets(site).glob("*-rules")), timeout=60)


def mirror_holds(path: Path, rules: dict) -> bool:
    text = path.read_text()
    return all(name in text and str(rule.get("webhook_url", "")) in text for name, rule in rules.items())


def secrets(site: Stack) -> Path:
    return site.state / "secrets"


def forget(site: Stack) -> None:
    """Nothing fires and nobody has been told, as after an installation."""
    site.fpm.stop()
    for path in secrets(site).iterdir():
        path.unlink()
    site.fpm.start()


def visit(site: Stack) -> int:
    return Visitor(site, "198.51.100.7").get("/").status_code


def told(receiver: Receiver, site: Stack, count: int, timeout: float = 90) -> list[tuple[str, str]]:
    """Visits until the receiver has `count` messages; what they say."""

    def enough() -> bool:
        visit(site)
        return len(receiver.bodies) >= count

    assert wait_until(enough, timeout=timeout), f"{receiver.bodies}; {(site.state / 'log' / 'php.log').read_text()[-2000:]}"
    return [(body["alert_name"], body["status"]) for body in receiver.bodies]


def look_twice(site: Stack) -> None:
    """Two more looks at least: what were told twice would be by now."""
    (lock,) = secrets(site).glob("*-lock")
    for _ in range(2):
        before = lock.stat().st_mtime_ns
        assert wait_until(lambda: visit(site) and lock.stat().st_mtime_ns != before, timeout=60)


def test_the_failure_of_the_database_is_told_once_and_its_end_once(watched, receiver):
    """The whole way: rules in an option, MySQL stopped, visitors who see an error page, and it comes back."""
    watch(watched, {NAME: rule(receiver.url, email_recipients=["ops@example.com"], **{"for": 1})})
    assert receiver.bodies == []

    watched.mariadb.stop()
    try:
        assert told(receiver, watched, 1) == [(NAME, "firing")]
        assert visit(watched) in (500, 503)
        look_twice(watched)
        assert told(receiver, watched, 1) == [(NAME, "firing")]
        mails = (watched.state / "log" / "mail.log").read_text()
        assert mails.count("To: ops@example.com") == mails.count(f"Subject: [CRITICAL] {NAME}") == 1
    finally:
        watched.mariadb.start()

    assert told(receiver, watched, 2) == [(NAME, "firing"), (NAME, "resolved")]
    assert visit(watched) == 200
    assert (watched.state / "log" / "mail.log").read_text().count(f"Subject: [RESOLVED] {NAME}") == 1
    history = watched.mariadb.sql("SELECT state FROM wp_slbp_alerts ORDER BY id", "wordpress").split()
    assert history[-2:] == ["firing", "resolved"], "what happened while there was no table is in it"


def test_the_message_is_signed_and_says_what_the_existing_plugin_says(watched, receiver):
    watch(watched, {NAME: rule(receiver.url, condition="greater_than", threshold=-1, message="%s connections, 100% of {threshold}")})

    assert told(receiver, watched, 1) == [(NAME, "firing")]

    body = receiver.bodies[0]
    assert body["version"] == "4" and body["alerts"][0]["labels"]["alertname"] == NAME
    assert body["metric"] == "database.connections" and body["threshold"] == -1
    assert body["message"] == f"{body['current_value']:.0f} connections, 100% of -1"
    assert re.fullmatch(r"sha256=[0-9a-f]{64}", receiver.headers[0]["x-slbp-signature"])


def test_secrets_are_for_php_s_user_alone(watched, receiver):
    watch(watched, {NAME: rule(receiver.url)})

    for path in secrets(watched).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    admin = Visitor(watched, "198.51.100.8").log_in(watched.wordpress.user, watched.wordpress.password)
    for page in (admin.api("GET", "/alerts/config").text, admin.api("GET", "/alerts").text, admin.get(PAGE).text):
        assert NAME in page and "secret-path" not in page


@pytest.fixture
def slow_receiver():
    with Receiver(delay=0.5) as receiver:
        yield receiver


def test_workers_killed_at_random_neither_lose_nor_repeat_a_message(watched, slow_receiver):
    """Many visitors at once while workers die, some in the middle of a message."""
    receiver = slow_receiver
    watch(watched, {NAME: rule(receiver.url, condition="greater_than", threshold=-1)})
    until = time.monotonic() + 4
    while time.monotonic() < until:
        load = subprocess.Popen(["wrk", "-t1", "-c4", "-d1s", watched.url + "/"], stdout=subprocess.DEVNULL)
        for worker in watched.fpm.workers()[:2]:
            time.sleep(0.3)
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                pass
        load.wait(timeout=30)

    # A worker that died while it sent delays the message by a minute.
    assert told(receiver, watched, 1, timeout=120) == [(NAME, "firing")] * len(receiver.bodies)
    assert len({headers["x-slbp-delivery"] for headers in receiver.headers}) == 1, "a repeated message would have the same id"
    assert len(receiver.bodies) <= 2


def test_the_specification_s_configuration_is_stored_shown_and_refused_by_field(watched):
    admin = Visitor(watched, "198.51.100.8").log_in(watched.wordpress.user, watched.wordpress.password)
    config = {
        "high_memory_usage": {
            "enabled": True,
            "metric": "system.memory_usage",
            "condition": "greater_than",
            "threshold": 536870912,
            "severity": "warning",
            "email_recipients": ["admin@example.com"],
            "webhook_url": "https://hooks.slack.com/services/T0/B0/x",
        }
    }
    stored = admin.api("POST", "/alerts/config", json={"alerts": config})
    assert stored.status_code == 200, stored.text
    shown = stored.json()["alerts"]
    assert shown["high_memory_usage"]["webhook_url"] == "https://hooks.slack.com/…"
    assert admin.api("POST", "/alerts/config", json={"alerts": shown}).status_code == 200
    option = watched.php("echo json_encode(get_option('slbp_alert_config'), JSON_UNESCAPED_SLASHES);")
    assert "https://hooks.slack.com/services/T0/B0/x" in option, "what comes back as it was shown stays what it is"

    config["high_memory_usage"]["threshold"] = "much"
    refused = admin.api("POST", "/alerts/config", json={"alerts": config})
    assert refused.status_code == 400
    assert "high_memory_usage" in refused.json()["message"] and "threshold: expected a number" in refused.json()["message"]


def test_who_may_not_gets_nothing(watched):
    stranger = Visitor(watched, "198.51.100.7")
    assert stranger.api("GET", "/alerts").status_code in (401, 403)
    assert stranger.api("GET", "/alerts/config").status_code in (401, 403)
    assert stranger.api("POST", "/alerts/config", json={}).status_code in (401, 403)


def test_the_page_shows_silences_and_tests_without_a_script(watched, receiver):
    watch(watched, {NAME: rule(receiver.url)})
    admin = Visitor(watched, "198.51.100.8").log_in(watched.wordpress.user, watched.wordpress.password)

    def press(**fields: str) -> str:
        nonce = re.search(r'name="_wpnonce" value="([0-9a-f]+)"', admin.get(PAGE).text).group(1)
        return admin.post("/wp-admin/admin-post.php", data={"action": "slbp_alerts", "_wpnonce": nonce, **fields}, allow_redirects=True).text

    page = press(button="test", channel="webhook", target=receiver.url)
    assert "took the test message" in page and receiver.bodies[0]["alert_name"] == "slbp_test_notification"
    page = press(button="test", channel="webhook", target="nonsense")
    assert "$target: expected" in page
    page = press(button="silence", alert=NAME, seconds="3600", comment="<b>patching</b>")
    assert f"{NAME} is silenced until" in page and "<b>patching" not in page
    assert "No alert is firing" in press(button="look")


def test_site_health_and_the_command_line_see_the_same(watched, receiver):
    watch(watched, {NAME: rule(receiver.url, condition="greater_than", threshold=-1)})
    told(receiver, watched, 1)

    assert watched.php("echo slbp_test_alerts()['status'];") == "critical"
    assert NAME in watched.php("echo json_encode(slbp_monitoring_manager()->check_alerts()['states']);")
    assert len(receiver.bodies) == 1, "the command line with a segment of its own tells nobody again"


def test_the_command_line_lists_silences_tells_and_tests(watched, receiver):
    watch(watched, {NAME: rule(receiver.url)})

    def wp(*words: object) -> str:
        return watched.configuration.run(watched.account, WP_CLI, watched.wordpress.root, *words).stdout

    assert f"{NAME}\tinactive\tcritical\tdatabase.connections equals 0" in wp("alerts", "list")
    assert f"{NAME}\tinactive" in wp("monitor", "tick")
    assert wp("alerts", "silence", NAME, "3600", "--comment=patching") == "Success: Saved.\n"
    admin = Visitor(watched, "198.51.100.8").log_in(watched.wordpress.user, watched.wordpress.password)
    assert [silence["comment"] for silence in admin.api("GET", "/alerts").json()["silences"]] == ["patching"]
    assert wp("alerts", "test", "webhook", receiver.url).startswith("Success: ")
    assert [body["alert_name"] for body in receiver.bodies] == ["slbp_test_notification"]
