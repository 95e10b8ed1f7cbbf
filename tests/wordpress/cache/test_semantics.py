"""What core's cache guarantees, ours does too: the same scenarios, run on both, observe the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).with_name("scenarios.php")


def observe(site, cache: str, *multisite: str) -> dict[str, str]:
    stack = site.stack
    load = stack.wordpress.root / "wp-load.php"
    return json.loads(stack.configuration.run(stack.account, SCENARIOS, load, cache, *multisite).stdout)


@pytest.mark.parametrize("multisite", [(), ("multisite",)], ids=["one site", "a network"])
def test_scenarios(cached, multisite):
    core = observe(cached, "core", *multisite)
    ours = observe(cached, "dropin", *multisite)

    assert len(core) > 30
    for name in core:
        assert ours[name] == core[name], name


def test_two_salts_are_two_caches(shared_with_cli):
    site = shared_with_cli
    site.cli("wp_cache_set('k', 'mine', 'g');")
    assert site.cli("echo wp_cache_get('k', 'g');") == "mine"
    site.stack.wordpress.write_config(site.stack.mariadb, {"WP_CACHE_KEY_SALT": "another"})
    assert site.cli("var_dump(wp_cache_get('k', 'g'));").strip() == "bool(false)"
