"""What a bad plugin asks the database is seen under Tools > Queries, with its file and line, and what would help."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

PAGE = "/wp-admin/tools.php?page=slbp-queries"
DOUBLE = Path(__file__).parent / "wp_cli_double.php"

BAD_PLUGIN = """<?php
/* Plugin Name: Bad */
add_action( 'template_redirect', 'bad_plugin_asks' );
function bad_plugin_asks() {
	global $wpdb;
	for ( $id = 1; $id <= 60; $id++ ) {
		$wpdb->get_row( "SELECT * FROM $wpdb->posts WHERE ID = $id AND post_password = 'hidden$id'" );
		$wpdb->get_var( "SELECT COUNT(*) FROM $wpdb->users" );
		$wpdb->get_results( "SELECT * FROM {$wpdb->prefix}bad_transactions WHERE user_id = $id AND status = 'completed'" );
	}
	$wpdb->query( 'SELECT SLEEP(1.05) AS `<b>bold</b>`' );
}
"""

TABLE = """
CREATE TABLE wp_bad_transactions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, status varchar(20), KEY user_id (user_id), KEY status (status));
INSERT INTO wp_bad_transactions (user_id, status) SELECT seq % 97, ELT(1 + seq % 10, 'completed', 'failed', 'pending', 'a', 'b', 'c', 'd', 'e', 'f', 'g') FROM seq_1_to_20000;
ANALYZE TABLE wp_bad_transactions;
"""


@pytest.fixture
def bad_site(site):
    plugin = site.wordpress.content / "plugins" / "bad"
    plugin.mkdir(exist_ok=True)
    (plugin / "bad.php").write_text(BAD_PLUGIN)
    site.mariadb.sql(TABLE, "wordpress")
    functions = "require_once ABSPATH . 'wp-admin/includes/plugin.php';"
    site.php(functions + "activate_plugin('bad/bad.php');")
    yield site
    site.php(functions + "deactivate_plugins('bad/bad.php');")
    site.mariadb.sql("DROP TABLE wp_bad_transactions", "wordpress")
    (plugin / "bad.php").unlink()
    plugin.rmdir()


def rows(page: str) -> list[str]:
    return [html.unescape(re.sub(r"<[^>]+>", " ", row)) for row in re.findall(r'<tr data-query.*?</tr>', page, re.S)]


def press(admin, button: str):
    nonce = re.search(r'name="_wpnonce" value="(\w+)"', admin.get(PAGE).text)[1]
    return admin.post("/wp-admin/admin-post.php", data={"action": "slbp_queries", "button": button, "_wpnonce": nonce})


def test_a_bad_plugin_is_found_and_told_what_helps(bad_site, visitor, admin, subscriber):
    assert visitor.get("/").status_code == 200

    everything = admin.get(PAGE).text
    looped = next(row for row in rows(everything) if "post_password = ?" in row)
    assert "N+1 × 60" in looped and "plugin:bad" in looped and "bad/bad.php:7 bad_plugin_asks()" in looped
    assert "_prime_post_caches( $post_ids )" in looped and "hidden60" not in everything
    repeated = next(row for row in rows(everything) if "COUNT(*) FROM wp_users" in row and "plugin:bad" in row)
    assert "59 duplicates" in repeated
    slow = rows(admin.get(PAGE + "&list=slow&component=plugin:bad").text)
    assert len(slow) == 1 and "slow" in slow[0] and "<b>bold</b>" in slow[0]
    assert "<b>bold</b>" not in everything
    by_count = rows(admin.get(PAGE + "&order=count&component=plugin:bad").text)
    assert "SLEEP" in by_count[-1] and "SLEEP" not in by_count[0]
    assert rows(admin.get(PAGE + "&search=no_such_words").text) == []

    assert press(admin, "advise").headers["location"].endswith("list=indexes")
    advice = admin.get(PAGE + "&list=indexes").text
    assert "ADD INDEX `idx_bad_transactions_user_status`" in advice and "DROP INDEX `idx_bad_transactions_user_status`" in advice
    read = re.search(r"Rows read</th><td>(\d+)</td><td>(\d+)</td>", advice)
    assert int(read[1]) >= 2 * int(read[2])

    assert subscriber.get(PAGE).status_code == 403
    assert subscriber.post("/wp-admin/admin-post.php", data={"action": "slbp_queries", "button": "forget"}).status_code == 403
    press(admin, "forget")
    assert not any("plugin:bad" in row for row in rows(admin.get(PAGE).text))


def test_queries_outlive_a_restart_and_wp_cli_lists_them(bad_site, visitor, admin):
    visitor.get("/")
    nonce_free = admin.get(PAGE).text
    assert "plugin:bad" in nonce_free
    kept = json.dumps({"at": 1_700_000_000, "rows": []})
    bad_site.php(f"update_option('slbp_kept_queries', json_decode('{kept}', true)); for ($i = 1; $i < 9; $i++) {{ $wpdb->get_var(\"SELECT $i FROM wp_posts WHERE ID = $i\"); }} slbp_keep_queries();")
    bad_site.fpm.restart()

    def wp(*words: str) -> list[dict]:
        return json.loads(bad_site.configuration.run(bad_site.account, DOUBLE, bad_site.wordpress.root, *words).stdout)

    assert any("FROM wp_posts WHERE ID = ?" in row["fingerprint"] for row in wp("queries", "--format=json"))
    one = bad_site.configuration.run(bad_site.account, DOUBLE, bad_site.wordpress.root, "indexes", "--table=bad_transactions", "--columns=user_id,status").stdout
    assert json.loads(one)["missing_indexes"][0]["columns"] == ["user_id", "status"]


def test_site_health_says_what_there_is(bad_site, visitor):
    tests = bad_site.php("require_once ABSPATH . 'wp-admin/includes/class-wp-site-health.php'; echo json_encode(slbp_test_queries());")
    assert json.loads(tests)["status"] in ("good", "recommended")
