"""Runs `cargo test` to its end, then each test that failed once more, alone.

The tests start dozens of real servers and kill them. On a starved machine one of these now and then
misses its time limit; alone it has the machine to itself, and what is a fault fails again. Tests that
passed alone are named at the end: a test that needs a quiet machine is to be mended.

Usage: python3 -m tests.support.cargo_test --retries N [arguments of cargo test]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from typing import NamedTuple

RUNNING = re.compile(r"^\s+Running .*\((\S+)\)$")
FAILED_TEST = re.compile(r"^test (\S+) \.\.\. FAILED$")
FAILED_TARGET = re.compile(r"^error: .*test failed, to rerun pass `|^error: doctest failed, to rerun pass `")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Failure(NamedTuple):
    binary: str
    test: str


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--retries", type=int, required=True, help="how often a failed test is run again")
    options, arguments = parser.parse_known_args()
    status, failures, failed_targets = _run(["cargo", "test", "--no-fail-fast", *arguments])
    # A crashed binary, a doc test or a compiler error names no test that could be run alone.
    if status == 0 or len({failure.binary for failure in failures}) != failed_targets:
        return status
    broken = [failure for failure in failures if not _passes_alone(failure, options.retries)]
    for failure in failures:
        print(f"{'FAILED AGAIN' if failure in broken else 'passed alone'}: {failure.test}", flush=True)
    return status if broken else 0


def _run(command: list[str]) -> tuple[int, list[Failure], int]:
    """The exit status, each test that failed, and how many test targets failed."""
    print(" ".join(command), flush=True)
    binary, failures, targets = "", [], 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    for line in process.stdout:
        print(line, end="", flush=True)
        plain = COLOURS.sub("", line.rstrip())
        if running := RUNNING.match(plain):
            binary = running[1]
        elif failed := FAILED_TEST.match(plain):
            failures.append(Failure(binary, failed[1]))
        targets += bool(FAILED_TARGET.match(plain))
    return process.wait(), failures, targets


def _passes_alone(failure: Failure, retries: int) -> bool:
    command = [failure.binary, failure.test, "--exact"]
    return any(_run_alone(command) for _ in range(retries))


def _run_alone(command: list[str]) -> bool:
    print(" ".join(command), flush=True)
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
