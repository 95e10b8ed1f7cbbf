"""One cache for all workers: what one writes the others see, and nobody's change is lost."""

from __future__ import annotations

import pytest


def cached_options(site) -> dict:
    return site.result("return wp_load_alloptions(true);")


def stored_options(site) -> dict:
    rows = site.sql("SELECT option_name, option_value FROM wp_options WHERE option_name LIKE 'race%'")
    return dict(row.split("\t") for row in rows.splitlines())


def test_an_option_of_one_worker_is_seen_by_all(cached):
    cached.in_every_worker("return get_option('blogname');")
    cached.result("return update_option('blogname', 'renamed');")

    assert set(cached.in_every_worker("return get_option('blogname');")) == {"renamed"}


def test_the_database_is_not_asked_again(cached):
    code = "return [get_option('blogname'), get_post(1)->post_title, $GLOBALS['wpdb']->num_queries];"
    cached.result(code)
    again = cached.result(code)

    assert again[2] == 0, "options, post and meta come from the cache"


def test_changes_of_different_options_all_survive(cached):
    """Core's own way, reading `alloptions`, changing and writing it whole, loses most of these."""
    cached.together("add_option('race' . $_GET['number'], 'old', '', true);", range(40))
    cached.together("return update_option('race' . $_GET['number'], 'new');", range(40))

    assert {cached_options(cached).get(f"race{number}") for number in range(40)} == {"new"}


def test_changes_of_the_same_option_leave_what_the_database_has(cached):
    cached.result("return add_option('race', 'old', '', true);")
    for _ in range(5):
        cached.together("return update_option('race', 'from ' . $_GET['number']);", range(16))
        assert cached.result("return get_option('race');") == stored_options(cached)["race"]


def test_options_that_are_not_autoloaded_too(cached):
    cached.result("return add_option('race', 'old', '', false);")
    for _ in range(5):
        cached.together("get_option('race'); return update_option('race', 'from ' . $_GET['number']);", range(16))
        assert cached.result("return get_option('race');") == stored_options(cached)["race"]


def test_what_was_read_before_a_change_is_not_stored_after_it(cached):
    """A request that has read all options from the database is overtaken by one that changes an option."""
    cached.result("add_option('race', 'old', '', true);")
    late = cached.stopped_behind("autoload IN", "wp_cache_delete('alloptions', 'options'); return get_option('race');")
    cached.result("return update_option('race', 'new');")

    late.finish()
    assert cached.result("return get_option('race');") == "new"


@pytest.mark.parametrize(
    "query, reads", [("WHERE ID = 1", ""), ("WHERE ID IN (1)", "_prime_post_caches([1]);")], ids=["alone", "with others"]
)
def test_a_post_that_was_read_before_it_changed_is_not_stored_after_it(cached, query, reads):
    cached.result("return wp_update_post(['ID' => 1, 'post_title' => 'old title']);")
    late = cached.stopped_behind(query, f"wp_cache_delete(1, 'posts'); {reads} return get_post(1)->post_title;")
    cached.result("wp_update_post(['ID' => 1, 'post_title' => 'new title']); clean_post_cache(1);")

    late.finish()
    assert cached.result("return get_post(1)->post_title;") == "new title"


def test_an_option_added_meanwhile_is_not_recorded_as_missing(cached):
    cached.result("return get_option('unrelated', 'none');")
    late = cached.stopped_behind("race-late", "return get_option('race-late', 'none');")
    cached.result("return add_option('race-late', 'here', '', false);")

    assert late.finish()["result"] == "none"
    assert cached.result("return get_option('race-late', 'none');") == "here"


def test_a_new_post_is_listed_by_every_worker(cached):
    titles = "return wp_list_pluck(get_posts(), 'post_title');"
    cached.in_every_worker(titles)
    cached.result("return wp_insert_post(['post_title' => 'Fresh', 'post_status' => 'publish']);")

    assert all("Fresh" in seen for seen in cached.in_every_worker(titles))


def test_last_changed_never_goes_back(cached):
    """A clock that went back, or another host's: under the old value there may be results from before the change."""
    first = cached.result("return wp_cache_set_last_changed('posts');")
    second = cached.result("wp_cache_set('last_changed', '0.00000000 1000000000', 'posts'); return wp_cache_get('last_changed', 'posts');")
    third = cached.result("wp_cache_set('last_changed', wp_cache_get('last_changed', 'posts'), 'posts'); return wp_cache_get('last_changed', 'posts');")

    seconds = [sum(map(float, value.split())) for value in (first, second, third)]
    assert len({first, second, third}) == 3 and seconds == sorted(seconds)
    assert cached.result("return wp_cache_get_last_changed('posts');") == third


