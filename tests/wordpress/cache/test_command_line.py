"""Who works on the command line is obeyed by php-fpm, whether or not the two share memory."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(params=["each has its own memory", "one segment for both"])
def site(request, cached):
    if request.param == "one segment for both":
        cached.configure(ini={"slbp.shm_path": cached.segment})
    return cached


def test_an_option_changed_there_is_seen_here(site):
    site.in_every_worker("return get_option('blogname');")
    site.cli("update_option('blogname', 'from the command line');")

    assert set(site.in_every_worker("return get_option('blogname');")) == {"from the command line"}


def test_every_change_counts_however_fast_they_follow(site):
    """The time of a file has seconds; two changes within one must both be seen."""
    for number in range(4):
        site.cli(f"update_option('blogname', 'number {number}');")
        assert site.result("return get_option('blogname');") == f"number {number}"


def test_a_flush_there_empties_here(site):
    site.result("wp_cache_set('k', 1, 'g');")
    site.cli("wp_cache_flush();")

    assert site.result("return wp_cache_get('k', 'g');") is False


def test_what_php_fpm_stored_is_there_too(shared_with_cli):
    shared_with_cli.result("wp_cache_set('k', 'from php-fpm', 'g');")

    assert shared_with_cli.cli("echo wp_cache_get('k', 'g');") == "from php-fpm"


def test_a_change_during_a_long_script_is_seen_before_it_ends(cached):
    cached.result("return get_option('blogname');")
    printed = cached.cli(
        "update_option('blogname', 'half way');"
        f"echo file_get_contents('{cached.stack.url}/wp-json/?_fields=name');"
    )

    assert '"half way"' in printed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_who_may_only_write_the_drop_in_is_obeyed_too(cached):
    dropin = cached.stack.wordpress.content / "object-cache.php"
    before = dropin.stat()
    os.chown(dropin, 0, 0)
    dropin.chmod(0o666)
    os.utime(dropin, (before.st_mtime - 60, before.st_mtime - 60))
    cached.result("return get_option('blogname');")

    cached.cli("update_option('blogname', 'by a guest');")

    assert cached.result("return get_option('blogname');") == "by a guest"
    os.chown(dropin, before.st_uid, before.st_gid)
    dropin.chmod(before.st_mode & 0o777)
