"""A private Memcached on a loopback port."""

from __future__ import annotations

from pathlib import Path

from . import process
from .account import Account
from .ports import LOOPBACK, accepts


class Memcached(process.Service):
    def __init__(self, port: int, log: Path, account: Account, megabytes: int = 64):
        self.port = port
        user = ["-u", "root"] if account.is_root else []
        super().__init__(
            "Memcached",
            ["memcached", "-l", LOOPBACK, "-p", port, "-U", 0, "-m", megabytes, *user],
            account,
            log,
            ready=lambda: accepts((LOOPBACK, port)),
        )
