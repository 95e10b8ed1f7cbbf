"""The whole site as one object: MariaDB, php-fpm with the extension, nginx, WordPress with the plugin.

`Stack` is a context manager: entering starts everything, leaving stops it in the reverse order. Its
data lives below one folder, which a later start with the same folder finds again. A run that was
killed leaves that folder locked by nobody and its services dying (see `process`); the next start
waits for them, and ends them by the pids that were written down if they do not go.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Mapping, Optional

from . import account as accounts
from . import php, ports, process
from .mariadb import MariaDB
from .nginx import Nginx
from .wordpress import WordPress

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "target"
PLUGIN = ROOT / "wordpress-plugin"


class Stack:
    def __init__(
        self,
        state: Path,
        port: int,
        extension: Optional[Path] = None,
        workers: int = 4,
        ini: Optional[Mapping[str, object]] = None,
        constants: Optional[Mapping[str, object]] = None,
        options: Optional[Mapping[str, object]] = None,
        pool: Optional[Mapping[str, object]] = None,
        object_cache: bool = False,
    ):
        state.mkdir(parents=True, exist_ok=True)
        self.state = state.resolve()
        self.url = f"http://{ports.LOOPBACK}:{port}"
        self.account = accounts.choose(self.state, PLUGIN / "slbp.php", *([extension] if extension else []))
        self.constants = constants or {}
        self.options = options or {}
        self.object_cache = object_cache
        self._lock = None

        run, log, conf, tmp = (self.state / name for name in ("run", "log", "conf", "tmp"))
        self.sockets = ports.socket_folder(run)
        for folder in (run, log, tmp, self.sockets):
            self.account.own(folder)
        conf.mkdir(exist_ok=True)

        self.configuration = php.Configuration(conf, log, extension, ini)
        self.mariadb = MariaDB(self.state / "mariadb", self.sockets / "mariadb.sock", log / "mariadb.log", self.account)
        self.fpm = php.PhpFpm(
            conf, self.sockets / "php-fpm.sock", log / "php-fpm.log", self.account, self.configuration, workers, pool
        )
        self.wordpress = WordPress(self.state, self.url, PLUGIN, self.account)
        self.nginx = Nginx(port, self.wordpress.root, self.fpm.socket, conf, run, tmp, log, self.account)

    @property
    def services(self) -> tuple[process.Service, ...]:
        """In the order in which they start."""
        return (self.mariadb, self.fpm, self.nginx)

    def __enter__(self) -> "Stack":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        self._take_lock()
        self._end_leftovers()
        self.mariadb.start()
        self.wordpress.install(BUILD, self.mariadb, self.configuration, self.constants, self.options, self.object_cache)
        self.fpm.start()
        self.nginx.start()
        self._write_down_pids()

    def stop(self) -> None:
        for service in reversed(self.services):
            service.stop()
        if self._lock is None:
            return
        self._pids_file.unlink(missing_ok=True)
        if self.sockets.parent != self.state:
            shutil.rmtree(self.sockets, ignore_errors=True)
        self._lock.close()
        self._lock = None

    def php(self, code: str) -> str:
        """Runs PHP code inside the site from the command line and answers its output."""
        return self.wordpress.evaluate(code, self.configuration)

    @property
    def _pids_file(self) -> Path:
        return self.state / "run" / "pids.json"

    def _take_lock(self) -> None:
        """One launcher per data folder; the kernel gives the lock back however the launcher ends."""
        self._lock = (self.state / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise process.StartError(f"{self.state} is in use by another run; stop it, or choose another folder with DATA=")

    def _write_down_pids(self) -> None:
        started = {service.pid: _start_time(service.pid) for service in self.services}
        self._pids_file.write_text(json.dumps(started))

    def _end_leftovers(self) -> None:
        """Services of a launcher that was killed: they end by themselves, or are made to."""
        if not self._pids_file.exists():
            return
        recorded = {int(pid): started for pid, started in json.loads(self._pids_file.read_text()).items()}

        def alive() -> list[int]:
            return [pid for pid, started in recorded.items() if _start_time(pid) == started]

        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in alive():
                os.kill(pid, number)
            if process.wait_until(lambda: not alive(), timeout=15):
                break
        self._pids_file.unlink()


def _start_time(pid: int) -> Optional[int]:
    """When the process began, in clock ticks since boot: tells a reused pid from the one written down."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
