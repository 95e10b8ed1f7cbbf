"""Child processes that never outlive the launcher and are only ever stopped by their own pid."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from .account import Account

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class StartError(RuntimeError):
    """A service did not come up; the message ends with the last lines of its log."""


def _die_with_parent() -> None:
    """Runs in the child: if the launcher is killed, even by SIGKILL, the kernel ends the service too."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until(condition: Callable[[], bool], timeout: float, step: float = 0.02) -> bool:
    """Whether `condition` became true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(step)
    return True


class Service:
    """One server process: started with a log, ready when its probe says so, stopped by pid."""

    def __init__(
        self,
        name: str,
        argv: Sequence[object],
        account: Account,
        log: Path,
        ready: Callable[[], bool],
        env: Optional[Mapping[str, str]] = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.account = account
        self.log = log
        self.ready = ready
        self.env = {**os.environ, **(env or {})}
        self.stop_signal = stop_signal
        self.process: Optional[subprocess.Popen] = None

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} is not running"
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, timeout: float = 60) -> None:
        with self.log.open("ab") as log:
            self.account.claim(log.fileno())
            self.process = subprocess.Popen(
                self.argv,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own session: a Ctrl-C in the terminal reaches the launcher alone, which then stops things in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **self.account.switch(),
            )
        came_up = wait_until(lambda: not self.running or self.ready(), timeout)
        if not came_up or not self.running:
            self.stop()
            raise StartError(f"{self.name} did not start ({' '.join(self.argv)})\n{self.tail()}")

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def stop(self, timeout: float = 20) -> None:
        """Asks it to stop, and insists when it does not."""
        if not self.running:
            return
        self.signal(self.stop_signal)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def children(pid: int) -> list[int]:
    """Pids of the direct children of `pid`: the workers of a php-fpm master, for one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return found


def run(argv: Sequence[object], account: Account, **kwargs) -> subprocess.CompletedProcess:
    """Runs a command as `account` to its end; a failure raises StartError with what it printed."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, **account.switch(), **kwargs)
    if done.returncode != 0:
        raise StartError(f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done
