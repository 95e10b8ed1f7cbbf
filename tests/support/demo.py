"""What `make serve` shows of the queue: a billing run to start from wp-admin, and workers that can be killed."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import process
from .stack import ROOT, Stack

PLUGIN = Path(__file__).parent / "wp" / "demo-billing.php"
SLBP = ROOT / "php" / "bin" / "slbp"

# A killed worker's task is looked at when its lease has ended; nobody wants to watch that for a minute.
INI = {"slbp.queue_lease": 5}


def install(stack: Stack) -> None:
    """Puts the gateway that moves no money into the site; only `make serve` does."""
    plugins = stack.account.own(stack.wordpress.content / "mu-plugins", 0o755)
    shutil.copy(PLUGIN, plugins)


def workers(stack: Stack, count: int = 2) -> process.Service:
    """The supervisor of `count` workers."""
    configuration = stack.configuration
    command = configuration.cli(SLBP, "work", f"--wordpress={stack.wordpress.root}", f"--processes={count}")
    return process.Service("workers", command, stack.account, stack.state / "log" / "workers.log", lambda: True, configuration.env("cli"))


def kill_one(supervisor: process.Service) -> str:
    """The command that kills one of the workers."""
    return f"kill -9 $(pgrep -P {supervisor.pid} | shuf -n 1)"
