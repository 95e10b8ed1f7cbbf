"""A php-fpm with the extension and nothing else, asked over FastCGI."""

from __future__ import annotations

import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional
from urllib.parse import urlencode

import pytest

from tests.support import account as accounts
from tests.support import fastcgi, php
from tests.support.extension import EXTENSION

SCRIPT = Path(__file__).parent / "scripts" / "limiter.php"


class Pool:
    """php-fpm's master with its workers, and the limiter behind it."""

    def __init__(self, folder: Path, account: accounts.Account, workers: int, ini: dict, pool: dict):
        self.log = log = account.own(folder / "log")
        self.account = account
        self.configuration = php.Configuration(folder, log, EXTENSION, ini)
        self.fpm = php.PhpFpm(
            folder, account.own(folder / "run") / "fpm.sock", log / "fpm.log", account, self.configuration, workers, pool
        )

    def ask(self, do: str = "check", client: str = "user:1", limit: int = 1000, timeout: float = 10) -> dict:
        """One request; raises fastcgi.Broken when its worker dies and TimeoutError when it hangs."""
        query = urlencode({"do": do, "client": client, "limit": limit})
        response = fastcgi.request(self.fpm.socket, SCRIPT, query, timeout=timeout)
        assert response.status == 200, response.body + response.errors
        return json.loads(response.body)

    def call(self, script: Path, timeout: float = 20, **query) -> dict:
        """One request of another script."""
        response = fastcgi.request(self.fpm.socket, script, urlencode(query), timeout=timeout)
        assert response.status == 200, response.body + response.errors
        return json.loads(response.body)

    def ask_many(self, times: int, threads: int = 8, **what) -> list[dict]:
        with ThreadPoolExecutor(threads) as executor:
            return list(executor.map(lambda _: self.ask(**what), range(times)))

    def used(self, client: str = "user:1", limit: int = 1000) -> int:
        return limit - self.ask("peek", client, limit)["remaining"]

    def complaints(self) -> str:
        """What PHP and php-fpm have logged."""
        return "".join(file.read_text() for file in self.log.iterdir())

    def cli(self, account: Optional[accounts.Account] = None, script: Path = SCRIPT, **query) -> dict:
        """The same call from the command line, with the same settings."""
        return json.loads(self.configuration.run(account or self.account, script, urlencode(query)).stdout)


@pytest.fixture
def start_pool():
    """Starts pools: start_pool(workers=4, ini={...}, pool={...}); all are stopped after the test."""
    started: list[Pool] = []
    folder = Path(tempfile.mkdtemp(prefix="slbp-fpm-"))
    folder.chmod(0o755)

    def start(workers: int = 4, ini: Optional[dict] = None, pool: Optional[dict] = None, account=None) -> Pool:
        account = account or accounts.choose(EXTENSION, SCRIPT)
        place = folder / str(len(started))
        place.mkdir()
        made = Pool(place, account, workers, ini or {}, pool or {})
        made.fpm.start()
        started.append(made)
        return made

    yield start
    for pool in started:
        pool.fpm.stop()
    shutil.rmtree(folder)
