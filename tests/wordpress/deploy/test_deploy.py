"""What lies in deploy/ is what the programs it is for take, and names nothing that is not there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "skylearn-billing-pro.json"

# A histogram is asked for by its parts.
PARTS = re.compile(r"_(bucket|count|sum)$")
METRIC = re.compile(r"\bslbp_[a-z0-9_]+\b")


def run(*words: object, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queries() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def rules() -> list[dict]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alert-rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def exported() -> set[str]:
    """Every name that the extension's sources give a metric."""
    text = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.rs"))
    return set(re.findall(r'"(slbp_[a-z0-9_]+)"', text))


def test_prometheus_takes_its_configuration_and_the_rules_do_what_they_say(tmp_path):
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    token = tmp_path / "slbp-token"
    token.write_text("a-token-of-sixteen-bytes")
    configuration = folder / "prometheus.yml"
    configuration.write_text(configuration.read_text().replace("/etc/prometheus/slbp-token", str(token)))

    run("promtool", "check", "config", configuration)
    run("promtool", "check", "rules", folder / "alert-rules.yml")
    run("promtool", "test", "rules", "alert-rules.test.yml", "backup-rules.test.yml", cwd=folder)


def test_the_specification_s_rules_are_there_as_they_stand():
    found = {rule["alert"]: rule for rule in rules()}
    memory, database = found["HighMemoryUsage"], found["DatabaseConnections"]
    assert (memory["expr"], memory["for"]) == ("slbp_system_memory_usage > 536870912", "5m")
    assert (memory["labels"], memory["annotations"]["summary"]) == ({"severity": "warning"}, "High memory usage detected")
    assert (database["expr"], database["for"]) == ("slbp_database_connections == 0", "1m")
    assert (database["labels"], database["annotations"]["summary"]) == ({"severity": "critical"}, "Database connection failure")


def test_every_rule_says_what_is_wrong_and_how_bad():
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical", "none"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


@pytest.mark.parametrize("where", ["dashboard", "rules"])
def test_every_metric_that_is_asked_for_is_exported(where):
    texts = queries() if where == "dashboard" else [rule["expr"] for rule in rules()]
    asked = {name for text in texts for name in METRIC.findall(text)}
    known = exported()
    assert len(asked) > 10
    assert {name for name in asked if name not in known and PARTS.sub("", name) not in known} == set()


def test_the_dashboard_can_be_imported_as_a_file():
    """Grafana refuses a file that is wrapped in {"dashboard": ...}: 'Dashboard title cannot be empty'."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["title"] and dashboard["uid"] and "dashboard" not in dashboard
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24 and panel["title"], panel
        assert panel["type"] == "row" or panel["targets"], panel["title"]


def test_every_query_is_promql(tmp_path):
    """As recording rules, which promtool parses."""
    fill = {"$instance": ".*", "$__rate_interval": "5m"}
    lines = []
    for number, query in enumerate(queries()):
        for name, value in fill.items():
            query = query.replace(name, value)
        assert "$" not in query, query
        lines.append({"record": f"query:{number}", "expr": query})
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": lines}]}))
    run("promtool", "check", "rules", path)


def test_what_the_specification_wants_to_see_has_a_panel():
    titles = " ".join(panel["title"].lower() for panel in json.loads(DASHBOARD.read_text())["panels"])
    for wanted in ("response time", "memory", "slow queries", "transactions that succeed", "error rate", "cache hit ratio"):
        assert wanted in titles


def test_compose_has_the_specification_s_services_and_no_password():
    text = (DEPLOY / "docker-compose.yml").read_text()
    compose = yaml.safe_load(text)
    assert set(compose["services"]) == {"web", "nginx", "redis", "mysql", "prometheus", "grafana"}
    used = {volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])}
    named = {name for name in used if not name.startswith((".", "/"))}
    assert named == set(compose["volumes"])
    for folder in used - named:
        assert (DEPLOY / folder).exists(), folder
    dockerfile = compose["services"]["web"]["build"]["dockerfile"]
    assert (ROOT / dockerfile).is_file()
    assert not re.search(r"PASSWORD: [^$\n]", text)


def test_kubernetes_probes_ask_what_they_should():
    documents = {item["kind"]: item for item in yaml.safe_load_all((DEPLOY / "kubernetes" / "skylearn-deployment.yaml").read_text())}
    assert set(documents) == {"Deployment", "Service", "PodDisruptionBudget"}
    deployment, service = documents["Deployment"]["spec"], documents["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == service["selector"] == labels
    assert deployment["replicas"] == 3
    (container,) = deployment["template"]["spec"]["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe", "startupProbe")}
    base = "/wp-json/skylearn-billing-pro/v1"
    assert paths == {"livenessProbe": f"{base}/live", "readinessProbe": f"{base}/ready", "startupProbe": f"{base}/live"}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in deployment["template"]["spec"]["volumes"]}


def test_nginx_takes_both_configurations(tmp_path):
    for name in ("billing.conf", "web.conf"):
        text = (DEPLOY / "nginx" / name).read_text()
        # Names that only the cluster knows: nginx looks them up when it starts.
        text = re.sub(r"web\d?(\.example\.com)?:(80|9000)", r"127.0.0.1:\2", text)
        text = re.sub(r"listen 80;", "listen 127.0.0.1:18080;", text).replace("include fastcgi_params", "include /etc/nginx/fastcgi_params")
        folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = tmp_path / "nginx.conf"
        path.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {folders} {text} }}")
        run("/usr/sbin/nginx", "-t", "-c", path)
