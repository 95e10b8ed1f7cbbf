"""A real browser, for what only one can tell: that a page's forms and scripts work together."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import Iterator

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.stack import Stack

SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--window-size=1400,1000")


@contextmanager
def chromium(site: Stack) -> Iterator["Browser"]:
    """Chromium with a profile of its own; it ends, and its driver with it, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="slbp-chromium-") as profile:
        options = webdriver.ChromeOptions()
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        driver.set_page_load_timeout(60)
        driver.implicitly_wait(20)
        try:
            yield Browser(site, driver)
        finally:
            driver.quit()


class Browser:
    def __init__(self, site: Stack, driver: webdriver.Chrome):
        self.site = site
        self.driver = driver

    def open(self, path: str) -> None:
        self.driver.get(self.site.url + path)

    def log_in(self) -> None:
        self.open("/wp-login.php")
        self.find("#user_login").send_keys(self.site.wordpress.user)
        self.find("#user_pass").send_keys(self.site.wordpress.password)
        self.find("#wp-submit").click()
        self.find("#wpadminbar")

    def find(self, selector: str):
        """The first element that `selector` (CSS) names, once it is there."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def press(self, selector: str, then: str) -> None:
        """Presses a button and waits until the address has `then` in it."""
        self.find(selector).click()
        WebDriverWait(self.driver, 60).until(lambda driver: then in driver.current_url)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.driver.find_elements(By.CSS_SELECTOR, selector)]
