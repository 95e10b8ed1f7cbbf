"""`wp slbp cache`, run through a stand-in for WP-CLI (wp_cli_double.php): what the commands do, not how WP-CLI parses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.process import StartError

DOUBLE = Path(__file__).parents[1] / "wp_cli_double.php"


def wp(site, *words: str) -> str:
    stack = site.stack
    return stack.configuration.run(stack.account, DOUBLE, stack.wordpress.root, "cache", *words).stdout


def test_status_says_what_is_so(cached):
    alone = wp(cached, "status")
    cached.configure(ini={"slbp.shm_path": cached.segment})
    shared = wp(cached, "status")

    assert "The object cache is on." in alone and "Drop-in: current" in alone and "Backend: shm" in alone
    assert "Shared with php-fpm: no" in alone and "Shared with php-fpm: yes" in shared


def test_it_is_switched_off_and_on(cached):
    assert wp(cached, "disable") == "Success: The object cache is off.\n"
    assert not cached.dropin.exists() and "The object cache is off." in wp(cached, "status")
    assert wp(cached, "enable") == "Success: The object cache is on.\n"
    assert cached.dropin.exists()


def test_a_failure_is_an_error(cached):
    cached.dropin.write_text("<?php // another plugin's\n")

    with pytest.raises(StartError, match="Error: .*belongs to another plugin"):
        wp(cached, "enable")


@pytest.mark.parametrize("words, left", [(("flush",), [False, False]), (("flush-group", "x"), [False, 2])])
def test_flushes_are_obeyed_by_php_fpm(shared_with_cli, words, left):
    site = shared_with_cli
    site.result("wp_cache_set('a', 1, 'x'); wp_cache_set('a', 2, 'y');")
    assert wp(site, *words).startswith("Success")

    assert site.result("return [wp_cache_get('a', 'x'), wp_cache_get('a', 'y')];") == left


def test_a_flush_is_obeyed_without_shared_memory_too(cached):
    cached.result("wp_cache_set('a', 1, 'x');")
    wp(cached, "flush")

    assert cached.result("return wp_cache_get('a', 'x');") is False


def test_statistics_name_the_layers(shared_with_cli):
    shared_with_cli.visitor().get("/")
    stats = dict(line.split(": ", 1) for line in wp(shared_with_cli, "stats").splitlines())

    assert stats["backend"] == "shm" and int(stats["layers.shm.items"]) > 0
