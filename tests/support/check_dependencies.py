"""Holds the licence, ban and source rules of deny.toml over the locked dependency graph.

cargo-deny does this and more, but building it takes longer than the rest of `make lint`; where it is
installed `make lint` runs it as well. What this does not look at is security advisories.

Only what is built for the platforms of deny.toml counts: ext-php-rs' build script names crates for
Windows that never get near the .so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    packages = [package for package in _built_packages(rules["graph"]["targets"]) if package["source"] is not None]
    faults = [fault for package in packages for fault in _faults(package, rules)]
    print("\n".join(faults) or f"{len(packages)} dependencies: licences, bans and sources are in order")
    return 1 if faults else 0


def _built_packages(targets: list[str]) -> list[dict]:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    command += [f"--filter-platform={target}" for target in targets]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)["packages"]


def _faults(package: dict, rules: dict) -> list[str]:
    name = f"{package['name']} {package['version']}"
    faults = []
    clarified = {entry["crate"]: entry["expression"] for entry in rules["licenses"].get("clarify", [])}
    licence = package["license"] or clarified.get(package["name"], "")
    if not satisfies(licence, set(rules["licenses"]["allow"])):
        faults.append(f"{name}: licence '{licence}' is not among those deny.toml allows")
    if package["name"] in {ban["name"] for ban in rules["bans"]["deny"]}:
        faults.append(f"{name}: banned by deny.toml")
    if package["source"].removeprefix("registry+") not in rules["sources"]["allow-registry"]:
        faults.append(f"{name}: comes from {package['source']}")
    return faults


def satisfies(expression: str, allowed: set[str]) -> bool:
    """Whether the SPDX `expression` can be met with `allowed` licences alone: AND binds before OR."""
    tokens = re.findall(r"\(|\)|[^()\s]+", expression.replace("/", " OR "))

    def either() -> bool:
        met = both()
        while tokens[:1] == ["OR"]:
            tokens.pop(0)
            met = both() or met
        return met

    def both() -> bool:
        met = one()
        while tokens[:1] == ["AND"]:
            tokens.pop(0)
            met = one() and met
        return met

    def one() -> bool:
        if not tokens:
            return False
        token = tokens.pop(0)
        if token == "(":
            met = either()
            tokens.pop(0)
            return met
        if tokens[:1] == ["WITH"]:
            token = f"{token} WITH {tokens[1]}"
            del tokens[:2]
        return token in allowed

    return either() and not tokens


if __name__ == "__main__":
    sys.exit(main())
