"""`make serve`: the site in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Optional

from . import demo, ports, process
from .stack import BUILD, Stack

ROUTES = ("health", "ready", "live", "rate-limit/status", "rate-limit/blacklist", "queue/stats")

# All of REST is limited, so that there is something to see; one public route tightly enough to see it at once.
DEMO_ROUTE = "/wp/v2/posts"
DEMO_OPTIONS = {
    "slbp_rate_limit_all_rest": True,
    "slbp_rate_limits": {DEMO_ROUTE: {"limit": 20, "window": 60}, "general": {"limit": 1000, "window": 3600}},
}


def main() -> int:
    options = _arguments()
    if ports.is_taken(options.port):
        print(f"Port {options.port} is taken. Choose another one: make serve PORT={ports.free_port()}", file=sys.stderr)
        return 1

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())

    try:
        with Stack(options.data, options.port, options.extension, options.workers, options=DEMO_OPTIONS, object_cache=True, ini=demo.INI) as stack:
            workers = demo.workers(stack) if options.extension else None
            if workers:
                demo.install(stack)
                workers.start()
            print(_welcome(stack, workers), flush=True)
            try:
                while not stopped.wait(1):
                    _require_running(stack)
            finally:
                print("\nStopping", flush=True)
                if workers:
                    workers.stop()
    except process.StartError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--data", type=Path, default=BUILD / "serve")
    parser.add_argument("--extension", type=Path, help="the built slbp.so; without it WordPress runs alone")
    parser.add_argument("--workers", type=int, default=4)
    return parser.parse_args()


def _require_running(stack: Stack) -> None:
    for service in stack.services:
        if not service.running:
            raise process.StartError(f"{service.name} ended by itself\n{service.tail()}")


def _welcome(stack: Stack, workers: Optional[process.Service]) -> str:
    site = stack.wordpress
    api = f"{stack.url}/wp-json/skylearn-billing-pro/v1"
    return "\n".join(
        [
            "",
            f"  Site      {stack.url}/",
            f"  Admin     {stack.url}/wp-admin/   user {site.user}   password {site.password}",
            f"  Cache     {stack.url}/wp-admin/tools.php?page=slbp-object-cache",
            *(_billing(stack, workers) if workers else ()),
            *(f"  REST      {api}/{path}" for path in ROUTES),
            f"  Limited   {stack.url}/wp-json{DEMO_ROUTE}   20 a minute; to see it:",
            f"            for i in $(seq 25); do curl -so /dev/null -w '%{{http_code}} ' {stack.url}/wp-json{DEMO_ROUTE}; done",
            f"  Logs      {stack.state}/log/",
            "",
            "Ctrl-C stops everything.",
        ]
    )


def _billing(stack: Stack, workers: process.Service) -> tuple[str, ...]:
    return (
        f"  Billing   {stack.url}/wp-admin/tools.php?page=slbp-demo   a run of 1,000; to kill a worker in it:",
        f"            {demo.kill_one(workers)}",
        f"  Tasks     {stack.url}/wp-admin/tools.php?page=slbp-queue",
    )


if __name__ == "__main__":
    sys.exit(main())
