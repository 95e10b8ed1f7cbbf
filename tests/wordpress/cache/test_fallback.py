"""Where the native cache cannot be had, WordPress' own is used, and only administrators are told."""

from __future__ import annotations

import pytest


def seen(site) -> dict:
    return site.result(
        "wp_cache_set('k', 'v', 'g');"
        "return ['external' => wp_using_ext_object_cache(), 'value' => wp_cache_get('k', 'g'), 'option' => get_option('blogname'),"
        " 'core' => (new ReflectionClass('WP_Object_Cache'))->getFileName() === ABSPATH . WPINC . '/class-wp-object-cache.php'];"
    )


@pytest.mark.parametrize(
    "obstacle, told",
    [
        ({"extension": None}, "extension slbp is not loaded"),
        ({"ini": {"slbp.cache_backend": "nonsense"}}, "nonsense"),
        ({"constants": {"SLBP_CACHE_DISABLED": True}}, "SLBP_CACHE_DISABLED"),
        ({"constants": {"WP_REDIS_HOST": "127.0.0.1", "WP_REDIS_PORT": "no port"}}, "no port"),
    ],
    ids=["no extension", "a wrong directive", "switched off", "a wrong constant"],
)
def test_the_site_goes_on_with_its_own_cache(cached, obstacle, told):
    cached.configure(**obstacle)
    visitor, admin = cached.visitor(), cached.admin()

    assert not seen(cached)["external"] and seen(cached)["core"] and seen(cached)["value"] == "v"
    assert visitor.get("/").status_code == 200 and "SLBP" not in visitor.get("/").text
    dashboard = admin.get("/wp-admin/").text
    assert "The SLBP object cache is not in use." in dashboard and told in dashboard
    assert cached.result("set_transient('t', 'in the database', 100); return get_transient('t');") == "in the database"


def test_nothing_stale_waits_for_the_extension_to_come_back(cached):
    cached.result("return get_option('blogname');")
    cached.configure(extension=None)
    cached.result("return update_option('blogname', 'changed meanwhile');")
    cached.configure()

    assert cached.result("return get_option('blogname');") == "changed meanwhile"
