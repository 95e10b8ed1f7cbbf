"""The queue inside WordPress: transactions, the tick, the filters, the built-in types, the command."""

from __future__ import annotations

import pytest

from tests.support import process
from tests.support.process import StartError
from tests.wordpress.queue.billing_site import SLBP, TASKS


def test_a_rolled_back_transaction_leaves_no_task(site):
    site.php(
        "global $wpdb; $q = slbp_background_processor(); $wpdb->query('START TRANSACTION');"
        "$first = $q->queue_task('greet', ['name' => 'x']); $q->queue_task('greet', [], 10, null, ['after' => [$first]]);"
        "$q->queue_tasks([['task_type' => 'greet'], ['task_type' => 'greet']]); $q->cancel_task($first);"
        "$wpdb->query('ROLLBACK');"
    )
    assert site.number(f"SELECT COUNT(*) FROM {TASKS}") == 0


def test_a_committed_transaction_leaves_all_of_it(site):
    counted = site.php(
        "global $wpdb; $q = slbp_background_processor(); $wpdb->query('START TRANSACTION');"
        "$first = $q->queue_task('greet', ['name' => 'x']); $q->queue_task('greet', [], 10, null, ['after' => $first]);"
        "$q->cancel_task($first); $seen = count($q->get_tasks()); $wpdb->query('COMMIT'); echo $seen;"
    )
    assert counted == "2"
    assert site.number(f"SELECT COUNT(*) FROM {TASKS} WHERE status = 'cancelled'") == 2, "what waits for a cancelled task is cancelled"


def test_the_tick_runs_what_is_due(site):
    assert site.php("echo wp_get_schedule('slbp_process_background_tasks');") == "slbp_minute"
    task = site.queue("greet", {"name": "Ada"})
    custom = site.queue("custom", {"n": 7})
    later = site.queue("greet", {"name": "later"}, ", 10, '2100-01-01'")

    site.php("do_action('slbp_process_background_tasks');")

    assert site.task(task)["status"] == "completed"
    assert site.task(custom)["status"] == "completed"
    assert site.task(later)["status"] == "pending"
    assert site.php("echo get_option('greeted'), get_option('customized');") == "Ada7"


def test_wp_cron_itself_runs_the_tick(site, visitor):
    task = site.queue("greet", {"name": "cron"})
    site.php("wp_clear_scheduled_hook('slbp_process_background_tasks'); wp_schedule_event(time() - 1, 'slbp_minute', 'slbp_process_background_tasks');")
    assert visitor.get("/wp-cron.php?doing_wp_cron", timeout=60).status_code == 200

    # WordPress answers first and works then.
    assert process.wait_until(lambda: site.task(task)["status"] == "completed", timeout=30)


def test_a_handler_that_dies_or_fails_says_why(site):
    dies, fails, sync = site.queue("dies"), site.queue("fails"), site.queue("sync_external_data", {"system": "CRM"})
    after = site.queue("greet", {"name": "after"})
    site.work()
    assert site.task(dies)["error_message"] == "the handler called exit()"
    assert site.task(fails)["error_message"] == "the handler returned false"
    assert site.task(sync)["error_message"] == "no CRM today"
    assert site.task(after)["status"] == "completed"


def test_dates_are_in_the_sites_zone(site):
    site.php("update_option('timezone_string', 'America/New_York');")
    try:
        task = site.task(site.queue("greet", {}, ", 10, '2050-07-01 09:00:00'"))
        assert task["run_at"] == 2_540_293_200 and task["scheduled_at"] == "2050-07-01 09:00:00"
    finally:
        site.php("update_option('timezone_string', 'UTC');")


def test_a_campaign_is_mailed_and_notes_what_bounced(site):
    recipients = [f"u{n}@example.com" for n in range(7)] + ["no address", 1, 99999]
    task = site.queue("email_campaign", {"recipients": recipients, "subject": "Grüße", "message": "Hello", "batch_size": 4})
    site.work()
    ended = site.task(task)
    assert ended["status"] == "completed"
    assert [bounce["to"] for bounce in ended["task_data"]["bounces"]] == ["no address", 99999]
    mails = (site.stack.state / "log" / "mail.log").read_text(errors="replace")
    assert mails.count("To: u0@example.com") == 1 and "To: admin@example.com" in mails


def test_notifications_exports_and_cleaning(site, visitor):
    site.sql("INSERT INTO wp_slbp_transactions (order_id, amount, currency, status) VALUES ('=cmd()', 5, 'EUR', 'paid')")
    site.sql("INSERT INTO wp_slbp_api_logs (created_at) VALUES ('2020-01-01'), (UTC_TIMESTAMP())")
    notify = site.queue("send_notifications", {"recipients": [1, 2], "message": {"title": "Hi", "message": "there"}})
    export = site.queue("data_export", {"type": "transactions"})
    clean = site.queue("cleanup_logs", {"retention_days": 30})
    site.work()
    for task in (notify, export, clean):
        assert site.task(task)["status"] == "completed", site.task(task)
    assert site.number("SELECT COUNT(*) FROM wp_slbp_notifications") == 2
    assert site.number("SELECT COUNT(*) FROM wp_slbp_api_logs") == 1
    name = site.task(export)["progress"]["message"]
    folder = site.stack.wordpress.content / "uploads" / "slbp-exports"
    assert "'=cmd()" in (folder / name).read_text(), "no formula"
    assert (folder / ".htaccess").exists()

    address = site.php(f"echo slbp_export_url('{name}');").removeprefix(site.stack.url)
    assert "'=cmd()" in visitor.get(address).text
    assert visitor.get(address).headers["Content-Disposition"] == f'attachment; filename="{name}"'
    for spoilt in (address[:-1] + ("0" if address[-1] != "0" else "1"), address.replace("expires=", "expires=9"), address.replace(name, "index.html")):
        assert visitor.get(spoilt).status_code == 403
    assert site.php("echo slbp_export_url('../../wp-config.php'), slbp_export_url('nothing.csv');") == ""


def test_the_command(site):
    task = site.queue("fails", {}, ", 10, null, ['max_attempts' => 1]")
    assert "pending: 1" in site.wp("stats")
    assert f"{task}\tfails\tpending" in site.wp("list")
    assert "fails is paused" in site.wp("pause", "fails")
    assert "fails goes on" in site.wp("resume", "fails")
    site.work()
    assert site.task(task)["status"] == "failed"
    assert f"Task {task} runs again" in site.wp("retry", str(task))
    assert f"Task {task} is cancelled" in site.wp("cancel", str(task))
    with pytest.raises(StartError, match="has ended"):
        site.wp("cancel", str(task))
    assert "0 tasks were deleted" in site.wp("prune")


def test_the_bin_says_what_is_wrong(site):
    for arguments, message in (((), "usage"), (("work",), "say where"), (("work", "--wordpres=x"), "unknown option"), (("stats", "--wordpress=/nowhere"), "there is no")):
        with pytest.raises(StartError, match=message):
            site.cli(SLBP, *arguments)
    assert "pending" in site.cli(SLBP, "stats", f"--wordpress={site.stack.wordpress.root}")
