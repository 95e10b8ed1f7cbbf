"""PHP sessions of a plugin on the site: kept where the option says, and looked after from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.process import StartError
from tests.wordpress.visitor import Visitor

DOUBLE = Path(__file__).with_name("wp_cli_double.php")

# What a plugin with sessions does, on a page and in a route.
PLUGIN = """<?php
function session_test_count() {
    session_start();
    $_SESSION['n'] = ( $_SESSION['n'] ?? 0 ) + 1;
    $answer = array( 'n' => $_SESSION['n'], 'mode' => ini_get( 'slbp.session_mode' ), 'handler' => ini_get( 'session.save_handler' ) );
    session_write_close();
    return $answer;
}
add_action( 'init', function () {
    if ( isset( $_GET['session_test'] ) ) {
        wp_send_json( session_test_count() );
    }
} );
add_action( 'rest_api_init', function () {
    register_rest_route( 'session-test/v1', '/count', array( 'callback' => 'session_test_count', 'permission_callback' => '__return_true' ) );
} );
"""


@pytest.fixture
def with_sessions(site):
    folder = site.wordpress.root / "wp-content" / "mu-plugins"
    existed = folder.is_dir()
    folder.mkdir(exist_ok=True)
    file = folder / "session-test.php"
    file.write_text(PLUGIN)
    yield site
    file.unlink()
    if not existed:
        folder.rmdir()
    site.mariadb.sql("DROP TABLE IF EXISTS wp_slbp_sessions", "wordpress")


def wp(site, *words: str) -> str:
    return site.configuration.run(site.account, DOUBLE, site.wordpress.root, "sessions", *words).stdout


def test_a_plugins_sessions_go_where_the_option_says(with_sessions, set_option, visitor):
    set_option("slbp_session_handler", "database")
    page = [visitor.get("/?session_test=1").json() for _ in range(2)]
    route = visitor.get("/wp-json/session-test/v1/count").json()

    assert [answer["n"] for answer in (*page, route)] == [1, 2, 3]
    assert page[0]["handler"] == "user" and page[0]["mode"] == "" and route["mode"] == "optimistic"
    assert with_sessions.mariadb.sql("SELECT COUNT(*) FROM wp_slbp_sessions", "wordpress").strip() == "1"

    assert wp(with_sessions, "count") == "1\n"
    assert "0 sessions were removed" in wp(with_sessions, "gc")
    sid = visitor.session.cookies["PHPSESSID"]
    assert wp(with_sessions, "destroy", sid) == "Success: The session is ended.\n"
    with pytest.raises(StartError, match="no such session"):
        wp(with_sessions, "destroy", sid)
    assert visitor.get("/?session_test=1").json()["n"] == 1
    assert Visitor(with_sessions).get("/?session_test=1").json()["n"] == 1


def test_without_the_option_nothing_is_changed_and_no_session_is_begun(with_sessions, visitor):
    answer = visitor.get("/?session_test=1").json()

    assert answer["n"] == 1 and answer["handler"] == "files"
    # Site Health complains of a session that is open in its own requests.
    assert with_sessions.php("echo session_status();").strip() == "1"
    assert "PHPSESSID" not in visitor.get("/wp-json/").cookies


def test_an_option_that_makes_no_sense_is_logged_and_leaves_the_site_alone(with_sessions, set_option, visitor):
    set_option("slbp_session_handler", "floppy")
    assert visitor.get("/?session_test=1").json()["handler"] == "files"
