"""The plugin's own manners: without the extension, and its drop-in."""

from __future__ import annotations

import pytest

from tests.wordpress.visitor import Visitor

ADMIN_FUNCTIONS = "require_once ABSPATH . 'wp-admin/includes/plugin.php';"


@pytest.fixture
def without_extension(site):
    """The same site under a PHP that does not load slbp.so."""
    line = site.configuration.scan / "60-slbp.ini"
    kept = line.read_text()
    line.write_text("")
    site.fpm.restart()
    yield site
    line.write_text(kept)
    site.fpm.restart()


def test_without_the_extension_the_site_goes_on_and_administrators_are_told(without_extension):
    site = without_extension
    admin = Visitor(site).log_in(site.wordpress.user, site.wordpress.password)

    assert Visitor(site).get("/").status_code == 200
    assert "extension=slbp.so" in admin.get("/wp-admin/").text
    assert admin.get("/wp-json/skylearn-billing-pro/v1/live").status_code == 404


def test_the_dropin_comes_and_goes_with_the_plugin(site):
    dropin = site.wordpress.content / "db-error.php"
    assert "SLBP drop-in" in dropin.read_text()

    site.php(ADMIN_FUNCTIONS + "deactivate_plugins('slbp/slbp.php');")
    assert not dropin.exists()

    site.php(ADMIN_FUNCTIONS + "activate_plugin('slbp/slbp.php');")
    assert dropin.exists()


def test_a_dropin_of_the_site_is_left_alone(site):
    dropin = site.wordpress.content / "db-error.php"
    ours = dropin.read_text()
    dropin.write_text("<?php // the site's own\n")
    try:
        for change in ("deactivate_plugins", "activate_plugin"):
            site.php(f"{ADMIN_FUNCTIONS} {change}('slbp/slbp.php');")
        assert "the site's own" in dropin.read_text()
    finally:
        dropin.write_text(ours)
