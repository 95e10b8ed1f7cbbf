"""A private MariaDB: own data folder, no network, one socket."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from . import process
from .account import Account
from .ports import accepts

# Surviving a power cut is not what the site or the tests are about, and waiting for the disk is what makes them slow.
SETTINGS = (
    "--skip-networking",
    "--debug-no-sync",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--skip-name-resolve",
)


class MariaDB(process.Service):
    def __init__(self, data: Path, socket: Path, log: Path, account: Account, settings: Sequence[str] = SETTINGS):
        self.data = data
        self.socket = socket
        self.settings = settings
        super().__init__(
            "MariaDB",
            ["mariadbd", "--no-defaults", *self._common(account), f"--socket={socket}", f"--pid-file={socket}.pid"],
            account,
            log,
            ready=self.answers,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def _common(self, account: Account) -> list[str]:
        # Not /tmp: a server that starts deletes the temporary tables it finds there, its neighbours' too.
        return [f"--datadir={self.data}", f"--tmpdir={self._temporary}", f"--user={account.name}", *self.settings]

    @property
    def _temporary(self) -> Path:
        return self.data.with_name(f"{self.data.name}-tmp")

    def answers(self) -> bool:
        return self.socket.exists() and accepts(self.socket)

    def start(self, timeout: float = 60) -> None:
        self.account.own(self._temporary)
        if not (self.data / "mysql").is_dir():
            self.account.own(self.data)
            options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
            install = ["mariadb-install-db", "--no-defaults", *self._common(self.account), *options]
            process.run(install, self.account, env={**self.env, "HOME": str(self.data)})
        super().start(timeout)

    def sql(self, statements: str, database: str = "") -> str:
        """Runs statements as the administrator; answers tab-separated rows without headings."""
        client = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch", "-N"]
        return process.run([*client, *([database] if database else [])], self.account, input=statements).stdout

    def create_database(self, name: str, user: str, password: str) -> None:
        """A database and the one user who owns it; harmless when both are there."""
        self.sql(
            f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4;"
            f"CREATE OR REPLACE USER '{user}'@'localhost' IDENTIFIED BY '{password}';"
            f"GRANT ALL ON `{name}`.* TO '{user}'@'localhost';"
        )
