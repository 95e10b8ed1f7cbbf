"""The real site: one for the whole run, put back to its first state before each test."""

from __future__ import annotations

import shutil

import pytest

from tests.support import ports
from tests.support.extension import EXTENSION
from tests.support.stack import BUILD, Stack
from tests.wordpress import options
from tests.wordpress.visitor import MONITORING_TOKEN, Visitor

@pytest.fixture(scope="session")
def running_site():
    state = BUILD / "tests" / "wordpress"
    shutil.rmtree(state, ignore_errors=True)
    with Stack(state, ports.free_port(), EXTENSION, workers=4, ini={"slbp.monitoring_token": MONITORING_TOKEN}) as stack:
        stack.php("wp_insert_user(['user_login'=>'reader','user_pass'=>'reader-pass','user_email'=>'r@example.com','role'=>'subscriber']);")
        yield stack


@pytest.fixture
def site(running_site):
    """No options of ours, no counts, and the proxy in front (nginx on loopback) is trusted."""
    running_site.mariadb.sql("DELETE FROM wp_options WHERE option_name LIKE 'slbp\\_%'", "wordpress")
    options.store(running_site, "slbp_trusted_proxies", ["127.0.0.1"])
    running_site.fpm.restart()
    yield running_site
    assert all(service.running for service in running_site.services)


@pytest.fixture
def set_option(site):
    return lambda name, value: options.store(site, name, value)


@pytest.fixture
def visitor(site):
    return Visitor(site, "198.51.100.7")


@pytest.fixture
def admin(site):
    return Visitor(site, "198.51.100.8").log_in(site.wordpress.user, site.wordpress.password)


@pytest.fixture
def subscriber(site):
    return Visitor(site, "198.51.100.9").log_in("reader", "reader-pass")
