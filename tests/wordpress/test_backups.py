"""Backups over HTTP, from the admin page, from the command line and by hand: a wrecked site comes back."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.process import StartError, wait_until
from tests.wordpress import options
from tests.wordpress.browser import chromium
from tests.wordpress.visitor import API, Visitor

ROUTES = (
    ("POST", "/backup/create"),
    ("GET", "/backup/list"),
    ("POST", "/backup/restore/some-id"),
    ("DELETE", "/backup/delete/some-id"),
    ("GET", "/backup/some-id/progress"),
    ("GET", "/backup/config"),
    ("POST", "/backup/config"),
    ("POST", "/backup/dr-test"),
    ("POST", "/backup/verify/some-id"),
)
PAGE = "/wp-admin/tools.php?page=slbp-backups"
TOKEN = "a-token-of-more-than-thirty-two-characters"


@pytest.fixture
def backups(site, admin, tmp_path_factory):
    """The site with an empty folder of backups, a post, a file, and the option that says where they go."""
    site.mariadb.sql("DELETE FROM wp_options WHERE option_name LIKE '_transient%slbp%'", "wordpress")
    folder = site.state / "backups"
    shutil.rmtree(folder, ignore_errors=True)
    site.account.own(folder, 0o700)
    options.store(site, "slbp_backup_config", {"backup_dir": str(folder), "hour": 0})
    options.store(site, "slbp_rate_limits", {"general": {"limit": 100000, "window": 3600}})
    Backups(site, admin).make_content()
    yield Backups(site, admin)
    # A test that failed in the middle of a restore leaves the site open for the next.
    for worker in workers(site):
        os.kill(worker, signal.SIGKILL)
    (site.wordpress.root / ".maintenance").unlink(missing_ok=True)


class Backups:
    def __init__(self, site, admin):
        self.site, self.admin = site, admin
        self.folder = site.state / "backups"
        self.upload = site.wordpress.content / "uploads" / "lesson.txt"

    def make_content(self) -> None:
        self.site.mariadb.sql(
            "DELETE FROM wp_posts WHERE post_name='the-lesson';"
            "INSERT INTO wp_posts (post_author, post_date, post_date_gmt, post_modified, post_modified_gmt, post_content, post_title,"
            " post_excerpt, to_ping, pinged, post_content_filtered, post_name, post_status, post_type)"
            " VALUES (1, NOW(), NOW(), NOW(), NOW(), 'What the lesson teaches', 'The lesson', '', '', '', '', 'the-lesson', 'publish', 'post')",
            "wordpress",
        )
        self.upload.write_text("what was uploaded")
        self.site.account.claim(self.upload)

    def wreck(self) -> None:
        self.site.mariadb.sql("DROP TABLE wp_posts, wp_postmeta, wp_comments", "wordpress")
        shutil.rmtree(self.site.wordpress.content / "uploads")
        assert not self.is_well()

    def is_well(self) -> bool:
        visitor = Visitor(self.site)
        page, file = visitor.get("/the-lesson/"), visitor.get("/wp-content/uploads/lesson.txt")
        return "What the lesson teaches" in page.text and file.text == "what was uploaded"

    def ended(self, id: str) -> dict:
        def report() -> dict:
            answer = self.admin.api("GET", f"/backup/{id}/progress")
            # While the site is closed for the swap WordPress answers 503 to everything.
            return answer.json() if answer.status_code == 200 else {"status": "in_progress"}

        assert wait_until(lambda: report()["status"] != "in_progress", timeout=60, step=0.2)
        return report()

    def create(self, **body) -> str:
        answer = self.admin.api("POST", "/backup/create", json=body)
        assert answer.status_code == 202, answer.text
        assert answer.json()["status"] == "in_progress"
        id = answer.json()["backup_id"]
        report = self.ended(id)
        assert report["status"] == "completed", report
        assert report["percent"] == 100
        return id

    def page(self) -> str:
        answer = self.admin.get(PAGE)
        assert answer.status_code == 200
        return answer.text

    def press(self, what: str, id: str = "", **fields):
        """Sends the page's own form, as a browser would."""
        forms = re.findall(r'<form method="post".*?</form>', self.page(), re.S)
        wanted = [f for f in forms if f'name="what" value="{what}"' in f and f'name="id" value="{id}"' in f]
        assert wanted, f"the page has no form to {what} {id}"
        data = {name: html.unescape(value) for name, value in re.findall(r'type="hidden"[^>]*? name="(\w+)" value="([^"]*)"', wanted[0])}
        data["components[]"] = re.findall(r'name="components\[\]" value="(\w+)"', wanted[0])
        return self.admin.post("/wp-admin/admin-post.php", data={**data, **fields})


