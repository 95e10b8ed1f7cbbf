"""The addresses that php-fpm answers before any PHP runs, whatever the site does with every other."""

from __future__ import annotations

import json

import pytest

from tests.support import fastcgi

API = "/wp-json/skylearn-billing-pro/v1"


@pytest.fixture
def site(tmp_path):
    """A front controller that includes a file, and a file that is put before every script."""
    for place in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        place.chmod(0o755)
    (tmp_path / "index.php").write_text("<?php include __DIR__ . '/page.php';")
    (tmp_path / "page.php").write_text("<?php echo 'page';")
    (tmp_path / "before.php").write_text("<?php echo 'before ';")
    (tmp_path / "after.php").write_text("<?php echo ' after';")
    return tmp_path


@pytest.fixture
def ask(site, start_pool):
    def start(**ini):
        pool = start_pool(workers=1, ini=ini)

        def ask(uri: str, **kwargs) -> fastcgi.Response:
            return fastcgi.request(pool.fpm.socket, site / "index.php", uri=uri, **kwargs)

        return ask

    return start


def test_a_probe_runs_nothing_of_the_site_and_leaves_nothing_behind(site, ask):
    around = {"auto_prepend_file": site / "before.php", "auto_append_file": site / "after.php", "expose_php": "1"}
    ask = ask(**around)
    for _ in range(3):
        probe = ask(f"{API}/live")
        assert (probe.status, json.loads(probe.body)["status"]) == (200, "alive")
        assert "X-Powered-By" not in probe.headers and probe.errors == ""
        page = ask("/hello/")
        assert (page.body, "X-Powered-By" in page.headers) == ("before page after", True)


def test_neither_sessions_nor_buffers_nor_a_closed_folder_stand_in_the_way(site, ask):
    ask = ask(**{"session.auto_start": "1", "output_buffering": "4096", "open_basedir": site, "opcache.enable": "1"})

    for _ in range(2):
        assert json.loads(ask(f"{API}/live").body)["status"] == "alive"
        assert ask("/").body == "page"


def test_a_site_that_nobody_knows_yet_answers_by_itself(ask):
    ask = ask()

    for route in ("ready", "health", "health/detailed"):
        assert ask(f"{API}/{route}").body == "page", "the script is WordPress, which knows"


def test_only_reading_is_answered(ask):
    ask = ask()

    assert ask(f"{API}/live", method="POST").body == "page"
    head = ask(f"{API}/live", method="HEAD")
    assert (head.status, head.body) == (200, "")


def test_the_door_can_be_shut_and_another_be_opened(ask):
    assert ask(**{"slbp.probes": "0"})(f"{API}/live").body == "page"

    short = ask(**{"slbp.probe_path": "/-/"})
    assert json.loads(short("/-/live").body)["status"] == "alive"
    assert short("/live").body == "page" and short("/-/other").body == "page"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong-token-of-enough-bytes"}, {"X-Forwarded-For": "10.0.0.1"}])
def test_details_are_never_given_to_strangers(ask, headers):
    ask = ask(**{"slbp.health_token": "a-token-of-enough-bytes", "slbp.health_ips": "10.0.0.0/8"})

    assert ask(f"{API}/health/detailed", headers=headers).body == "page", "WordPress decides"
