"""The drop-in comes, goes and is brought up to date; nobody else's file is touched."""

from __future__ import annotations

import re

import pytest

from tests.wordpress.visitor import Visitor

FOREIGN = "<?php // Object cache of another plugin.\n"
PAGE = "/wp-admin/tools.php?page=slbp-object-cache"
ADMIN_FUNCTIONS = "require_once ABSPATH . 'wp-admin/includes/plugin.php';"


@pytest.fixture
def foreign(cached):
    cached.dropin.write_text(FOREIGN)
    return cached


@pytest.fixture
def unwritable(cached):
    """wp-content as some hosts give it: the web server may read it and no more."""
    if cached.stack.account.is_root:
        pytest.skip("root may write everywhere")
    cached.dropin.unlink()
    cached.stack.wordpress.content.chmod(0o555)
    yield cached
    cached.stack.wordpress.content.chmod(0o755)


def press(admin: Visitor, button: str, nonce: str | None = None):
    if nonce is None:
        nonce = re.search(r'name="_wpnonce" value="(\w+)"', admin.get(PAGE).text)[1]
    form = {"action": "slbp_object_cache", "button": button, "_wpnonce": nonce}
    return admin.post("/wp-admin/admin-post.php", data=form)


def test_buttons_switch_it_off_and_on(cached):
    admin = cached.admin()
    assert "The object cache is on." in admin.get(PAGE).text

    assert press(admin, "disable").status_code == 302
    assert not cached.dropin.exists()
    assert "The object cache is off." in admin.get(PAGE).text

    press(admin, "enable")
    assert "The object cache is on." in admin.get(PAGE).text
    assert cached.result("return wp_using_ext_object_cache();") is True


def test_a_button_empties_it(cached):
    cached.result("wp_cache_set('k', 1, 'g');")
    press(cached.admin(), "flush")

    assert cached.result("return wp_cache_get('k', 'g');") is False


def test_without_the_nonce_or_the_right_no_button_works(cached):
    cached.cli("wp_insert_user(['user_login'=>'reader','user_pass'=>'reader-pass','user_email'=>'r@example.com','role'=>'subscriber']);")
    reader = cached.visitor().log_in("reader", "reader-pass")
    own_nonce = cached.cli("wp_set_current_user(get_user_by('login', 'reader')->ID); echo wp_create_nonce('slbp_object_cache');")

    assert press(cached.admin(), "disable", nonce="0000000000").status_code == 403
    assert press(cached.visitor(), "disable", nonce="0000000000").status_code in (302, 400)
    assert reader.get(PAGE).status_code == 403
    assert press(reader, "disable", nonce=own_nonce).status_code == 403
    assert cached.dropin.exists()


def test_what_was_cached_before_it_was_off_does_not_come_back(cached):
    cached.result("return get_option('blogname');")
    assert cached.cli("echo slbp_disable_object_cache();") == ""
    cached.result("return update_option('blogname', 'changed without a cache');")
    assert cached.cli("echo slbp_enable_object_cache();") == ""

    assert cached.result("return get_option('blogname');") == "changed without a cache"


def test_a_copy_made_by_hand_does_not_bring_it_back_either(cached):
    cached.result("return get_option('blogname');")
    kept = cached.dropin.read_bytes()
    cached.dropin.unlink()
    cached.result("return update_option('blogname', 'changed without a cache');")
    cached.dropin.write_bytes(kept)

    assert cached.result("return get_option('blogname');") == "changed without a cache"


def test_a_foreign_dropin_is_neither_overwritten_nor_removed(foreign):
    assert foreign.cli("echo slbp_enable_object_cache();") == "foreign"
    assert foreign.cli("echo slbp_disable_object_cache();") == "foreign"
    for change in ("deactivate_plugins", "activate_plugin"):
        foreign.cli(f"{ADMIN_FUNCTIONS} {change}('slbp/slbp.php');")

    assert foreign.dropin.read_text() == FOREIGN
    page = foreign.admin().get(PAGE).text
    assert "belongs to another plugin" in page and 'name="button"' not in page


def test_an_outdated_copy_is_brought_up_to_date_by_the_next_visit_to_the_dashboard(cached):
    current = cached.dropin.read_text()
    cached.dropin.write_text(current.replace("Version: 0.1.0", "Version: 0.0.9"))
    assert cached.cli("echo slbp_dropin_state('object-cache.php');") == "outdated"

    cached.admin().get("/wp-admin/")
    assert cached.dropin.read_text() == current


def test_a_folder_that_cannot_be_written_is_a_message(unwritable):
    admin = unwritable.admin()
    failed = press(admin, "enable")
    page = admin.get(failed.headers["Location"].removeprefix(unwritable.stack.url)).text

    assert "cannot be written" in page and str(unwritable.stack.wordpress.content) in page
    assert [file.name for file in unwritable.stack.wordpress.content.glob("object-cache*")] == []


def test_deactivation_removes_it(cached):
    cached.cli(f"{ADMIN_FUNCTIONS} deactivate_plugins('slbp/slbp.php');")

    assert not cached.dropin.exists()
    assert cached.visitor().get("/").status_code == 200


@pytest.mark.parametrize(
    "way",
    ["deactivate_plugins('slbp/slbp.php');", "define('WP_UNINSTALL_PLUGIN', 'slbp/slbp.php'); include WP_PLUGIN_DIR . '/slbp/uninstall.php';"],
    ids=["deactivated", "removed"],
)
def test_it_goes_without_the_extension_too(cached, way):
    cached.configure(extension=None)
    cached.cli(ADMIN_FUNCTIONS + way)

    assert not cached.dropin.exists()
    assert not (cached.stack.wordpress.content / "db-error.php").exists()


def test_site_health_knows(cached):
    run = "require_once ABSPATH . 'wp-admin/includes/admin.php'; wp_set_current_user(1); $test = slbp_test_object_cache(); echo $test['status'], ': ', $test['description'];"
    alone = cached.cli(run)
    cached.configure(ini={"slbp.shm_path": cached.segment})
    shared = cached.cli(run)
    information = cached.cli("echo json_encode(apply_filters('debug_information', []));")

    assert alone.startswith("recommended") and "slbp.shm_path" in alone
    assert shared.startswith("good") and "The object cache is on." in shared
    assert "slbp-object-cache" in information and "shm" in information