def test_only_administrators_may(backups, visitor, subscriber, admin):
    admin.nonce = None  # What another site makes an administrator's browser send.
    for method, route in ROUTES:
        assert visitor.api(method, route).status_code == 401, route
        assert subscriber.api(method, route).status_code == 403, route
        assert admin.api(method, route).status_code == 401, route
    assert list(backups.folder.glob("2*")) == []


def test_a_backup_over_rest(backups, admin):
    full = backups.create(type="full")
    tip = backups.create(type="incremental", components=["database"])
    listed = admin.api("GET", "/backup/list").json()

    assert [backup["id"] for backup in listed["backups"]] == [tip, full]
    assert listed["backups"][0]["base_id"] == full
    assert [b["id"] for b in admin.api("GET", "/backup/list?type=full").json()["backups"]] == [full]
    assert admin.api("DELETE", f"/backup/delete/{full}").status_code == 409
    assert admin.api("DELETE", f"/backup/delete/{tip}").status_code == 200
    assert admin.api("DELETE", f"/backup/delete/{full}").status_code == 200
    assert admin.api("DELETE", f"/backup/delete/{full}").status_code == 404


def test_misuse_is_a_400_that_says_what_was_wrong(backups, admin):
    for route, body in (
        ("/backup/create", {"type": "fool"}),
        ("/backup/create", {"components": ["databases"]}),
        ("/backup/create", {"kind": "full"}),
        ("/backup/config", {"retention_day": 3}),
        ("/backup/config", {"schedule": "hourly"}),
    ):
        answer = admin.api("POST", route, json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == "slbp_invalid"


def test_the_network_does_not_say_where_to_restore_to(backups, admin):
    id = backups.create(components=["config"])
    for key in ("target_dir", "target_database"):
        assert admin.api("POST", f"/backup/restore/{id}", json={key: "/tmp/x"}).status_code == 400


def test_a_wrecked_site_comes_back_over_rest(backups, admin):
    id = backups.create()
    backups.wreck()

    planned = admin.api("POST", f"/backup/restore/{id}", json={"dry_run": True}).json()
    assert planned["restore_results"]["database"]["added_tables"] == ["wp_comments", "wp_postmeta", "wp_posts"]
    begun = admin.api("POST", f"/backup/restore/{id}")
    assert begun.status_code == 202, begun.text
    report = backups.ended(id)

    assert report["status"] == "completed", report
    assert backups.is_well()
    assert not (backups.site.wordpress.root / ".maintenance").exists()


def test_a_restore_reaches_the_cache_of_php_fpm(backups, admin):
    """The process that restores cannot see php-fpm's shared memory: it tells through the drop-in."""
    assert backups.site.php("echo slbp_enable_object_cache();") == ""
    backups.site.fpm.restart()
    try:
        title = lambda: re.search("<title>(.*?)</title>", Visitor(backups.site).get("/the-lesson/").text)[1]
        id = backups.create(components=["database"])
        before = title()
        renamed = admin.request("POST", "/wp-json/wp/v2/settings", json={"title": "Another name"}, headers={"X-WP-Nonce": admin.nonce})
        assert renamed.status_code == 200 and "Another name" in title() != before

        assert admin.api("POST", f"/backup/restore/{id}", json={"components": ["database"]}).status_code == 202

        assert wait_until(lambda: title() == before, timeout=60, step=0.3)
    finally:
        backups.site.php("slbp_disable_object_cache();")


def workers(site) -> list[int]:
    """The processes that were started for this site's backups."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"slbp_backup_worker" in (folder / "cmdline").read_bytes() and str(site.state).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            pass
    return found


def test_a_restore_that_is_killed_is_taken_back_by_the_next_visitor(backups, admin):
    root = backups.site.wordpress.root
    backups.site.account.claim(root)
    backups.site.mariadb.sql("CREATE TABLE wp_large AS SELECT seq, REPEAT(MD5(seq), 20) AS text FROM seq_1_to_60000", "wordpress")
    id = backups.create()
    backups.site.mariadb.sql("UPDATE wp_posts SET post_content='What came later' WHERE post_name='the-lesson'", "wordpress")
    try:
        assert admin.api("POST", f"/backup/restore/{id}").status_code == 202
        # The safety backup is taken while the site is closed, and takes a while.
        assert wait_until(lambda: (root / ".maintenance").exists(), timeout=60, step=0.001)
        (worker,) = workers(backups.site)
        os.kill(worker, signal.SIGSTOP)
        assert Visitor(backups.site).get("/the-lesson/").status_code == 503
        os.kill(worker, signal.SIGKILL)
        # The kernel takes a killed process' memory, and its name with it, before it gives back the lock.
        assert wait_until(lambda: Visitor(backups.site).get("/the-lesson/").status_code != 503, timeout=10)

        page = Visitor(backups.site).get("/the-lesson/")

        assert page.status_code == 200 and "What came later" in page.text
        assert not (root / ".maintenance").exists()
        assert backups.site.mariadb.sql("SHOW TABLES LIKE '\\_slbp%'", "wordpress") == ""
        assert list(backups.site.wordpress.content.glob(".slbp-restore-*")) == []
        assert admin.api("GET", f"/backup/{id}/progress").json()["status"] == "failed"
    finally:
        backups.site.mariadb.sql("DROP TABLE wp_large", "wordpress")
        if os.geteuid() == 0:
            os.chown(root, 0, 0)


@pytest.fixture
def token(site):
    """wp-config.php with the constant; a must-use plugin is as early for our purpose."""
    folder = site.account.own(site.wordpress.content / "mu-plugins", 0o755)
    (folder / "token.php").write_text(f"<?php define( 'SLBP_BACKUP_TOKEN', '{TOKEN}' );")
    yield TOKEN
    shutil.rmtree(folder)


def curl(*arguments: str) -> tuple[int, dict]:
    command = ["curl", "-sS", "--noproxy", "*", "-w", "\n%{http_code}", *arguments]
    body, _, status = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.rpartition("\n")
    return int(status), json.loads(body)


def test_the_documented_procedure(backups, token):
    """As the disaster recovery plan writes it: curl -d, with the token, component after component."""
    id = backups.create()
    backups.wreck()
    url = f"{backups.site.url}{API}/backup/restore/{id}"
    assert curl("-X", "POST", url, "-H", "Authorization: Bearer wrong", "-d", '{"components": ["database"]}')[0] == 401

    for component in ("database", "files"):
        status, answer = curl("-X", "POST", url, "-H", f"Authorization: Bearer {token}", "-d", json.dumps({"components": [component]}))
        assert status == 202, answer
        report = backups.ended(id)
        assert report["status"] == "completed", report

    assert backups.is_well()


def test_a_backup_that_fails_says_so_by_mail(backups, admin):
    mails = backups.site.state / "log" / "mail.log"
    before = mails.read_text() if mails.exists() else ""
    options.store(backups.site, "slbp_backup_config", {"backup_dir": str(backups.folder), "database": {"name": "nowhere"}})
    begun = admin.api("POST", "/backup/create", json={"components": ["database"]}).json()
    report = backups.ended(begun["backup_id"])

    assert report["status"] == "failed"
    assert "nowhere" in report["message"]
    sent = lambda: mails.exists() and "Backup failed" in mails.read_text()[len(before):]
    assert wait_until(sent, timeout=30)
    assert "admin@example.com" in mails.read_text()[len(before):]


def test_the_schedule_makes_what_is_due_once(backups):
    hooks = backups.site.php("echo json_encode([wp_get_schedule('slbp_daily_backup'), wp_get_schedule('slbp_cleanup_old_backups')]);")
    assert json.loads(hooks) == ["hourly", "daily"]

    backups.site.php("do_action('slbp_daily_backup'); do_action('slbp_daily_backup'); do_action('slbp_cleanup_old_backups');")

    listed = backups.admin.api("GET", "/backup/list").json()["backups"]
    assert [backup["purpose"] for backup in listed] == ["monthly"]


def test_the_settings_over_rest(backups, admin):
    options.store(backups.site, "slbp_backup_config", {"backup_dir": str(backups.folder), "database": {"password": "hunter2"}})
    places = ({"backup_dir": "/tmp/elsewhere"}, {"files": {"roots": ["/etc"]}}, {"database": {"host": "192.0.2.1"}}, {"encryption_key": "/etc/passwd"})
    for place in places:
        assert admin.api("POST", "/backup/config", json=place).status_code == 400
    changed = admin.api("POST", "/backup/config", json={"retention_days": 7})

    assert changed.status_code == 200, changed.text
    assert changed.json()["retention_days"] == 7
    assert changed.json()["backup_dir"] == str(backups.folder)
    assert "hunter2" not in changed.text


def test_an_encrypted_backup_has_the_secrets_that_a_clear_one_leaves_out(backups, admin):
    key = backups.site.state / "backup.key"
    key.unlink(missing_ok=True)
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    backups.site.account.claim(key)
    options.store(backups.site, "slbp_alert_config", {"channels": {"webhook_url": "https://example.com/hunter2"}})
    clear = backups.create(components=["config"])
    options.store(backups.site, "slbp_backup_config", {"backup_dir": str(backups.folder), "encryption_key": str(key)})

    changed = admin.api("POST", "/backup/config", json={"retention_days": 7})
    sealed = backups.create(components=["config"])

    assert changed.json()["encrypted_for"][0].startswith("age1"), "a change over the network leaves the key alone"
    assert str(key) not in changed.text
    assert "hunter2" not in (backups.folder / clear / "config" / "config.json").read_text()
    command = ["age", "-d", "-i", key, backups.folder / sealed / "config" / "config.json.age"]
    opened = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert opened["options"]["slbp_alert_config"]["channels"]["webhook_url"] == "https://example.com/hunter2"
    assert opened["withheld"] == ["slbp_backup_config.encryption_key"]
    assert admin.api("GET", "/backup/list").json()["backups"][0]["encrypted"]


def test_watching_is_not_charged(backups, admin, visitor):
    id = backups.create(components=["config"])
    options.store(backups.site, "slbp_rate_limits", {"general": {"limit": 3, "window": 3600}})

    assert {admin.api("GET", f"/backup/{id}/progress").status_code for _ in range(8)} == {200}
    assert 429 in {visitor.api("GET", f"/backup/{id}/progress").status_code for _ in range(8)}


def test_a_check_over_rest(backups, admin):
    id = backups.create(components=["database"])
    begun = admin.api("POST", f"/backup/verify/{id}")
    assert (begun.status_code, begun.json()["status"]) == (202, "in_progress"), begun.text
    report = backups.ended(id)
    assert (report["work"], report["status"], report["percent"]) == ("verify", "completed", 100)
    assert report["result"]["checked_rows"] > 10

    rows = next((backups.folder / id / "db").glob("100-wp_options.sql.gz"))
    rows.write_bytes(rows.read_bytes()[:-9])
    assert admin.api("POST", f"/backup/verify/{id}", json={"async": False}).json()["success"] is False
    assert admin.api("POST", f"/backup/verify/{id}").status_code == 202
    report = backups.ended(id)
    assert report["status"] == "failed" and "100-wp_options.sql.gz" in report["message"], report
    assert admin.api("POST", "/backup/verify/nothing").status_code == 404


def test_a_recovery_test_over_rest(backups, admin):
    backups.create()
    tables = backups.site.mariadb.sql("SHOW TABLES", "wordpress")
    begun = admin.api("POST", "/backup/dr-test")
    assert begun.status_code == 202, begun.text

    result = backups.ended(begun.json()["backup_id"])["result"]

    assert result["overall_success"], result
    assert backups.site.mariadb.sql("SHOW TABLES", "wordpress") == tables


def test_without_a_setting_they_go_where_nobody_can_guess(backups, admin):
    options.store(backups.site, "slbp_backup_config", {})
    folder = Path(admin.api("GET", "/backup/config").json()["backup_dir"])
    try:
        backups.create(components=["config"])

        assert re.fullmatch(r"slbp-backups-[0-9a-f]{12}", folder.name)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / ".htaccess").exists()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_wrecked_site_comes_back_from_the_page(backups):
    assert backups.press("create", type="full").status_code == 302
    id = re.search(r"Backup (\S+) is being made", backups.page())[1]
    assert backups.ended(id)["status"] == "completed"
    assert backups.press("verify", id).status_code == 302
    assert f"Backup {id} is being verified" in backups.page()
    assert backups.ended(id)["work"] == "verify"
    assert f"verify {id}, completed" in backups.page()
    backups.wreck()

    backups.press("restore", id, confirmation="yes")
    assert "Nothing was restored" in backups.page()
    backups.press("restore", id, confirmation=id)
    assert backups.ended(id)["status"] == "completed"

    assert backups.is_well()
    assert backups.press("drill").status_code == 302
    drill = re.search(r"being tested with backup (\S+)\.", backups.page())[1]
    assert backups.ended(drill)["result"]["overall_success"]
    assert f"drill {drill}, completed" in backups.page()
    assert backups.press("delete", id).status_code == 302
    assert not (backups.folder / id).exists()


def test_the_page_does_nothing_without_its_nonce_or_for_others(backups, subscriber):
    for data in ({"action": "slbp_backup", "what": "create"}, {"action": "slbp_backup", "what": "create", "_wpnonce": "0123456789"}):
        assert backups.admin.post("/wp-admin/admin-post.php", data=data).status_code == 403
        assert subscriber.post("/wp-admin/admin-post.php", data=data).status_code == 403
    assert subscriber.get(PAGE).status_code == 403
    assert list(backups.folder.glob("2*")) == []


def test_a_download_needs_its_link(backups, subscriber):
    backups.create()
    id = backups.create(type="incremental")
    link = html.unescape(re.search(r'href="[^"]*(/wp-admin/admin-post.php\?action=slbp_download_backup[^"]*id=%s[^"]*)"' % id, backups.page())[1])

    answer = backups.admin.get(link)
    assert answer.headers["Content-Type"] == "application/x-tar"
    names = tarfile.open(fileobj=BytesIO(answer.content)).getnames()
    assert f"{id}/manifest.json" in names and len({name.split("/")[0] for name in names}) == 2

    assert subscriber.get(link).status_code == 403
    assert Visitor(backups.site).get(link).status_code != 200
    for broken in (re.sub(r"expires=\d+", "expires=1", link), re.sub(r"expires=(\d+)", r"expires=1\1", link), link[:-1] + "x"):
        assert backups.admin.get(broken).status_code == 403


def test_by_hand_with_nothing_but_a_shell(backups):
    backups.create()
    backups.site.mariadb.sql("UPDATE wp_posts SET post_content='What the lesson teaches now' WHERE post_name='the-lesson'", "wordpress")
    id = backups.create(type="incremental")
    tables = backups.site.mariadb.sql("SHOW TABLES", "wordpress").split()
    backups.site.mariadb.sql(f"SET foreign_key_checks=0; DROP TABLE {','.join(tables)}", "wordpress")
    shutil.rmtree(backups.site.wordpress.content / "uploads")

    restore = ["sh", str(backups.folder / id / "restore.sh"), "--database", "wordpress", "--user", "root"]
    where = ["--socket", str(backups.site.mariadb.socket), "--files", str(backups.site.wordpress.root)]
    subprocess.run([*restore, *where], check=True, timeout=120, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    assert "What the lesson teaches now" in Visitor(backups.site).get("/the-lesson/").text
    assert backups.is_well()


def test_from_the_command_line(backups):
    def wp(*words: str, fails: bool = False) -> str:
        double = Path(__file__).parent / "wp_cli_double.php"
        try:
            output = backups.site.configuration.run(backups.site.account, double, backups.site.wordpress.root, "backup", *words).stdout
        except StartError as failed:
            assert fails, failed
            return str(failed)
        assert not fails, output
        return output

    assert "progress 100\nSuccess" in wp("create", "--type=full")
    id = json.loads(wp("list"))[0]["id"]
    assert "Success" in wp("verify", id)
    backups.wreck()
    assert '"wp_posts"' in wp("restore", id, "--dry-run")
    assert "not confirmed" in wp("restore", id, fails=True)
    assert "was restored" in wp("restore", id, "--yes")
    assert backups.is_well()
    assert "Recovered in" in wp("dr-test")
    assert "Success" in wp("schedule")
    assert "Success" in wp("delete", id)
    assert "there is no backup" in wp("delete", id, fails=True)


def test_an_operator_brings_the_site_back_in_a_browser(backups):
    backup = backups.create(type="full")
    backups.wreck()
    with chromium(backups.site) as browser:
        browser.log_in()
        browser.open(PAGE)
        assert backup in browser.texts("tbody td")
        browser.find("details summary").click()
        browser.find("input[name='confirmation']").send_keys(backup)
        browser.find("input[name='what'][value='restore'] ~ button").click()
        assert wait_until(backups.is_well, 120), browser.texts("#slbp-progress")
