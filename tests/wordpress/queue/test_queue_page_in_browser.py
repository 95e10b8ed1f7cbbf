"""Tools > Background Tasks in Chromium, as an operator uses it."""

from __future__ import annotations

import pytest

from tests.wordpress.browser import chromium

PAGE = "/wp-admin/tools.php?page=slbp-queue"


@pytest.fixture
def browser(site):
    with chromium(site.stack) as browser:
        browser.log_in()
        yield browser


def test_an_operator_finds_a_failed_task_reads_why_and_runs_it_again(site, browser):
    task = site.queue("fails", {"name": "<img src=x onerror=document.title='broken'>"}, ", 5, null, ['max_attempts' => 1]")
    site.queue("greet", {}, ", 10, '2100-01-01'")
    site.work()

    browser.open(PAGE)
    assert len(browser.texts("#slbp-tasks tbody tr")) == 2
    browser.find("a[href*='status=failed']").click()
    row = f"tr[data-task='{task}'][data-status='failed']"
    assert "the handler returned false" in browser.find(row).text
    assert len(browser.texts("#slbp-tasks tbody tr")) == 1
    browser.find(f"{row} summary").click()
    assert "onerror" in browser.find(f"{row} pre").text and browser.driver.title != "broken"

    browser.press(f"{row} button[value='retry']", then="changed=yes")
    assert site.task(task)["status"] == "pending"

    browser.open(PAGE)
    browser.press(f"tr[data-task='{task}'] button[value='cancel']", then="changed=yes")
    assert site.task(task)["status"] == "cancelled"


def test_a_billing_run_shows_how_far_it_is(site, browser):
    site.subscribe(40)
    run = site.queue("billing_run", {})
    site.work()

    browser.open(PAGE + "&task_type=billing_run")
    assert "40 / 40" in browser.find(f"tr[data-task='{run}']").text
    assert site.number("SELECT COUNT(*) FROM gateway") == 40
