"""PHP with the extension: one configuration folder for the command line and for php-fpm.

Debian's own module settings (mysqli, opcache, ...) are read first, ours last; the system's php.ini is
not read at all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Mapping, Optional, Sequence

from . import process
from .account import Account
from .ports import accepts

CLI = os.environ.get("PHP", "php")


@lru_cache(maxsize=None)
def version() -> str:
    """Major and minor version of the PHP in use: "8.2"."""
    code = 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;'
    return subprocess.run([CLI, "-n", "-r", code], capture_output=True, text=True, check=True).stdout


def fpm_binary() -> str:
    name = f"php-fpm{version()}"
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise process.StartError(f"{name} is not installed (the command line's PHP is {version()})")
    return found


class Configuration:
    """A php.ini and a scan folder written below `folder`."""

    def __init__(self, folder: Path, log: Path, extension: Optional[Path] = None, ini: Optional[Mapping[str, object]] = None):
        self.php_ini = folder / "php.ini"
        self.scan = folder / "php.d"
        self.scan.mkdir(parents=True, exist_ok=True)
        self.php_ini.write_text(_ini({"error_log": log / "php.log", "sendmail_path": f"/bin/sh -c 'cat >> {log}/mail.log'", **_DEFAULTS}))
        (self.scan / "60-slbp.ini").write_text(_ini({**({"extension": extension} if extension else {}), **(ini or {})}))

    def env(self, sapi: str) -> dict[str, str]:
        return {"PHP_INI_SCAN_DIR": f"/etc/php/{version()}/{sapi}/conf.d:{self.scan}"}

    def cli(self, *arguments: object) -> list[str]:
        return [CLI, "-c", str(self.php_ini), *(str(word) for word in arguments)]

    def run(self, account: Account, *arguments: object, **kwargs) -> subprocess.CompletedProcess:
        """Runs the command line PHP with this configuration."""
        env = {**os.environ, **self.env("cli"), **kwargs.pop("env", {})}
        return process.run(self.cli(*arguments), account, env=env, **kwargs)


_DEFAULTS = {
    "date.timezone": "UTC",
    "display_errors": "0",
    "error_reporting": "-1",
    "expose_php": "0",
    "log_errors": "1",
    "memory_limit": "256M",
    "opcache.revalidate_freq": "0",
    "upload_max_filesize": "64M",
    "post_max_size": "64M",
}


def _ini(settings: Mapping[str, object]) -> str:
    return "".join(f'{name} = "{value}"\n' for name, value in settings.items())


class PhpFpm(process.Service):
    """A php-fpm master with one static pool on a socket."""

    def __init__(
        self,
        folder: Path,
        socket: Path,
        log: Path,
        account: Account,
        configuration: Configuration,
        workers: int = 4,
        pool: Optional[Mapping[str, object]] = None,
    ):
        self.socket = socket
        config = folder / "php-fpm.conf"
        config.write_text(_fpm_conf(socket, workers, pool or {}))
        flags: Sequence[str] = ["--allow-to-run-as-root"] if account.is_root else []
        super().__init__(
            "php-fpm",
            [fpm_binary(), "--nodaemonize", "--fpm-config", config, "-c", configuration.php_ini, *flags],
            account,
            log,
            ready=lambda: socket.exists() and accepts(socket),
            env=configuration.env("fpm"),
        )

    def start(self, timeout: float = 60) -> None:
        # A killed master leaves its socket behind, which would look ready before the new one listens.
        self.socket.unlink(missing_ok=True)
        super().start(timeout)

    def workers(self) -> list[int]:
        return process.children(self.pid)


def _fpm_conf(socket: Path, workers: int, pool: Mapping[str, object]) -> str:
    settings = {
        "listen": socket,
        "listen.backlog": 511,
        "pm": "static",
        "pm.max_children": workers,
        "catch_workers_output": "yes",
        "clear_env": "no",
        **pool,
    }
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    return f"[global]\nerror_log = /dev/stderr\nlog_limit = 4096\n\n[site]\n{lines}"
