"""The site's metrics over HTTP: who may see them, what they say, and a real Prometheus that scrapes them."""

from __future__ import annotations

import subprocess
from urllib.parse import urlsplit

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support import ports, process
from tests.support.prometheus import Prometheus
from tests.wordpress.visitor import API, MONITORING_TOKEN, Visitor

BEARER = {"Authorization": f"Bearer {MONITORING_TOKEN}"}

BILLING = """
CREATE TABLE IF NOT EXISTS wp_slbp_transactions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, order_id varchar(100),
  amount decimal(10,2), currency varchar(3), status varchar(20), created_at datetime DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS wp_slbp_subscriptions (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, user_id bigint, status varchar(20),
  updated_at datetime DEFAULT CURRENT_TIMESTAMP);
INSERT INTO wp_slbp_transactions (amount, currency, status, created_at) VALUES
  (10, 'EUR', 'completed', UTC_TIMESTAMP()), (5.5, 'eur', 'completed', UTC_TIMESTAMP() - INTERVAL 3 HOUR),
  (7, 'USD', 'completed', UTC_TIMESTAMP()), (9, 'EUR', 'failed', UTC_TIMESTAMP()),
  (9, 'EUR', 'completed', UTC_TIMESTAMP() - INTERVAL 25 HOUR);
INSERT INTO wp_slbp_subscriptions (status) VALUES ('active'), ('active'), ('active'), ('canceled');
"""


def samples(site) -> dict[tuple, float]:
    """{(name, label value, ...): value} of the REST route, read by the strict parser."""
    answer = Visitor(site).api_with("/metrics", {**BEARER, "Accept": "application/openmetrics-text"})
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def counted(site, *wanted: tuple) -> dict[tuple, float]:
    """The metrics once these are among them: a request is counted when its script has ended, after its response."""
    seen: dict[tuple, float] = {}

    def all_there() -> bool:
        seen.update(samples(site))
        return all(name in seen for name in wanted)

    assert process.wait_until(all_there, timeout=20), [name for name in wanted if name not in seen]
    return seen


@pytest.fixture
def billing(site):
    site.mariadb.sql(BILLING, "wordpress")
    yield site
    site.mariadb.sql("DROP TABLE wp_slbp_transactions, wp_slbp_subscriptions", "wordpress")


def sampled(site) -> dict[tuple, float]:
    """The metrics after the tick of cron has asked the database. What cron remembers of the test before is forgotten."""
    site.mariadb.sql("DELETE FROM wp_options WHERE option_name IN ('cron', '_transient_doing_cron')", "wordpress")
    visitor = Visitor(site)
    visitor.get("/")
    visitor.get("/wp-cron.php")
    assert process.wait_until(lambda: ("slbp_metrics_sampled_timestamp_seconds",) in samples(site), timeout=20)
    return samples(site)


@pytest.mark.parametrize("route", ["/metrics", "/metrics/dashboard"])
def test_nobody_sees_metrics_unless_a_setting_says_so(visitor, subscriber, admin, route):
    assert visitor.api("GET", route).status_code == 403
    assert subscriber.api("GET", route).status_code == 403
    assert admin.api("GET", route).status_code == 200
    assert visitor.api_with(route, BEARER).status_code == 200
    assert visitor.api_with(route, {"Authorization": "Bearer wrong"}).status_code == 403


def test_monitoring_addresses_may_look_and_cannot_be_claimed(site, set_option):
    set_option("slbp_monitoring_ips", ["198.51.100.0/24"])

    assert Visitor(site, "198.51.100.44").api("GET", "/metrics").status_code == 200
    assert Visitor(site, "203.0.113.1").api("GET", "/metrics").status_code == 403
    assert Visitor(site, "198.51.100.44, 203.0.113.1").api("GET", "/metrics").status_code == 403

    set_option("slbp_trusted_proxies", ["192.0.2.1"])
    Visitor(site).post("/wp-login.php", data={"log": "nobody", "pwd": "wrong"})  # What another node has stored is read now.
    assert Visitor(site, "198.51.100.44").api("GET", "/metrics").status_code == 403, "a header of somebody who is no proxy"


