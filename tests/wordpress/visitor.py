"""Whoever asks the site something over HTTP."""

from __future__ import annotations

import re
from typing import Optional

import requests

from tests.support.stack import Stack

API = "/wp-json/skylearn-billing-pro/v1"

# The site's php.ini has it.
MONITORING_TOKEN = "token-of-the-tests-0123456789"


class Visitor:
    """A browser or client with cookies; comes from `address`, as the trusted proxy in front of the site tells it."""

    def __init__(self, site: Stack, address: Optional[str] = None):
        self.site = site
        self.session = requests.Session()
        if address:
            self.session.headers["X-Forwarded-For"] = address
        self.nonce: Optional[str] = None

    def request(self, method: str, path: str, **kwargs) -> requests.Response:
        kwargs.setdefault("timeout", 15)
        kwargs.setdefault("allow_redirects", False)
        return self.session.request(method, self.site.url + path, **kwargs)

    def get(self, path: str, **kwargs) -> requests.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs) -> requests.Response:
        return self.request("POST", path, **kwargs)

    def api(self, method: str, route: str, **kwargs) -> requests.Response:
        """A request to the plugin's namespace, with the nonce when logged in."""
        headers = {"X-WP-Nonce": self.nonce} if self.nonce else {}
        return self.request(method, API + route, headers=headers, **kwargs)

    def api_with(self, route: str, headers: dict[str, str]) -> requests.Response:
        """A GET of the plugin's namespace with these headers."""
        return self.request("GET", API + route, headers=headers)

    def barred(self) -> set[str]:
        """The entries of the blacklist and the running bans."""
        return {row["entry"] for row in self.api("GET", "/rate-limit/blacklist").json()["entries"]}

    def log_in(self, user: str, password: str) -> "Visitor":
        self.session.cookies.set("wordpress_test_cookie", "WP Cookie check")
        answer = self.post("/wp-login.php", data={"log": user, "pwd": password, "testcookie": "1"})
        assert answer.status_code == 302, f"login of {user} failed: {answer.status_code}"
        self.nonce = self.get("/wp-admin/admin-ajax.php?action=rest-nonce").text
        assert re.fullmatch(r"[0-9a-f]{10}", self.nonce), self.nonce
        return self
