"""A private Redis on a loopback port and a socket."""

from __future__ import annotations

from pathlib import Path

from . import process
from .account import Account
from .ports import LOOPBACK, accepts


class Redis(process.Service):
    def __init__(self, port: int, folder: Path, log: Path, account: Account, settings: dict[str, object] | None = None):
        self.port = port
        self.socket = account.own(folder) / "redis.sock"
        options = {
            "bind": LOOPBACK,
            "port": port,
            "unixsocket": self.socket,
            "dir": folder,
            "save": "",
            "appendonly": "no",
            **(settings or {}),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        super().__init__("Redis", ["redis-server", *words], account, log, ready=lambda: accepts((LOOPBACK, port)))