def test_metrics_leave_as_text_that_promtool_accepts(site, visitor):
    visitor.get("/")
    answer = visitor.api_with("/metrics", BEARER)

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    checked = subprocess.run(["promtool", "check", "metrics"], input=answer.text, text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout + checked.stderr


def test_scrapes_are_not_limited(visitor, set_option):
    set_option("slbp_rate_limits", {"general": {"limit": 2, "window": 3600}})

    assert {visitor.api_with("/metrics", BEARER).status_code for _ in range(6)} == {200}
    assert 429 in {visitor.api("GET", "/metrics").status_code for _ in range(6)}, "who may not look is limited as anybody"


def test_the_database_the_queue_and_the_business_are_sampled_by_cron(billing):
    seen = sampled(billing)

    assert seen[("slbp_database_connections",)] >= 1
    assert seen[("slbp_db_up",)] == 1
    assert seen[("slbp_database_database_size",)] > 0
    assert seen[("slbp_database_slow_queries",)] >= 0
    assert seen[("slbp_background_queue_pending",)] == 0
    assert seen[("slbp_business_transactions_24h",)] == 4
    assert seen[("slbp_business_failed_transactions_1h",)] == 1
    assert seen[("slbp_business_transaction_success_rate",)] == 75
    assert seen[("slbp_business_revenue_24h", "EUR")] == 15.5
    assert seen[("slbp_business_revenue_24h", "USD")] == 7
    assert seen[("slbp_business_subscriptions", "active")] == 3
    assert seen[("slbp_business_churn_rate_30d",)] == 25


def test_requests_and_security_events_are_counted(site, visitor):
    visitor.get("/")
    visitor.api("GET", "/metrics")
    visitor.api("GET", "/queue/stats")
    visitor.post("/wp-login.php", data={"log": "nobody", "pwd": "wrong"})

    durations = "slbp_http_request_duration_seconds_count"
    asked = [(durations, "front", "2xx"), (durations, "rest", "4xx"), (durations, "probe", "4xx"), (durations, "login", "2xx")]
    seen = counted(site, *asked)

    assert [seen[name] for name in asked] == [1, 1, 1, 1]
    assert seen[("slbp_security_events_total", "failed_login")] == 1
    assert seen[("slbp_security_security_events_24h",)] == 1
    assert seen[("slbp_security_failed_api_requests_1h",)] == 1
    assert seen[("slbp_performance_response_time",)] > 0


@pytest.mark.parametrize("timeframe", ["1h", "6h", "24h", "7d"])
def test_the_dashboard_tells_the_recent_past(site, visitor, timeframe):
    visitor.get("/")
    counted(site, ("slbp_http_request_duration_seconds_count", "front", "2xx"))
    body = visitor.api_with(f"/metrics/dashboard?timeframe={timeframe}", BEARER).json()

    assert body["timeframe"] == timeframe
    assert sum(point["requests"] for point in body["points"]) >= 1
    assert body["metrics"]["system"]["memory_usage"] > 0


def test_the_page_shows_charts_in_words_and_as_tables(site, admin, visitor):
    for _ in range(3):
        visitor.get("/")
    counted(site, ("slbp_http_request_duration_seconds_count", "front", "2xx"))
    page = admin.get("/wp-admin/tools.php?page=slbp-monitoring&timeframe=6h")

    assert page.status_code == 200
    assert 'aria-current="page">Last 6 hours</a>' in page.text
    for key in ("requests", "response_time", "memory_peak"):
        chart = page.text.split(f'id="slbp-chart-{key}"')[1].split("</figure>")[0]
        assert "Latest " in chart and "<polyline" in chart and "<caption" in chart
    assert "<code>memory_usage</code>" in page.text


def test_only_who_runs_the_site_sees_the_page(subscriber):
    assert subscriber.get("/wp-admin/tools.php?page=slbp-monitoring").status_code == 403


def test_an_unknown_timeframe_is_refused(visitor):
    answer = visitor.api_with("/metrics/dashboard?timeframe=1y", BEARER)

    assert answer.status_code == 400
    assert "1h, 6h, 24h or 7d" in answer.text


@pytest.fixture
def known_site(site):
    """WordPress has answered in the folder, so its door knows whose it is."""
    Visitor(site).get("/")
    return site


@pytest.mark.parametrize("address", [f"{API}/metrics", "/?rest_route=/skylearn-billing-pro/v1/metrics"])
def test_metrics_need_no_wordpress(known_site, address):
    """A site whose plugins end every request still shows its metrics."""
    trap = known_site.wordpress.content / "mu-plugins" / "trap.php"
    known_site.account.own(trap.parent, 0o755)
    trap.write_text("<?php http_response_code(500); exit('trapped');")
    try:
        page = Visitor(known_site).get("/")
        answer = Visitor(known_site).get(address, headers=BEARER)
        refused = Visitor(known_site).get(address)
    finally:
        trap.unlink()

    assert page.text == refused.text == "trapped", "who may not look is left to WordPress"
    assert answer.status_code == 200
    assert "slbp_system_memory_usage " in answer.text


def test_while_the_database_is_down_metrics_say_so(known_site):
    sampled(known_site)
    visitor = Visitor(known_site)
    known_site.mariadb.stop()
    try:
        assert visitor.get("/").status_code in (500, 503)
        answer = visitor.api_with("/metrics", BEARER)
    finally:
        known_site.mariadb.start()

    assert answer.status_code == 200
    assert "\nslbp_database_connections 0\n" in answer.text
    assert "\nslbp_db_up 0\n" in answer.text
    assert visitor.get("/").status_code == 200
    assert samples(known_site)[("slbp_database_connections",)] >= 1


@pytest.fixture
def start_prometheus(site):
    started: list[Prometheus] = []

    def start() -> Prometheus:
        configuration = f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: skylearn-billing-pro
    metrics_path: {API}/metrics
    authorization: {{credentials: {MONITORING_TOKEN}}}
    static_configs: [{{targets: ['{urlsplit(site.url).netloc}']}}]
"""
        folder = site.state / "tmp" / f"prometheus-{len(started)}"
        service = Prometheus(ports.free_port(), folder, configuration, site.state / "log" / "prometheus.log", site.account)
        service.start()
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop()


def test_a_real_prometheus_scrapes_the_site(site, visitor, start_prometheus):
    sampled(site)
    prometheus = start_prometheus()

    assert process.wait_until(lambda: (prometheus.value("slbp_database_connections") or 0) >= 1, timeout=30)
    assert [target["health"] for target in prometheus.targets()] == ["up"]
    assert prometheus.value("slbp_system_memory_usage") > 1 << 20
    assert prometheus.value("up") == 1
