"""Tools > Object Cache in Chromium."""

from __future__ import annotations

from tests.wordpress.browser import chromium

PAGE = "/wp-admin/tools.php?page=slbp-object-cache"


def test_an_operator_switches_the_cache_off_and_on_again(cached):
    dropin = cached.stack.wordpress.content / "object-cache.php"
    with chromium(cached.stack) as browser:
        browser.log_in()
        browser.open(PAGE)
        assert any("hits" in text for text in browser.texts("td")), "the counts are there"
        browser.press("button[value='flush']", then="&failure")
        browser.press("button[value='disable']", then="&failure")
        browser.find("button[value='enable']")
        assert not dropin.exists()

        browser.press("button[value='enable']", then="&failure")
        browser.find("button[value='disable']")
        assert dropin.exists()
