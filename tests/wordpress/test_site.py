"""The site works with the plugin active, and says so in none of its logs."""

from __future__ import annotations


def test_pages_permalinks_and_admin_work(site, visitor, admin):
    assert visitor.get("/").status_code == 200
    assert "Hello world" in visitor.get("/hello-world/").text
    assert visitor.get("/no-such-page/").status_code == 404
    assert "SLBP" in admin.get("/wp-admin/plugins.php").text


def test_php_logs_no_complaint(site, visitor, admin):
    log = site.state / "log" / "php.log"
    log.unlink(missing_ok=True)
    for path in ("/", "/wp-json/", "/wp-admin/", "/wp-login.php"):
        admin.get(path)
    assert not log.exists() or log.read_text() == ""
