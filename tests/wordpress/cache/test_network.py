"""A multisite: blogs have caches of their own, and share what belongs to the network."""

from __future__ import annotations

import pytest

UPGRADE = "require_once ABSPATH . 'wp-admin/includes/upgrade.php'; require_once ABSPATH . 'wp-admin/includes/network.php';"


@pytest.fixture
def network(cached):
    """The site turned into a network of two blogs, as Tools > Network Setup does."""
    host = cached.stack.url.removeprefix("http://")
    tables = "foreach ($wpdb->tables('ms_global') as $table => $name) { $wpdb->$table = $name; }"
    cached.cli(
        f"{UPGRADE} global $wpdb; {tables} install_network();"
        f"if (!$wpdb->get_var('SELECT COUNT(*) FROM wp_site')) {{ populate_network(1, '{host}', 'a@example.com', 'Network', '/', false); }}"
    )
    cached.configure(
        constants={
            "MULTISITE": True,
            "SUBDOMAIN_INSTALL": False,
            "DOMAIN_CURRENT_SITE": host,
            "PATH_CURRENT_SITE": "/",
            "SITE_ID_CURRENT_SITE": 1,
            "BLOG_ID_CURRENT_SITE": 1,
        }
    )
    cached.result(f"return get_blog_details('second') ? 0 : wpmu_create_blog('{host}', '/second/', 'Second', 1);")
    yield cached
    cached.sql("UPDATE wp_options SET option_value = '/%postname%/' WHERE option_name = 'permalink_structure'")
    cached.sql("DELETE FROM wp_options WHERE option_name = 'rewrite_rules'")


def in_blog(number: int, code: str) -> str:
    return f"switch_to_blog({number}); {code}"


def test_blogs_keep_their_options_and_posts_apart(network):
    for number in (1, 2):
        network.result(in_blog(number, f"update_option('blogname', 'blog {number}'); wp_update_post(['ID' => 1, 'post_title' => 'post of {number}']);"))

    count = "$GLOBALS['wpdb']->num_queries"
    read = f"$before = {count}; return [get_option('blogname'), get_post(1)->post_title, {count} - $before];"
    for number in (1, 2, 1, 2):
        seen = network.result(in_blog(number, read))
        assert seen[:2] == [f"blog {number}", f"post of {number}"]
    assert seen[2] == 0, "both from the cache by now"


def test_what_belongs_to_the_network_is_shared(network):
    network.result(in_blog(1, "update_site_option('shared', 'by all'); set_site_transient('t', 'too', 100); wp_cache_set('k', 1, 'users');"))

    read = "return [get_site_option('shared'), get_site_transient('t'), wp_cache_get('k', 'users')];"
    assert network.result(in_blog(2, read)) == ["by all", "too", 1]


def test_switching_within_a_request_finds_each_blogs_values(network):
    code = (
        "wp_cache_set('k', 'one', 'g'); switch_to_blog(2); $missing = wp_cache_get('k', 'g'); wp_cache_set('k', 'two', 'g');"
        "restore_current_blog(); return [$missing, wp_cache_get('k', 'g')];"
    )
    assert network.result(code) == [False, "one"]
    assert network.result(in_blog(2, "return wp_cache_get('k', 'g');")) == "two"


def test_network_options_changed_at_once_are_kept(network):
    network.together("update_site_option('net' . $_GET['number'], 'new');", range(16))

    read = "return array_map(static fn ($number) => get_site_option(\"net$number\"), range(0, 15));"
    assert network.result(read) == ["new"] * 16