def test_additions_are_locks(cached):
    assert sorted(cached.together("return wp_cache_add('lock', $_GET['number'], 'g');", range(30))) == [False] * 29 + [True]


def test_counts_are_exact(cached):
    cached.result("wp_cache_set('n', 0, 'g');")
    cached.together("wp_cache_get('n', 'g'); for ($i = 0; $i < 10; $i++) { wp_cache_incr('n', 1, 'g'); }", range(30))

    assert cached.result("return wp_cache_get('n', 'g');") == 300


def test_force_sees_what_another_worker_wrote(cached):
    cached.result("wp_cache_set('k', 1, 'g');")
    late = cached.stopped_behind("wait-here", "wp_cache_get('k', 'g'); get_option('wait-here'); return [wp_cache_get('k', 'g'), wp_cache_get('k', 'g', true)];")
    cached.result("wp_cache_set('k', 2, 'g');")

    assert late.finish()["result"] == [1, 2]


def test_groups_and_everything_are_flushed_for_all(cached):
    fill = "wp_cache_set('a', 1, 'x'); wp_cache_set('a', 2, 'y');"
    read = "return [wp_cache_get('a', 'x'), wp_cache_get('a', 'y')];"
    cached.result(fill)
    cached.result("return wp_cache_flush_group('x');")
    assert cached.result(read) == [False, 2]

    cached.result(fill + "wp_cache_flush_runtime();")
    assert cached.result(read) == [1, 2], "the request's own copy only"
    cached.result("return wp_cache_flush();")
    assert cached.result(read) == [False, False]


def test_non_persistent_groups_end_with_the_request(cached):
    cached.result("wp_cache_add_non_persistent_groups('mine'); wp_cache_set('k', 1, 'mine'); wp_cache_set('k', 1, 'counts');")

    assert cached.result("return [wp_cache_get('k', 'mine'), wp_cache_get('k', 'counts')];") == [False, False]


def test_values_expire(cached):
    cached.result("wp_cache_set('k', 1, 'g', -1); wp_cache_set('long', 1, 'g', 1000);")

    assert cached.result("return [wp_cache_get('k', 'g'), wp_cache_get('long', 'g')];") == [False, 1]


def test_pages_and_admin_work_and_no_log_complains(cached):
    log = cached.stack.state / "log" / "php.log"
    log.unlink(missing_ok=True)
    admin = cached.admin()
    for path in ("/", "/hello-world/", "/wp-json/wp/v2/posts", "/wp-admin/", "/wp-admin/edit.php", "/wp-admin/plugins.php", "/?s=hello", "/feed/"):
        for _ in range(2):
            assert admin.get(path).status_code == 200, path
    complaints = log.read_text().splitlines() if log.exists() else []
    assert [line for line in complaints if "WordPress.org" not in line] == [], "that one cannot be reached is no fault"


def test_options_that_are_too_many_to_be_shared_are_read_once_a_request(cached):
    cached.result("return add_option('race_large', bin2hex(random_bytes(1 << 20)), '', true);")
    reads = cached.result("""
        get_option('blogname');
        $before = $GLOBALS['wpdb']->num_queries;
        for ($i = 0; $i < 20; $i++) {
            get_option('blogname');
        }
        return $GLOBALS['wpdb']->num_queries - $before;
    """)
    cached.result("return delete_option('race_large');")

    assert reads == 0


def test_a_value_whose_class_throws_is_a_miss_and_goes(cached):
    touchy = """eval('class Touchy {
        public function __serialize(): array { return []; }
        public function __unserialize(array $data): void { %s }
    }');"""
    cached.result(touchy % "" + "wp_cache_set_multiple(['a' => new Touchy(), 'b' => 2], 'touchy');")
    read = touchy % "throw new Exception();" + "return [wp_cache_get_multiple(['a', 'b'], 'touchy'), wp_cache_get('a', 'touchy')];"

    assert cached.result(read) == [{"a": False, "b": 2}, False]
    assert cached.result("return wp_cache_get('a', 'touchy');") is False, "it is gone, not only hidden"
