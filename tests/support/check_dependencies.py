"""Holds the licence, ban and source rules of deny.toml over the locked dependency graph.

cargo-deny does this and more, but building it takes longer than the rest of `make lint`; where it is
installed `make lint` runs it as well. What this does not look at is security advisories.

Only what is built for the platforms of deny.toml counts, which `cargo tree` knows: ext-php-rs' build script
names crates for Windows, and features of ureq for them, that never get near the .so.
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
    built = {name for target in targets for name in _built_names(target)}
    packages = json.loads(_cargo("metadata", "--format-version", "1", "--all-features"))["packages"]
    return [package for package in packages if f"{package['name']} v{package['version']}" in built]


def _built_names(target: str) -> set[str]:
    """`name vVersion` of everything that takes part in a build or a test for `target`."""
    tree = _cargo("tree", "--all-features", "--target", target, "--prefix", "none", "--format", "{p}")
    return {" ".join(line.split()[:2]) for line in tree.splitlines() if line}


def _cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, check=True, capture_output=True, text=True).stdout


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
