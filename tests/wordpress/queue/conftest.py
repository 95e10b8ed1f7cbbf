"""A site with the billing plugin's tables, a gateway that counts, and leases that end soon."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.extension import EXTENSION
from tests.support.stack import BUILD, Stack
from tests.wordpress import options
from tests.wordpress.queue.billing_site import BillingSite
from tests.wordpress.visitor import Visitor

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def running_billing_site():
    state = BUILD / "tests" / "wordpress-queue"
    shutil.rmtree(state, ignore_errors=True)
    with Stack(state, ports.free_port(), EXTENSION, workers=3, ini={"slbp.queue_lease": 2}, constants={"DISABLE_WP_CRON": True}) as stack:
        plugins = stack.account.own(stack.wordpress.content / "mu-plugins", 0o755)
        shutil.copy(HERE / "gateway.php", plugins)
        stack.php("wp_insert_user(['user_login'=>'reader','user_pass'=>'reader-pass','user_email'=>'r@example.com','role'=>'subscriber']);")
        yield BillingSite(stack)


@pytest.fixture
def site(running_billing_site):
    running_billing_site.empty()
    options.store(running_billing_site.stack, "slbp_trusted_proxies", ["127.0.0.1"])
    running_billing_site.stack.fpm.restart()
    yield running_billing_site
    running_billing_site.dismiss_workers()
    assert all(service.running for service in running_billing_site.stack.services)


@pytest.fixture
def visitor(site):
    return Visitor(site.stack, "198.51.100.7")


@pytest.fixture
def admin(site):
    return Visitor(site.stack, "198.51.100.8").log_in(site.stack.wordpress.user, site.stack.wordpress.password)


@pytest.fixture
def subscriber(site):
    return Visitor(site.stack, "198.51.100.9").log_in("reader", "reader-pass")
