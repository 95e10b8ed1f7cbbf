"""A Prometheus on a loopback port that scrapes what a test tells it to."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import requests

from . import process
from .account import Account
from .ports import LOOPBACK


class Prometheus(process.Service):
    def __init__(self, port: int, folder: Path, configuration: str, log: Path, account: Account):
        self.url = f"http://{LOOPBACK}:{port}"
        account.own(folder)
        config = folder / "prometheus.yml"
        config.write_text(configuration)
        words = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ]
        super().__init__("Prometheus", words, account, log, ready=self._is_ready)

    def targets(self) -> list[dict]:
        return requests.get(f"{self.url}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]

    def value(self, query: str) -> Optional[float]:
        """The first result's value; None without one."""
        found = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=5).json()["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False
